"""What films of a campaign are known by: their files, or, of phantoms, what was drawn."""

import pandas as pd
import pytest

from lungal.records import LabelledBox
from lungal.simulation import films
from lungal.simulation.films import hash_content

ROWS = pd.DataFrame(
    {
        "image_id": ["00000001_000", "00000001_001", "00000002_000"],
        "patient_id": ["00000001", "00000001", "00000002"],
        "sha256": ["aa", "bb", "cc"],
        "sex": ["F", "F", None],
        "age": pd.array([40, 40, None], "Int32"),
        "view": ["PA", "AP", "PA"],
        "findings": [["Mass"], None, []],
    }
)
TRUTH = {
    "00000001_000": (LabelledBox("Mass", 10.0, 10.0, 30.0, 30.0),),
    "00000001_001": (),
    "00000002_000": (),
}
ROUNDED = {**TRUTH, "00000001_000": (LabelledBox("Mass", 10.0, 10.0, 32.0, 30.0),)}
OTHER = {**TRUTH, "00000001_000": (LabelledBox("Nodule", 10.0, 10.0, 30.0, 30.0),)}


def content(source, truth=TRUTH, rows=ROWS):
    return hash_content(rows.assign(source=source), truth)


def changed(column, value):
    rows = ROWS.copy()
    rows.at[2, column] = value
    return rows


@pytest.mark.parametrize("source", ["nih", "phantom"])
def test_rows_in_another_order_are_the_same_films(source):
    assert content(source, rows=ROWS.iloc[::-1]) == content(source)
    assert content(source, rows=ROWS.iloc[:2]) != content(source)
    assert content(source, OTHER) != content(source)


def test_a_film_is_known_by_its_file_and_boxes(monkeypatch):
    known = content("nih")
    assert content("nih", rows=changed("sha256", "dd")) != known
    assert content("nih", ROUNDED) != known
    assert content("nih", rows=changed("age", 3)) == known
    monkeypatch.setattr(films, "DRAWING", 99)
    assert content("nih") == known


def test_a_phantom_is_known_by_what_was_drawn_not_by_how_a_processor_rounds(monkeypatch):
    known = content("phantom")
    assert content("phantom", ROUNDED, changed("sha256", "dd")) == known
    for column, value in {"sex": "F", "age": 3, "view": "AP", "findings": ["Mass"]}.items():
        assert content("phantom", rows=changed(column, value)) != known, column
    monkeypatch.setattr(films, "DRAWING", 99)
    assert content("phantom") != known, "another drawing"
