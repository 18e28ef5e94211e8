"""Films from elsewhere: what of an NIH folder or a COCO file is judged, and what is refused."""

import json

import numpy as np
import pytest
from nih_folder import film_id, lay_out, mass

from lungal.data.external import first_lines, read_external
from lungal.data.images import encode_png
from lungal.errors import QuarantineError, SourceError
from lungal.params import SubsetParams

ALL = SubsetParams(rule="everything")
NAMES = ("Mass", "Effusion", "Infiltration", "Aortic enlargement")


def read(path, images=None, tolerance=0.0, **options):
    return read_external(path, images, subset=ALL, tolerance=tolerance, **options)


def coco(folder, films, boxes, sizes=(200, 100)):
    """Write films of 200 x 100 pixels and a COCO file beside them; return the file."""
    for row in films:
        if row.get("there", True):
            path = folder / row["file_name"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(np.full((100, 200), 50, np.uint8)))
    images = [
        {"id": k, "width": sizes[0], "height": sizes[1]}
        | {n: v for n, v in row.items() if n != "there"}
        for k, row in enumerate(films, start=1)
    ]
    document = {
        "images": images,
        "categories": [{"id": k, "name": name} for k, name in enumerate(NAMES, start=1)],
        "annotations": [
            {"id": k, "image_id": film, "category_id": category, "bbox": list(box)}
            for k, (film, category, box) in enumerate(boxes, start=1)
        ],
    }
    path = folder / "labels.json"
    path.write_text(json.dumps(document))
    return path


def test_an_nih_folder(tmp_path):
    root = lay_out(tmp_path / "nih", {1: None, 2: None, 3: None}, [mass(1), mass(2)])
    (root / "truth_no_finding.txt").write_text(f"{film_id(3)}.png\n")
    found = read(root)
    assert [film.image_id for film in found.films] == [film_id(1), film_id(2), film_id(3)]
    first = found.films[0]
    assert (first.patient_id, first.view, first.sex, first.age) == ("00000001", "PA", "M", 57)
    assert found.truths[0].boxes.tolist() == [[101, 200, 151, 260]]
    assert len(found.truths[2].labels) == 0
    assert found.patients[film_id(2)] == "00000002"
    assert found.refused == ()


def test_films_of_an_nih_folder_whose_truth_is_not_known_are_not_judged(tmp_path):
    root = lay_out(tmp_path / "nih", {1: None, 2: None}, [mass(1)])
    assert [film.image_id for film in read(root).films] == [film_id(1)]


def test_a_bad_box_of_an_nih_folder_refuses_its_film_with_the_reason(tmp_path):
    bad = f"{film_id(2)}.png,Mass,100,200,0,60"
    root = lay_out(tmp_path / "nih", {1: None, 2: None}, [mass(1), bad])
    found = read(root, tolerance=0.5)
    assert [film.image_id for film in found.films] == [film_id(1)]
    assert found.refused == (f"{film_id(2)}.png: the box 100, 200, 0, 60 has no area",)
    with pytest.raises(QuarantineError, match=r"1 of 2 films .* tolerated are 0.0%; the first"):
        read(root)


def test_the_subset_of_an_nih_folder(tmp_path):
    root = lay_out(tmp_path / "nih", {1: None, 2: None, 3: None}, [mass(1)])
    (root / "truth_no_finding.txt").write_text(f"{film_id(2)}.png\n{film_id(3)}.png\n")
    subset = SubsetParams(rule="boxed", no_finding=1)
    found = read_external(root, None, subset=subset, tolerance=0)
    assert len(found.films) == 2
    assert found.films[0].image_id == film_id(1)


def test_a_coco_file_beside_its_films(tmp_path):
    films = [
        {"file_name": "00000001_000.png", "view": "AP", "sex": "F", "age": 70},
        {"file_name": "inner/free.png", "patient_id": 12},
    ]
    path = coco(tmp_path, films, [(1, 1, (10, 20, 30, 40)), (1, 3, (0, 0, 5, 5))])
    first, second = read(path).films
    assert (first.image_id, first.patient_id) == ("00000001_000", "00000001")
    assert (first.view, first.sex, first.age) == ("AP", "F", 70)
    assert [(box.label, *box.xyxy) for box in first.truth] == [
        ("Mass", 10, 20, 40, 60),
        ("Infiltrate", 0, 0, 5, 5),
    ]
    assert (second.image_id, second.patient_id, second.truth) == ("free", "12", ())
    assert (second.view, second.sex, second.age) == (None, None, None)


def test_films_of_a_coco_file_elsewhere_are_found_by_name(tmp_path):
    path = coco(tmp_path / "a", [{"file_name": "x.png"}], [])
    (tmp_path / "b" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "x.png").rename(tmp_path / "b" / "deep" / "x.png")
    (film,) = read(path, tmp_path / "b").films
    assert film.path == tmp_path / "b" / "deep" / "x.png"
    with pytest.raises(SourceError, match="no film under"):
        read(path)


