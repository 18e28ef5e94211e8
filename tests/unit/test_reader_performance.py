"""Readers on known cases: what counts as found, as false, as time, and how sure that is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_readings import box, said

from lungal.params import ReadingParams
from lungal.reading.performance import drift, performances, wilson

PARAMS = ReadingParams(iou=0.4, idle_seconds=100)
MASS, NODULE = box("Mass"), box("Nodule", x=100)
TRUTH = {"two": (MASS, NODULE), "one": (MASS,), "none": ()}


def control(image_id, *boxes, **rest):
    return said(image_id, *boxes, role="control", **rest)


def only(readings, truth=TRUTH):
    (one,) = performances(readings, truth, PARAMS)
    return one


def test_found_and_false_boxes_are_counted_over_films():
    one = only(
        [
            control("two", MASS),  # misses the nodule
            control("one", MASS, box("Effusion", x=200)),  # one too many
            control("none", box("Mass")),  # nothing is there
        ]
    )
    assert (one.controls, one.boxes, one.found) == (3, 3, 2)
    assert one.sensitivity == pytest.approx(2 / 3)
    assert one.false_positives == pytest.approx(2 / 3)
    assert one.mean_iou == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("drawn", "found"),
    [
        (box("Mass", x=20), True),  # IoU 30 / 50
        (box("Mass", x=30), False),  # IoU 20 / 60
        (box("Nodule"), False),  # the right place, another name
    ],
)
def test_a_box_is_found_by_name_and_place(drawn, found):
    one = only([control("one", drawn)])
    assert (one.found, one.false_positives) == ((1, 0.0) if found else (0, 1.0))


def test_a_box_drawn_twice_is_found_once():
    one = only([control("one", MASS, box("Mass", x=12))])
    assert (one.found, one.false_positives) == (1, 1.0)


def test_mean_iou_is_of_the_boxes_that_were_found():
    one = only([control("two", box("Mass", x=20), box("Nodule", x=170))])
    assert one.mean_iou == pytest.approx(30 / 50, abs=1e-6)


def test_only_known_cases_are_judged_but_all_time_counts():
    one = only([control("one", MASS, seconds=10.0), said("two", seconds=30.0), said("x", MASS)])
    assert (one.readings, one.controls, one.boxes, one.sensitivity) == (3, 1, 1, 1.0)
    assert one.seconds == 10.0
    assert only([control("unheard of", MASS)]).controls == 0


def test_a_pass_is_no_miss_but_it_is_said():
    one = only([control("one", verdict="skipped"), control("two", verdict="unreadable")])
    assert (one.controls, one.passed, one.sensitivity, one.low) == (0, 2, None, None)
    assert one.false_positives is None


def test_films_without_a_box_tell_nothing_of_sensitivity():
    one = only([control("none")])
    assert (one.controls, one.boxes, one.sensitivity, one.false_positives) == (1, 0, None, 0.0)


def test_a_film_left_open_counts_for_the_cap():
    assert only([control("one", MASS, seconds=5000.0)]).seconds == PARAMS.idle_seconds
    assert only([control("one", MASS, seconds=None)]).seconds is None


def test_readers_are_judged_apart_and_imports_not_at_all():
    found = performances(
        [
            control("one", MASS, reader="reader-b"),
            control("one", reader="reader-a"),
            said("one", MASS, role="import", reader="import-coco"),
        ],
        TRUTH,
        PARAMS,
    )
    assert [(one.reader, one.sensitivity) for one in found] == [
        ("reader-a", 0.0),
        ("reader-b", 1.0),
    ]


def test_drift_is_by_round():
    turns = drift(
        [
            control("one", MASS, round=2, seconds=8.0),
            control("one", round=1, seconds=4.0),
            said("x", round=3),
        ],
        TRUTH,
        PARAMS,
    )
    assert [(t.round, t.sensitivity, t.seconds) for t in turns] == [
        (1, 0.0, 4.0),
        (2, 1.0, 8.0),
        (3, None, 10.0),
    ]


@pytest.mark.parametrize(
    ("found", "boxes", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)],
)
def test_the_interval_is_the_published_one(found, boxes, low, high):
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    assert wilson(found, boxes) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_holds_the_share_and_stays_in_bounds(counts):
    found, boxes = counts
    low, high = wilson(found, boxes)
    assert 0 <= low <= found / boxes + 1e-12
    assert found / boxes - 1e-12 <= high <= 1
    assert high - low > 0
