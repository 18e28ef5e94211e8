import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from lungal.data.initial import choose_initial
from lungal.data.sources.box_file import read_box_file
from lungal.data.sources.entries import parse_age, parse_findings, read_entries, read_lists
from lungal.data.sources.nih import Labels, choose, find_images, read_labels, read_nih
from lungal.data.sources.survey import Film, Survey
from lungal.errors import LeakError, SourceError
from lungal.params import LabelParams, SubsetParams
from lungal.records import LabelledBox

BOX_HEADER = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
V2020 = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
    "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
)
MASS = "00000001_000.png,Mass,100.5,200,50,60"
EVERYTHING = SubsetParams(rule="everything")


def lay_out(
    root: Path,
    boxes: Sequence[str] = (MASS,),
    entries: Sequence[str] = (
        "00000001_000.png,Mass|Infiltration,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000002_000.png,No Finding,0,2,80,F,AP,2500,2048,0.171,0.171",
        "00000003_000.png,Hernia,0,3,41,F,PA,2500,2048,0.168,0.168",
        "00000009_000.png,No Finding,0,9,20,F,PA,2500,2048,0.168,0.168",
    ),
    images: Sequence[str] = ("00000001_000", "00000002_000", "00000003_000"),
) -> Path:
    (root / "images").mkdir(parents=True)
    (root / "BBox_List_2017.csv").write_text("\n".join([BOX_HEADER, *boxes]))
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([V2020, *entries]))
    for name in images:
        (root / "images" / f"{name}.png").touch()
    return root


def film(survey: Survey, image_id: str) -> Film:
    return next(film for film in survey.films if film.image_id == image_id)


def box_file(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "BBox_List_2017.csv"
    path.write_text("\n".join([BOX_HEADER, *rows]))
    return path


def test_a_box_file_without_a_header_does_not_lose_its_first_box(tmp_path: Path) -> None:
    path = tmp_path / "BBox_List_2017.csv"
    path.write_text(f"\n {MASS}\n00000002_000.png,Mass,1,1,9,9\n")
    with pytest.raises(SourceError, match=r"line 2: 00000001_000\.png is a film's name, not a"):
        read_box_file(path)


def test_boxes_are_read_by_position_and_turned_to_corners(tmp_path: Path) -> None:
    read = read_box_file(box_file(tmp_path, MASS, "00000001_000.png,Infiltration,0,0,9,9,,,"))
    assert read.boxes["00000001_000"] == (
        LabelledBox("Mass", 100.5, 200, 150.5, 260),
        LabelledBox("Infiltrate", 0, 0, 9, 9),
    )
    assert read.rows == 2
    assert not read.quarantine


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("00000001_000.png,Mass,1000,0,50,50", "outside the 1024x1024 film"),
        ("00000001_000.png,Mass,-5,0,50,50", "outside"),
        ("00000001_000.png,Mass,10,10,0,50", "no area"),
        ("00000001_000.png,Mass,10,10,-4,50", "no area"),
        ("00000001_000.png,Mass,1024,10,1,20", "has no area on the 1024x1024 film"),
        ("00000001_000.png,Mass,10,-1,20,1", "has no area on the 1024x1024 film"),
        ("00000001_000.png,Mass,nan,10,4,50", "not a finite number"),
        ("00000001_000.png,Mass,10,10,inf,50", "not a finite number"),
        ("00000001_000.png,Mass,ten,10,4,50", "'ten' is not a number"),
        ("00000001_000.png,Mass,10,10,4", "has 5 fields"),
        ("00000001_000.png,Mass,10,10,4,5,6", "has 7 fields"),
        ("00000001_000.png,Hernia,10,10,4,5", "unknown finding 'Hernia'; known: Atelectasis"),
    ],
)
def test_a_bad_row_is_left_out_with_its_line_and_its_film_is_unsure(
    tmp_path: Path, row: str, reason: str
) -> None:
    read = read_box_file(box_file(tmp_path, MASS, "", row, "00000002_000.png,Mass,1,1,9,9"))
    (bad,) = read.quarantine
    assert (bad.kind, bad.name, bad.line) == ("box", "00000001_000.png", 4)
    assert reason in bad.reason
    assert read.unsure == {"00000001_000"}
    assert read.films == {"00000001_000", "00000002_000"}
    assert set(read.boxes) == {"00000002_000"}


