"""The phantom source: a folder as NIH's, films that look like chests, boxes that are true."""

import dataclasses
import hashlib
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungal.boxes import why_impossible
from lungal.data.images import read_pixels
from lungal.data.sources.phantom import generate, lesions, soft_tissue
from lungal.data.sources.phantom.anatomy import Anatomy, build
from lungal.data.sources.phantom.film import draw
from lungal.data.sources.phantom.layout import write_tables
from lungal.data.sources.phantom.lesions import Lesion
from lungal.data.sources.phantom.population import NIH_BOXES, Case, plan
from lungal.errors import SourceError, UnknownNameError
from lungal.params import PhantomParams
from lungal.records import CLASSES, LabelledBox

NIH_MEDIAN_SIDE = {  # median sqrt(area) of NIH's boxes, pixels
    "Nodule": 69, "Mass": 124, "Atelectasis": 140, "Pneumothorax": 194, "Effusion": 242,
    "Infiltrate": 244, "Pneumonia": 245, "Cardiomegaly": 423,
}  # fmt: skip
OTHERS = [name for name in CLASSES if name != "Cardiomegaly"]


@cache
def first_films(seed: int) -> list[Case]:
    return plan(PhantomParams(films=120, seed=seed))


def sick(number: int, *findings: str, view: str = "PA", seed: int = 0) -> Case:
    """Return the film of a patient with exactly these findings."""
    case = next(case for case in first_films(seed) if case.patient.number == number)
    return dataclasses.replace(case, findings=findings, view=view)


def lesion(case: Case) -> tuple[Lesion, Anatomy]:
    """Draw the only lesion of a case, without the film around it."""
    anatomy = build(case)
    lungs = (soft_tissue.air(anatomy.lung(-1)), soft_tissue.air(anatomy.lung(1)))
    (name,) = case.findings
    return lesions.draw(name, anatomy, lungs, case.stream(name)), anatomy


@cache
def sample(name: str) -> list[tuple[Lesion, Anatomy]]:
    return [lesion(sick(number, name)) for number in range(1, 19)]


@cache
def film(case: Case) -> tuple[np.ndarray, tuple[LabelledBox, ...]]:
    image, boxes = draw(case)
    return image.pixels.astype(np.float32), boxes


def side(box: LabelledBox) -> float:
    return float(np.sqrt((box.x2 - box.x1) * (box.y2 - box.y1)))


def cut(pixels: np.ndarray, box: LabelledBox) -> np.ndarray:
    return pixels[int(box.y1) : int(box.y2), int(box.x1) : int(box.x2)]


# --- the folder ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("phantom") / "nih"
    seen: list[tuple[int, int]] = []
    generate(root, PhantomParams(films=6), lambda done, of: seen.append((done, of)), workers=1)
    assert seen == [(i, 6) for i in range(1, 7)]
    return root


