"""Greedy matching on cases small enough to do by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_films import seen, truth

from lungal.boxes import iou as pairwise_iou
from lungal.errors import EvaluationError
from lungal.evaluation.matching import match, match_films
from lungal.evaluation.pairs import MAX_DETECTIONS, pair_films


def boxes(*rows):
    return np.array(rows, np.float32).reshape(-1, 4)


def test_a_truth_is_found_once():
    square = (0, 0, 10, 10)
    assert match(boxes(square), boxes(square, square), 0.5).tolist() == [0, -1]


def test_a_box_takes_the_truth_it_overlaps_most():
    truths = boxes((0, 0, 10, 10), (2, 0, 12, 10))
    assert match(truths, boxes((2, 0, 12, 10), (2, 0, 12, 10)), 0.3).tolist() == [1, 0]


def test_of_equal_overlaps_the_last_truth_is_taken():
    truths = boxes((0, 0, 10, 10), (0, 0, 10, 10))
    assert match(truths, boxes((0, 0, 10, 10)), 0.5).tolist() == [1]


@pytest.mark.parametrize("tenths", range(1, 10))
def test_an_overlap_equal_to_the_threshold_is_a_hit(tenths):
    truths, found = boxes((0, 0, 10, 10)), boxes((0, 0, tenths, 10))
    assert match(truths, found, tenths / 10).tolist() == [0]
    assert match(truths, found, tenths / 10 + 1e-4).tolist() == [-1]


def test_nothing_meets_nothing():
    assert match(boxes(), boxes(), 0.5).tolist() == []
    assert match(boxes(), boxes((0, 0, 1, 1)), 0.5).tolist() == [-1]
    assert match(boxes((0, 0, 1, 1)), boxes(), 0.5).tolist() == []


def test_classes_do_not_meet():
    matches = match_films(
        [truth("a", [(0, 0, 10, 10)], [4])],
        [seen("a", [(0, 0, 10, 10)], scores=[0.9], labels=[5])],
        0.5,
    )
    assert matches.hits.tolist() == [False]
    assert matches.truths.tolist() == [[0, 0, 0, 0, 1, 0, 0, 0]]


def test_the_surest_detection_matches_first_whatever_its_place():
    film = truth("a", [(0, 0, 10, 10)], [0])
    found = seen("a", [(0, 0, 10, 8), (0, 0, 10, 10)], scores=[0.2, 0.9], labels=[0, 0])
    matches = match_films([film], [found], 0.5)
    assert matches.scores.tolist() == pytest.approx([0.9, 0.2])
    assert matches.hits.tolist() == [True, False]


def test_ties_stand_by_film_then_by_place():
    square, elsewhere = (0, 0, 10, 10), (50, 50, 60, 60)
    truths = [truth("b", [square], [0]), truth("a", [square], [0])]
    found = [
        seen("b", [square], scores=[0.5], labels=[0]),
        seen("a", [elsewhere, square], scores=[0.5, 0.5], labels=[0, 0]),
    ]
    matches = match_films(truths, found, 0.5)
    assert matches.image_ids == ("a", "b")
    assert matches.film.tolist() == [0, 0, 1]
    assert matches.hits.tolist() == [False, True, True]
    again = match_films(truths[::-1], found[::-1], 0.5)
    assert again.hits.tolist() == matches.hits.tolist()


def test_only_the_surest_hundred_of_a_class_count():
    many = MAX_DETECTIONS + 20
    rows = [(i, 0, i + 1, 1) for i in range(many)]
    found = seen("a", rows, scores=np.linspace(0.1, 0.9, many), labels=[0] * many)
    matches = match_films([truth("a", [rows[0]], [0])], [found], 0.5)
    assert len(matches.hits) == MAX_DETECTIONS
    assert not matches.hits.any()


def test_a_film_without_detections_and_detections_without_truth():
    pairs = pair_films([truth("a", [], [])], [seen("x", [(0, 0, 1, 1)], scores=[0.9], labels=[0])])
    assert [(t.image_id, len(d)) for t, d in pairs] == [("a", 0)]


def test_a_film_that_comes_twice_is_refused():
    film = truth("a", [], [])
    with pytest.raises(EvaluationError, match="'a' comes twice"):
        match_films([film, film], [], 0.5)
    with pytest.raises(EvaluationError, match="'a' comes twice"):
        match_films([film], [seen("a", [], scores=[], labels=[])] * 2, 0.5)


corner = st.integers(0, 12)
box = st.tuples(corner, corner, st.integers(1, 8), st.integers(1, 8)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)


@given(st.lists(box, max_size=5), st.lists(box, max_size=8), st.sampled_from([0.3, 0.5, 0.75]))
def test_pairs_are_one_to_one_overlap_enough_and_leave_no_pair_behind(truths, found, iou):
    truths, found = boxes(*truths), boxes(*found)
    paired = match(truths, found, iou)
    taken = paired[paired >= 0]
    assert len(set(taken.tolist())) == len(taken)
    overlaps = pairwise_iou(found, truths)
    assert all(overlaps[i, j] >= np.float32(iou) for i, j in enumerate(paired) if j >= 0)
    free = np.setdiff1d(np.arange(len(truths)), taken)
    assert not (overlaps[np.ix_(paired < 0, free)] >= np.float32(iou)).any()
