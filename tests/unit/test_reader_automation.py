"""Blind readings against pre-drawn ones: which films, what is counted, and how sure it is."""

import numpy as np
import pytest
from scripted_readings import box, said, saw

from lungal.params import ReadingParams
from lungal.reading.automation import MEASURES, automation, difference

PARAMS = ReadingParams(iou=0.4, idle_seconds=100)
SEEN = (box("Mass"), box("Nodule", x=100))


def read(image_id, *boxes, **rest):
    """A reading of a film on which the model saw SEEN."""
    return said(image_id, *boxes, **({"seen": saw(*SEEN)} | rest))


def drawn(readings):
    return automation(readings, PARAMS).drawn


@pytest.mark.parametrize(
    ("boxes", "agreement", "added", "removed", "moved"),
    [
        (SEEN, 1.0, 0, 0, 0),
        ((box("Mass"),), 2 / 3, 0, 1, 0),
        ((*SEEN, box("Effusion", x=200)), 4 / 5, 1, 0, 0),
        ((box("Mass", x=15), SEEN[1]), 1.0, 0, 0, 1),
        ((box("Mass", x=10.9), SEEN[1]), 1.0, 0, 0, 0),  # a rounding of the browser
        ((box("Effusion"), SEEN[1]), 0.5, 1, 1, 0),  # renamed
        ((), 0.0, 0, 2, 0),
    ],
)
def test_what_a_reader_did_to_the_models_boxes(boxes, agreement, added, removed, moved):
    means = drawn([read("a", *boxes, seconds=7.0)]).means
    assert means == {
        "agreement": pytest.approx(agreement),
        "added": added,
        "removed": removed,
        "moved": moved,
        "seconds": 7.0,
    }


def test_both_see_nothing_and_agree():
    assert drawn([read("a", seen=())]).means["agreement"] == 1.0


def test_the_arms_are_told_apart_and_measured_alike():
    found = automation([read("a", *SEEN), read("b", SEEN[0], blind=True), read("c", *SEEN)], PARAMS)
    assert (found.drawn.films, found.blind.films) == (2, 1)
    assert found.blind.means["removed"] == 1.0
    assert found.differences["removed"].value == -1.0
    assert found.differences["agreement"].value == pytest.approx(1 - 2 / 3)


def test_a_film_counts_once_however_many_read_it():
    arm = drawn([read("a", *SEEN), read("a", reader="reader-b"), read("b", *SEEN)])
    assert (arm.films, arm.readings) == (2, 3)
    assert arm.means["agreement"] == pytest.approx((0.5 + 1.0) / 2)


def test_what_cannot_be_compared_is_left_out():
    arm = drawn(
        [
            read("a", *SEEN, role="adjudicate"),
            read("b", *SEEN, role="import"),
            read("c", verdict="skipped"),
            read("d", *SEEN, seen=None),  # nobody knows what the model saw
        ]
    )
    assert (arm.films, arm.readings) == (0, 0)
    assert set(arm.means) == set(MEASURES)
    assert set(arm.means.values()) == {None}


def test_controls_and_rereads_are_films_like_others():
    assert drawn([read("a", *SEEN, role="control"), read("b", *SEEN, role="reread")]).films == 2


def test_idle_time_is_cut_and_unknown_time_left_out():
    arm = drawn([read("a", *SEEN, seconds=900.0), read("b", *SEEN, seconds=None)])
    assert arm.means["seconds"] == PARAMS.idle_seconds
    assert drawn([read("a", *SEEN, seconds=None)]).means["seconds"] is None


def test_a_film_takes_what_those_took_whose_time_is_known():
    twice = [read("a", *SEEN, seconds=8.0), read("a", *SEEN, reader="reader-b", seconds=None)]
    assert drawn([*twice, read("b", *SEEN, seconds=2.0)]).means["seconds"] == 5.0


# the interval


def test_few_films_have_no_interval():
    assert difference(np.array([1.0]), np.array([]), seed=0).value is None
    one = difference(np.array([3.0]), np.array([1.0, 1.0]), seed=0)
    assert (one.value, one.low, one.high) == (2.0, None, None)


def test_the_interval_is_about_as_wide_as_theory_says():
    random = np.random.default_rng(3)
    a, b = random.normal(1.0, 2.0, 200), random.normal(0.0, 1.0, 150)
    found = difference(a, b, seed=0)
    error = 1.96 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    assert found.value == pytest.approx(a.mean() - b.mean())
    assert found.low == pytest.approx(found.value - error, abs=0.1 * error)
    assert found.high == pytest.approx(found.value + error, abs=0.1 * error)


def test_the_interval_covers_no_difference_as_often_as_it_promises():
    random = np.random.default_rng(5)
    samples = random.normal(0.0, 1.0, (2, 200, 25))
    found = [difference(a, b, seed=0, draws=400) for a, b in zip(*samples, strict=True)]
    covered = sum(one.low <= 0 <= one.high for one in found)
    assert 0.90 <= covered / len(found) <= 0.99


def test_unknown_values_are_left_out_and_the_seed_decides():
    a, b = np.array([1.0, 2.0, np.nan]), np.array([0.0, 1.0, 1.0])
    assert difference(a, b, seed=1) == difference(a[:2], b, seed=1)
    assert difference(a, b, seed=1) == difference(a, b, seed=1)
