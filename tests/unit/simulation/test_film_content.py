"""What films of a campaign are known by: their files, or, of phantoms, what was drawn."""

import pandas as pd
import pytest

from lungal.data.sources import phantom
from lungal.params import PhantomParams
from lungal.records import LabelledBox
from lungal.simulation.films import hash_content

ROWS = pd.DataFrame({"image_id": ["a", "b", "c"], "sha256": ["aa", "bb", "cc"]})
BOX = LabelledBox("Mass", 10.0, 10.0, 30.0, 30.0)
TRUTH = {"a": (BOX,), "b": (), "c": ()}
ROUNDED = {**TRUTH, "a": (LabelledBox("Mass", 10.0, 10.0, 32.0, 30.0),)}
OTHER = {**TRUTH, "a": (LabelledBox("Nodule", 10.0, 10.0, 30.0, 30.0),)}
MOVED = {**TRUTH, "a": (), "b": (BOX,)}
REDRAWN = ROWS.assign(sha256=["aa", "bb", "dd"])
RENAMED = ROWS.assign(image_id=["a", "b", "d"])


@pytest.mark.parametrize("drawn_from", [None, "phantoms"])
def test_the_same_films_in_any_order_and_no_others(drawn_from: str | None) -> None:
    known = hash_content(ROWS, TRUTH, drawn_from)
    assert hash_content(ROWS.iloc[::-1], TRUTH, drawn_from) == known
    assert hash_content(ROWS, {**TRUTH, "not in the campaign": (BOX,)}, drawn_from) == known
    others = [
        hash_content(ROWS.iloc[:2], TRUTH, drawn_from),
        hash_content(RENAMED, {**TRUTH, "d": ()}, drawn_from),
        hash_content(ROWS, OTHER, drawn_from),
        hash_content(ROWS, MOVED, drawn_from),
        hash_content(ROWS, TRUTH, "other phantoms"),
    ]
    assert len({known, *others}) == 1 + len(others)


def test_a_real_film_is_known_by_its_file_and_boxes() -> None:
    known = hash_content(ROWS, TRUTH, None)
    assert hash_content(REDRAWN, TRUTH, None) != known
    assert hash_content(ROWS, ROUNDED, None) != known


def test_a_phantom_is_known_however_a_processor_rounds_it() -> None:
    known = hash_content(ROWS, TRUTH, "phantoms")
    assert hash_content(REDRAWN, ROUNDED, "phantoms") == known


def test_phantoms_are_told_apart_by_what_they_are_drawn_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = phantom.origin(PhantomParams(films=10))
    assert phantom.origin(PhantomParams(films=20)) == known, "more only add to the others"
    changes = dict.fromkeys(PhantomParams.model_fields, 0.7) | {"seed": 7}
    del changes["films"]
    others = [phantom.origin(PhantomParams(**{name: to})) for name, to in changes.items()]
    monkeypatch.setattr(phantom, "DRAWING", 99)
    others.append(phantom.origin(PhantomParams()))
    assert len({known, *others}) == 1 + len(others) > 6