def digest(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_tables_read_like_nihs(folder: Path) -> None:
    columns = ["image", "label", "x", "y", "w", "h"]
    text = (folder / "BBox_List_2017.csv").read_text()
    assert text.splitlines()[0] == "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    boxes = pd.read_csv(folder / "BBox_List_2017.csv", skiprows=1, names=columns)
    entries = pd.read_csv(folder / "Data_Entry_2017_v2020.csv")
    films = sorted(path.name for path in (folder / "images").iterdir())
    assert list(entries["Image Index"]) == films
    assert list(entries.columns) == [
        "Image Index", "Finding Labels", "Follow-up #", "Patient ID", "Patient Age",
        "Patient Gender", "View Position", "OriginalImage[Width", "Height]",
        "OriginalImagePixelSpacing[x", "y]",
    ]  # fmt: skip
    known_negative = (folder / "truth_no_finding.txt").read_text().splitlines()
    assert set(boxes.image) | set(known_negative) == set(films)
    assert not set(boxes.image) & set(known_negative)
    assert set(boxes.label) <= set(CLASSES)
    assert entries["Finding Labels"].str.contains("Infiltrate").sum() == 0


def test_a_film_is_a_grey_square_of_nihs_size_and_a_modest_file(folder: Path) -> None:
    for path in (folder / "images").iterdir():
        assert read_pixels(path).shape == (1024, 1024)
        assert path.stat().st_size < 500_000


def test_official_lists_part_patients_and_end_without_newline(tmp_path: Path) -> None:
    cases = plan(PhantomParams(films=300))
    write_tables(tmp_path, cases, {case.image_id: () for case in cases})
    lists = [(tmp_path / name).read_text() for name in ("train_val_list.txt", "test_list.txt")]
    assert not any(text.endswith("\n") for text in lists)
    train, test = ([line[:8] for line in text.split("\n")] for text in lists)
    assert len(train) + len(test) == 300
    assert set(train).isdisjoint(test)
    assert 0.1 < len(test) / 300 < 0.4


def test_same_bytes_with_any_number_of_workers(folder: Path, tmp_path: Path) -> None:
    generate(tmp_path / "again", PhantomParams(films=6), workers=2)
    assert digest(tmp_path / "again") == digest(folder)


def test_another_seed_is_another_world() -> None:
    first, second = (film(sick(1, seed=seed))[0] for seed in (0, -1))
    assert np.abs(first - second).mean() > 3


def test_more_films_leave_the_first_ones_alone() -> None:
    assert plan(PhantomParams(films=200))[:50] == plan(PhantomParams(films=50))


def test_an_older_phantom_is_replaced_but_nothing_else(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(SourceError, match="something else"):
        generate(tmp_path, PhantomParams(films=1))
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(SourceError, match="is a file"):
        generate(tmp_path / "thesis.txt", PhantomParams(films=1))
    root = tmp_path / "films"
    generate(root, PhantomParams(films=2))
    generate(root, PhantomParams(films=1))
    assert len(list((root / "images").iterdir())) == 1


# --- the population -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd() -> list[Case]:
    return plan(PhantomParams(films=4000, no_finding=0.3, label_noise=0.1, label_missing=0.05))


def test_classes_are_as_common_as_nihs() -> None:
    cases = plan(PhantomParams(films=430, no_finding=0.0))
    counts = Counter(name for case in cases for name in case.findings)
    assert set(counts) == set(CLASSES)
    common = sum(counts[name] for name in ("Atelectasis", "Effusion", "Cardiomegaly"))
    rare = sum(counts[name] for name in ("Mass", "Nodule", "Pneumothorax"))
    assert common > 1.4 * rare


def test_class_shares_follow_nihs_counts(crowd: list[Case]) -> None:
    counts = Counter(name for case in crowd for name in case.findings)
    for name, boxes in NIH_BOXES.items():
        share, nihs = counts[name] / counts.total(), boxes / sum(NIH_BOXES.values())
        assert share == pytest.approx(nihs, abs=0.025), name


def test_mostly_one_finding_and_never_two_of_a_class(crowd: list[Case]) -> None:
    numbers = Counter(len(case.findings) for case in crowd)
    assert numbers[0] / 4000 == pytest.approx(0.3, abs=0.03)
    assert numbers[1] > 5 * numbers[2] > 5 * numbers[3] > 0
    assert max(numbers) == 3
    assert all(len(set(case.findings)) == len(case.findings) for case in crowd)


def test_patients_come_back_and_keep_their_body(crowd: list[Case]) -> None:
    films = Counter(case.patient.number for case in crowd[:-6])
    assert set(films.values()) == {1, 2, 3, 4, 5, 6}
    assert Counter(films.values()).most_common(1)[0][0] == 1
    bodies = {case.patient.number: case.patient for case in crowd}
    assert all(bodies[case.patient.number] == case.patient for case in crowd)
    assert len({case.image_id for case in crowd}) == len(crowd)


def test_weak_labels_are_noisy_and_missing_as_often_as_asked(crowd: list[Case]) -> None:
    labelled = [case for case in crowd if case.weak_findings is not None]
    assert 1 - len(labelled) / len(crowd) == pytest.approx(0.05, abs=0.015)
    wrong = [case for case in labelled if case.weak_findings != case.findings]
    assert len(wrong) / len(labelled) == pytest.approx(0.1, abs=0.02)
    changes = [set(case.weak_findings or ()) ^ set(case.findings) for case in wrong]
    assert all(len(change) == 1 for change in changes)
    assert any(len(case.weak_findings or ()) < len(case.findings) for case in wrong)


def test_without_noise_weak_labels_are_the_truth() -> None:
    cases = plan(PhantomParams(films=200, label_noise=0.0, label_missing=0.0))
    assert all(case.weak_findings == case.findings for case in cases)


# --- the lesions --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(-(2**63), 2**63 - 1),
    name=st.sampled_from(CLASSES),
    view=st.sampled_from(["PA", "AP"]),
)
def test_any_seed_gives_a_legal_box(seed: int, name: str, view: str) -> None:
    case = dataclasses.replace(
        plan(PhantomParams(films=1, seed=seed))[0], findings=(name,), view=view
    )
    box = lesion(case)[0].box
    assert box.label == name
    assert why_impossible(box.xyxy, 1024, 1024, slack=0) is None
    assert side(box) > 20


@pytest.mark.parametrize("name", OTHERS)
def test_a_lesion_changes_its_box_and_little_else(name: str) -> None:
    seen = []
    for number in (3, 8, 11):
        with_it, (box,) = film(sick(number, name))
        without, _ = film(sick(number))
        change = np.abs(with_it - without)
        assert change.sum() * 0.85 < cut(change, box).sum()
        assert (cut(change, box) > 3).mean() > 4 * (change > 3).mean() * (side(box) / 1024) ** 2
        rows, columns = (cut(change, box).max(axis=axis) > 3 for axis in (1, 0))
        seen += [rows.mean(), columns.mean()]
        for edge in (cut(change, box)[:24], cut(change, box)[-24:]):
            assert edge.max() > 2, "the box is longer than the lesion"
        for edge in (cut(change, box)[:, :24], cut(change, box)[:, -24:]):
            assert edge.max() > 2, "the box is wider than the lesion"
    assert np.mean(seen) > 0.9


@pytest.mark.parametrize("name", CLASSES)
def test_boxes_are_as_large_as_nihs(name: str) -> None:
    median = np.median([side(found.box) for found, _ in sample(name)])
    assert median == pytest.approx(NIH_MEDIAN_SIDE[name], rel=0.2)


def test_cardiomegaly_widens_the_heart_beyond_half_the_chest() -> None:
    for number in range(1, 20):
        for view in ("PA", "AP"):
            assert build(sick(number, view=view)).heart_ratio < 0.5
            anatomy = build(sick(number, "Cardiomegaly", view=view))
            assert anatomy.heart_ratio > 0.53
    found, anatomy = sample("Cardiomegaly")[0]
    assert found.box.x1 == pytest.approx(anatomy.heart[:, 0].min())
    assert found.box.x2 == pytest.approx(anatomy.heart[:, 0].max())


def test_a_wide_heart_is_bright_where_a_healthy_lung_is_dark() -> None:
    with_it, (box,) = film(sick(5, "Cardiomegaly"))
    without, _ = film(sick(5))
    assert cut(with_it, box).mean() > cut(without, box).mean() + 5


def test_effusion_fills_the_lower_outer_lung() -> None:
    for found, anatomy in sample("Effusion"):
        box, lungs = found.box, anatomy.lungs
        lung = lungs[0] if box.x1 + box.x2 < 2 * anatomy.heart[:, 0].mean() else lungs[1]
        assert box.y2 > lung.lateral[-1, 1] - 60  # down in the costophrenic angle
        outer = box.x1 if lung.side < 0 else box.x2
        assert abs(outer - lung.lateral[-1, 0]) < 40
        assert found.shadow.opacity.min() >= 0


def test_pneumothorax_is_a_dark_rim_without_markings() -> None:
    for found, anatomy in sample("Pneumothorax"):
        assert found.box.y1 < anatomy.lungs[0].lateral[0, 1] + 60  # air rises to the apex
        assert -found.shadow.opacity.min() > found.shadow.opacity.max() * 0.3
        assert found.shadow.hidden_markings[found.shadow.opacity < -0.05].mean() > 0.9
    case = sick(8, "Pneumothorax")
    dark = lesion(case)[0].shadow.opacity.repeat(2, axis=0).repeat(2, axis=1) < -0.05
    with_it, without = film(case)[0], film(sick(8))[0]
    assert with_it[dark].mean() < without[dark].mean() - 8


def test_consolidations_and_tumours_are_brighter_than_the_lung() -> None:
    for name in ("Infiltrate", "Pneumonia", "Mass", "Nodule", "Atelectasis"):
        with_it, (box,) = film(sick(11, name))
        without, _ = film(sick(11))
        assert cut(with_it, box).mean() > cut(without, box).mean() + 3, name


def test_every_nodule_is_smaller_than_every_mass_and_both_are_round() -> None:
    nodules, masses = ([found.box for found, _ in sample(name)] for name in ("Nodule", "Mass"))
    assert max(map(side, nodules)) < min(map(side, masses))
    assert max(map(side, nodules)) < 100
    for box in (*nodules, *masses):
        assert 0.6 < (box.x2 - box.x1) / (box.y2 - box.y1) < 1.7


def test_contrast_differs_from_film_to_film() -> None:
    strongest = [found.shadow.opacity.max() for found, _ in sample("Nodule")]
    assert max(strongest) > 1.8 * min(strongest)


def test_an_unknown_finding_is_refused() -> None:
    case = sick(1)
    anatomy = build(case)
    lungs = (soft_tissue.air(anatomy.lung(-1)), soft_tissue.air(anatomy.lung(1)))
    with pytest.raises(UnknownNameError, match="Hernia"):
        lesions.draw("Hernia", anatomy, lungs, case.stream("Hernia"))


# --- the chest ----------------------------------------------------------------------------------


def test_the_right_dome_is_higher_and_the_heart_lies_left() -> None:
    for number in range(1, 20):
        anatomy = build(sick(number))
        assert anatomy.domes[0] < anatomy.domes[1]
        midline = 512 + anatomy.pose.shift[0]
        right, left = midline - anatomy.heart[:, 0].min(), anatomy.heart[:, 0].max() - midline
        assert left > 1.3 * right


def test_lungs_are_darker_than_heart_and_belly() -> None:
    case = sick(7)
    pixels, boxes = film(case)
    assert boxes == ()
    anatomy = build(case)
    x, y = anatomy.heart.mean(axis=0).astype(int)
    heart = pixels[y - 20 : y + 20, x - 20 : x + 20].mean()
    air = np.maximum(*(soft_tissue.air(lung) for lung in anatomy.lungs))
    lung = pixels[(air > 0.7).repeat(2, axis=0).repeat(2, axis=1)].mean()
    belly = pixels[960:, 400:600].mean()
    assert lung < 0.75 * heart
    assert lung < 0.75 * belly


def test_an_ap_film_has_the_wider_heart_and_the_higher_dome() -> None:
    for number in range(1, 10):
        pa, ap = build(sick(number)), build(sick(number, view="AP"))
        assert ap.heart_ratio > pa.heart_ratio
        assert ap.domes[0] < pa.domes[0] + 25


# --- a population that is hard to sample ---------------------------------------------------------


def test_a_series_shows_the_same_findings_again_in_the_same_place() -> None:
    cases = plan(PhantomParams(films=400, series=1.0, no_finding=0.0))
    by_patient = {case.patient.number: [] for case in cases}
    for case in cases:
        by_patient[case.patient.number].append(case)
    whole = list(by_patient.values())[:-1]  # the last patient's films may be cut off
    assert {len(films) for films in whole} <= set(range(6, 13))
    assert all(len({case.findings for case in films}) == 1 for films in whole)
    first, _, third, *_ = next(films for films in whole if films[0].findings == ("Mass",))
    one, other = (film(case)[1][0] for case in (first, third))
    assert side(one) == pytest.approx(side(other), rel=0.1)  # the same mass
    assert np.abs(np.subtract(one.xyxy, other.xyxy)).max() < 150  # as far as the patient moved
    assert (film(first)[0] != film(third)[0]).any()


def test_series_leave_all_other_patients_as_they_were() -> None:
    plain = {case.image_id: case for case in plan(PhantomParams(films=400))}
    mixed = plan(PhantomParams(films=400, series=0.3))
    others = [case for case in mixed if case.found_on == case.follow_up]
    assert len(others) < len(mixed)
    assert all(plain[case.image_id] == case for case in others if case.image_id in plain)


def test_rarity_makes_rare_findings_rarer() -> None:
    def share(rarity: float) -> dict[str, float]:
        cases = plan(PhantomParams(films=4000, no_finding=0.0, rarity=rarity))
        count = Counter(case.findings[0] for case in cases if len(case.findings) == 1)
        return {name: count[name] / count.total() for name in CLASSES}

    total = sum(n**3 for n in NIH_BOXES.values())
    expected = {name: n**3 / total for name, n in NIH_BOXES.items()}
    assert share(3.0) == pytest.approx(expected, abs=0.02)
    assert share(0.0) == pytest.approx(dict.fromkeys(CLASSES, 1 / 8), abs=0.02)