def test_rounding_beyond_the_edge_is_clipped(tmp_path: Path) -> None:
    read = read_box_file(box_file(tmp_path, "00000001_000.png,Mass,1000,1000,24.4,24.9"))
    assert read.boxes["00000001_000"][0].xyxy == (1000, 1000, 1024, 1024)


def test_a_repeated_row_is_left_out_and_its_film_stays_sure(tmp_path: Path) -> None:
    read = read_box_file(box_file(tmp_path, MASS, MASS))
    assert [(bad.line, bad.reason) for bad in read.quarantine] == [(3, "repeats an earlier row")]
    assert len(read.boxes["00000001_000"]) == 1
    assert not read.unsure


def test_a_row_without_a_film_name_makes_no_film(tmp_path: Path) -> None:
    read = read_box_file(box_file(tmp_path, "cat.png,Mass,1,1,9,9"))
    assert "'cat.png' is no film name" in read.quarantine[0].reason
    assert not read.films


@pytest.mark.parametrize(
    ("text", "years"),
    [("57", 57), ("058Y", 58), ("011M", 0), ("013M", 1), ("008D", 0), ("414Y", None),
     ("", None), ("Y", None), ("-3", None)],
)  # fmt: skip
def test_ages_of_both_releases(text: str, years: int | None) -> None:
    assert parse_age(text) == years


@pytest.mark.parametrize(
    ("text", "findings"),
    [("No Finding", ()), ("", None), ("Mass|Infiltration", ("Mass", "Infiltrate")),
     ("Pleural_Thickening", ("Pleural_Thickening",)), ("No Finding|Mass", None),
     ("Mass | Infiltration", ("Mass", "Infiltrate")), ("No Finding |", ()), (" | ", None)],
)  # fmt: skip
def test_findings_are_canonical(text: str, findings: tuple[str, ...] | None) -> None:
    assert parse_findings(text) == findings


def test_the_old_data_entry_with_last_commas(tmp_path: Path) -> None:
    path = tmp_path / "Data_Entry_2017.csv"
    path.write_text(
        "\ufeffImage Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n",
        encoding="utf-8",
    )
    entry = read_entries(path)["00000001_000"]
    assert (entry.findings, entry.view, entry.sex, entry.age) == (("Cardiomegaly",), "PA", "M", 58)


def test_truth_is_boxes_or_no_finding_or_not_known(tmp_path: Path) -> None:
    survey = read_nih(lay_out(tmp_path / "nih"), EVERYTHING)
    assert [one.image_id for one in survey.films] == [
        "00000001_000",
        "00000002_000",
        "00000003_000",
    ]
    assert film(survey, "00000001_000").truth == (LabelledBox("Mass", 100.5, 200, 150.5, 260),)
    assert film(survey, "00000001_000").findings == ("Mass", "Infiltrate")
    assert film(survey, "00000002_000").truth == ()
    assert film(survey, "00000003_000").truth is None
    assert film(survey, "00000003_000").patient_id == "00000003"


def test_rows_that_contradict_each_other_leave_open_what_they_disagree_on(tmp_path: Path) -> None:
    rows = [
        "00000001_000.png,Mass,0,1,57,M,PA,2682,2749,0.143,0.143",
        "00000002_000.png,No Finding,0,2,80,F,AP,2500,2048,0.171,0.171",
        "00000002_000.png,Mass,0,2,80,F,PA,2500,2048,0.171,0.171",
        "00000002_000.png,No Finding,0,2,80,F,AP,2500,2048,0.171,0.171",
        "00000003_000.png,No Finding,0,3,41,F,PA,2500,2048,0.168,0.168",
        "00000003_000.png,No Finding,7,3,41,F,PA,2500,2048,0.168,0.168",  # a number of no account
    ]
    survey = read_nih(lay_out(tmp_path / "nih", entries=rows), EVERYTHING)
    open_now = film(survey, "00000002_000")
    assert (open_now.findings, open_now.truth, open_now.view) == (None, None, None)
    assert (open_now.sex, open_now.age) == ("F", 80)
    assert film(survey, "00000003_000").truth == ()
    assert survey.counts["films_with_contradicting_rows"] == 1