def test_what_a_coco_file_gets_wrong_is_refused_film_by_film(tmp_path):
    films = [{"file_name": f"{name}.png", "there": name != "gone"} for name in "abcde"]
    films += [{"file_name": "gone.png", "there": False}, {"file_name": "a.png"}]
    boxes = [
        (1, 1, (10, 20, 30, 40)),
        (2, 4, (10, 20, 30, 40)),  # another finding
        (3, 1, (10, 20, 0, 40)),  # no area
        (4, 1, (500, 500, 30, 40)),  # beyond the film
        (9, 1, (10, 20, 30, 40)),  # of no film
    ]
    path = coco(tmp_path, films, boxes)
    (tmp_path / "e.png").write_bytes(b"no film")
    found = read(path, tolerance=0.99)
    assert [film.image_id for film in found.films] == ["a"]
    reasons = "\n".join(found.refused)
    assert len(found.refused) == 7
    for reason in (
        "unknown finding 'Aortic enlargement'",
        "has no area",
        "has no area on the 200x100 film",
        "belongs to image 9",
        "no whole PNG or JPEG image",
        "gone.png is not under",
        "a second film named a",
    ):
        assert reason in reasons
    with pytest.raises(QuarantineError, match="7 of 8 films"):
        read(path, tolerance=0.1)


def test_boxes_of_other_findings_can_be_ignored(tmp_path):
    films = [{"file_name": "a.png"}, {"file_name": "b.png"}]
    boxes = [(1, 4, (1, 1, 9, 9)), (1, 1, (10, 20, 30, 40)), (2, 4, (1, 1, 9, 9))]
    path = coco(tmp_path, films, boxes)
    found = read(path, ignore_other=True)
    assert [len(film.truth) for film in found.films] == [1, 0]
    assert found.ignored == 2


def test_a_film_that_was_labelled_at_another_size_is_refused(tmp_path):
    path = coco(tmp_path, [{"file_name": "a.png"}], [(1, 1, (10, 20, 30, 40))], sizes=(400, 200))
    with pytest.raises(QuarantineError, match="was labelled at 400x200 pixels"):
        read(path)


def test_what_is_not_there_is_one_line(tmp_path):
    with pytest.raises(SourceError, match="gone does not exist; known: a folder"):
        read(tmp_path / "gone")
    path = coco(tmp_path, [{"file_name": "a.png"}], [])
    with pytest.raises(SourceError, match="no folder of films at"):
        read(path, tmp_path / "gone")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceError, match="no film under"):
        read(path, tmp_path / "empty")
    with pytest.raises(SourceError, match="BBox_List_2017"):
        read(tmp_path / "empty")
    with pytest.raises(SourceError, match="its films and findings are its own"):
        read(tmp_path, tmp_path)


@pytest.mark.parametrize("text", ["no json", "[]", '{"images": 1}', '{"images": [1]}', "\xff"])
def test_no_coco_file_is_one_line(tmp_path, text):
    path = coco(tmp_path, [{"file_name": "a.png"}], [])
    path.write_text(text, encoding="latin-1")
    with pytest.raises(QuarantineError, match=r"1 of 1 films .* (COCO|JSON|UTF-8)"):
        read(path)


def test_a_coco_file_without_films_is_one_line(tmp_path):
    path = coco(tmp_path, [{"file_name": "a.png"}], [])
    path.write_text(json.dumps({"images": [], "annotations": [], "categories": []}))
    with pytest.raises(SourceError, match="names no film whose truth is known"):
        read(path)


def test_a_long_list_is_cut_short():
    assert first_lines(["a", "b"]) == ["a", "b"]
    assert first_lines([*"abcdefg"]) == [*"abcde", "and 2 more"]


def test_patients_are_known_beside_a_row_that_is_not(tmp_path):
    films = [
        {"file_name": "a.png", "patient_id": 12.0, "age": 45.0, "view": "AP"},
        {"file_name": "b.png", "patient_id": "12"},
        {"file_name": "c.png", "patient_id": None},
        {"file_name": "d.png", "patient_id": float("nan")},
        {"file_name": "e.png", "patient_id": ["12"]},
    ]
    file = coco(tmp_path, films, [])
    document = json.loads(file.read_text())
    document["images"].append({"id": 9, "width": 200, "height": 100})
    file.write_text(json.dumps(document))
    found = read(file, tolerance=0.5)
    assert found.patients == {"a": "12", "b": "12", "c": "c", "d": "d"}
    assert (found.films[0].age, found.films[0].view) == (45, "AP")
    assert len(found.refused) == 2
    assert any("patient_id is ['12'], which is no name" in line for line in found.refused)


@pytest.mark.parametrize("odd", ["x" * 5000 + ".png", "\ud800.png", "a\0.png"])
def test_a_name_that_no_file_can_have_is_refused(tmp_path, odd):
    file = coco(tmp_path, [{"file_name": "a.png"}, {"file_name": odd, "there": False}], [])
    found = read(file, tolerance=0.5)
    assert [film.image_id for film in found.films] == ["a"]
    (line,) = found.refused
    assert "is not under" in line
