"""Evidence is put together film by film, calibrated by whoever knows how."""

from dataclasses import replace

import numpy as np

from lungal.acquisition.gathering import gather
from lungal.testing import make_detections


def halve(films):
    return [replace(film, scores=film.scores / 2) for film in films]


def test_every_look_is_calibrated_and_stays_with_its_film():
    seen = [make_detections(name, 3, 100, 100) for name in ("b", "a")]
    views = {"a": [make_detections("a", 2, 100, 100)], "b": [make_detections("b", 1, 100, 100)] * 2}
    committee = {"a": [make_detections("a", 4, 100, 100)]}
    found = gather(seen, halve, {"a": frozenset({"Mass"})}, views=views, committee=committee)
    assert list(found) == ["b", "a"]
    assert [len(look) for look in found["a"].views] == [2]
    assert [len(look) for look in found["b"].views] == [1, 1]
    assert [len(look) for look in found["a"].committee] == [4]
    assert found["b"].committee == ()
    assert found["a"].findings == frozenset({"Mass"})
    assert found["b"].findings is None
    for film, given in zip(found.values(), seen, strict=True):
        np.testing.assert_allclose(film.detections.scores, given.scores / 2)
    np.testing.assert_allclose(
        found["a"].views[0].scores, make_detections("a", 2, 100, 100).scores / 2
    )


def test_no_film_is_no_evidence():
    assert gather([], halve, {}) == {}
