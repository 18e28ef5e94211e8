"""What is drawn today. Another drawing has another count, so that kept campaigns are told apart.

After a change of what is drawn, count `DRAWING` up, and run this file: it writes the notes anew.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungal.data.sources.phantom import DRAWING
from lungal.data.sources.phantom.film import draw
from lungal.data.sources.phantom.population import Case, plan
from lungal.params import PhantomParams
from lungal.records import CLASSES

NOTED = Path(__file__).with_name("phantom_drawing.json")
NOTES: dict[str, Any] = json.loads(NOTED.read_text(encoding="utf-8"))
"""`drawing`: the count; `films`: image_id to what `note` says of it."""
PARAMS = PhantomParams(
    films=200, no_finding=0.2, label_noise=0.4, label_missing=0.1, series=0.3, rarity=0.5, seed=1
)
REACHES = {"boxes": 4, "means": 0.011, "deviations": 0.011, "grain": 0.0011}
"""How far off each may be: rounding here, and on another kind of processor."""
CASES = {case.image_id: case for case in plan(PARAMS)}


def note(case: Case) -> dict[str, Any]:
    """Return who is filmed, what is said of it, its boxes, greys of each sixteenth, and grain."""
    film, boxes = draw(case)
    tiles = film.pixels.reshape(4, 256, 4, 256)
    return {
        "patient": f"{case.patient.sex}, {case.patient.age} years, {case.view}",
        "found_on": case.found_on,
        "report": None if case.weak_findings is None else list(case.weak_findings),
        "findings": [box.label for box in boxes],
        "boxes": [[round(side, 1) for side in box.xyxy] for box in boxes],
        "means": tiles.mean(axis=(1, 3)).ravel().round(2).tolist(),
        "deviations": tiles.std(axis=(1, 3)).ravel().round(2).tolist(),
        "grain": round(float(np.abs(np.diff(film.pixels.astype(float))).mean()), 3),
    }


@pytest.mark.parametrize("name", NOTES["films"])
def test_another_drawing_is_counted(name: str) -> None:
    noted, drawn = NOTES["films"][name], note(CASES[name])
    for measure, reach in REACHES.items():
        off = np.abs(np.subtract(drawn.pop(measure), noted.pop(measure)))
        assert np.all(off <= reach), f"{measure}: count DRAWING up, and run this file"
    assert drawn == noted, "count DRAWING up, and run this file"
    assert NOTES["drawing"] == DRAWING, "run this file"


def test_what_is_noted_shows_all_that_can_be_drawn() -> None:
    cases = [CASES[name] for name in NOTES["films"]]
    assert {name for case in cases for name in case.findings} == set(CLASSES)
    assert {(case.patient.sex, case.view) for case in cases} == {
        (sex, view) for sex in "FM" for view in ("AP", "PA")
    }
    assert {len(case.findings) for case in cases} >= {0, 1, 2}
    assert any(case.found_on != case.follow_up for case in cases)
    assert {case.weak_findings is None for case in cases} == {True, False}


if __name__ == "__main__":
    lines = (f"  {json.dumps(name)}: {json.dumps(note(CASES[name]))}" for name in NOTES["films"])
    films = ",\n".join(lines)
    NOTED.write_text(
        f'{{\n "drawing": {DRAWING},\n "films": {{\n{films}\n }}\n}}\n', encoding="utf-8"
    )