def test_what_is_named_but_absent_is_counted(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", boxes=[MASS, "00000008_000.png,Mass,1,1,9,9"])
    counts = read_nih(root, SubsetParams()).counts
    assert counts["films_listed_but_absent"] == 1
    assert counts["boxed_films_absent"] == 1
    assert counts["images_found"] == 3


def test_a_bad_box_leaves_its_film_without_truth_even_beside_a_good_one(tmp_path: Path) -> None:
    root = lay_out(
        tmp_path / "nih",
        boxes=[MASS, "00000001_000.png,Nodule,1,1,0,0", "00000002_000.png,Nodule,1,1,0,0"],
    )
    survey = read_nih(root, SubsetParams())
    assert film(survey, "00000001_000").truth is None
    assert film(survey, "00000002_000").truth is None  # although Data_Entry says No Finding
    assert survey.counts["films_unsure_for_a_bad_box"] == 2


def test_a_stated_list_of_empty_films_outranks_weak_labels(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih")
    (root / "truth_no_finding.txt").write_text("00000003_000.png")
    survey = read_nih(root, EVERYTHING)
    assert film(survey, "00000003_000").truth == ()
    assert film(survey, "00000002_000").truth is None


def test_boxed_rule_takes_boxed_films_and_so_many_empty_ones(tmp_path: Path) -> None:
    def chosen(no_finding: int) -> list[str]:
        subset = SubsetParams(no_finding=no_finding)
        return [one.image_id for one in read_nih(root, subset).films]

    root = lay_out(tmp_path / "nih")
    assert chosen(0) == ["00000001_000"]
    assert chosen(200) == ["00000001_000", "00000002_000"]


def test_the_draw_is_seeded_and_hardly_moved_by_other_films(tmp_path: Path) -> None:
    free = [f"{number:08d}_000" for number in range(2, 60)]
    boxes = read_box_file(box_file(tmp_path, MASS))
    labels = Labels(boxes, {}, frozenset(free))

    def draw(seed: int, present: list[str]) -> set[str]:
        return set(choose(labels, SubsetParams(no_finding=10, seed=seed), present))

    assert len(draw(0, free)) == 10
    assert draw(0, free) == draw(0, free[::-1])
    assert draw(0, free) != draw(1, free)
    kept = draw(0, free)
    assert draw(0, [name for name in free if name in kept or name > "00000030"]) == kept


def test_the_initial_set_holds_as_many_empty_films_as_there_are_among_those_drawn(
    tmp_path: Path,
) -> None:
    empty = {f"{number:08d}_000" for number in range(5000)}
    boxed = [f"{number:08d}_000" for number in range(5000, 5600)]
    boxes = read_box_file(box_file(tmp_path, *(f"{name}.png,Mass,1,1,9,9" for name in boxed)))
    taken = choose(Labels(boxes, {}, frozenset(empty)), SubsetParams(), [*empty, *boxed])
    truth = {name: boxes.boxes.get(name, ()) for name in taken}
    initial = choose_initial(taken, truth, LabelParams())
    assert len(empty & set(taken)) / len(taken) == 0.25
    assert 0.15 < len(empty & initial) / len(initial) < 0.35


def test_images_are_found_in_nested_folders_of_any_format(tmp_path: Path) -> None:
    for name in ("images_001/images/a.PNG", "images/b.jpg", "c.jpeg", "notes/d.txt", ".x/e.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".f.png").touch()
    paths, doubles = find_images(tmp_path)
    assert sorted(paths) == ["a", "b", "c"]
    assert not doubles


def test_images_behind_a_link_are_found(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.png").touch()
    (tmp_path / "nih").mkdir()
    (tmp_path / "nih" / "images").symlink_to(tmp_path / "disk")
    assert list(find_images(tmp_path / "nih")[0]) == ["a"]


def test_a_second_file_of_a_film_is_left_out(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih")
    (root / "images_001" / "images").mkdir(parents=True)
    (root / "images_001" / "images" / "00000001_000.jpg").touch()
    survey = read_nih(root, SubsetParams())
    assert [(bad.name, bad.reason) for bad in survey.quarantine] == [
        ("images_001/images/00000001_000.jpg", "a second file of 00000001_000")
    ]
    assert film(survey, "00000001_000").path == root / "images" / "00000001_000.png"


def test_an_image_with_another_name_is_left_out_of_everything(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", images=["00000001_000", "logo"])
    survey = read_nih(root, EVERYTHING)
    assert [bad.name for bad in survey.quarantine] == ["logo.png"]
    assert [one.image_id for one in survey.films] == ["00000001_000"]


def test_official_lists_without_a_final_newline(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih")
    (root / "train_val_list.txt").write_text("00000002_000.png\n00000003_000.png")
    (root / "test_list.txt").write_text("00000001_000.png")
    survey = read_nih(root, EVERYTHING)
    assert [one.official_split for one in survey.films] == ["test", "train_val", "train_val"]


def test_a_patient_on_both_lists_is_named(tmp_path: Path) -> None:
    (tmp_path / "train_val_list.txt").write_text("00000002_000.png\n00000003_000.png")
    (tmp_path / "test_list.txt").write_text("00000003_001.png\n00000001_000.png")
    with pytest.raises(LeakError, match="patient 00000003 is in both"):
        read_lists(tmp_path)


def test_missing_columns_are_named(tmp_path: Path) -> None:
    path = tmp_path / "Data_Entry_2017.csv"
    path.write_text("Image,Labels\n00000001_000.png,Mass\n")
    with pytest.raises(SourceError, match="no column 'Image Index'; it has: Image, Labels"):
        read_entries(path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xff\xfe\x00\x01"])
def test_a_csv_that_is_no_csv(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "Data_Entry_2017.csv"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"Data_Entry_2017\.csv"):
        read_entries(path)


@pytest.mark.parametrize(
    ("name", "copy"),
    [
        ("BBox_List_2017.csv", "BBox_List_2017_old.csv"),
        ("Data_Entry_2017_v2020.csv", "Data_Entry_2017_v2020 (1).csv"),
        ("test_list.txt", "test_list_before.txt"),
    ],
)
def test_of_a_file_and_its_copy_neither_wins_unseen(tmp_path: Path, name: str, copy: str) -> None:
    root = lay_out(tmp_path / "nih")
    (root / name).touch()
    (root / copy).touch()
    both = re.escape(", ".join(sorted([name, copy])))
    with pytest.raises(SourceError, match=rf"{root} has 2 files .*, and must have one: {both}$"):
        read_nih(root, EVERYTHING)


def test_of_both_releases_the_second_is_read(tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih")
    for name in ("Data_Entry_2017.csv", "Data_Entry_2017_old.csv"):
        (root / name).write_text("of no account")
    assert film(read_nih(root, EVERYTHING), "00000001_000").age == 57


@pytest.mark.parametrize("name", ["BBox_List_2017_Official_NIH.csv", "BBox_List_2017 (2).csv"])
def test_a_single_file_may_have_more_to_its_name(tmp_path: Path, name: str) -> None:
    root = lay_out(tmp_path / "nih")
    (root / "BBox_List_2017.csv").rename(root / name)
    assert len(read_nih(root, EVERYTHING).films) == 3


@pytest.mark.nih
def test_the_real_text_files(nih_root: Path) -> None:
    labels, lists = read_labels(nih_root), read_lists(nih_root)
    assert len(labels.entries) == 112_120
    assert labels.boxes.rows == 984
    assert len(labels.boxes.boxes) == 880
    assert not labels.boxes.quarantine
    assert len(lists) == 112_120
    assert {lists[name] for name in labels.boxes.films} == {"test"}
    assert len(labels.no_finding) == 60_361
