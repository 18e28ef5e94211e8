"""Localisation accuracy and average false positives, by hand and against a naive count."""

import numpy as np
import pytest
from made_up_films import copied, made_up, seen, truth

from lungal.evaluation.bootstrap import intervals
from lungal.evaluation.localisation import (
    T_IOBB,
    T_IOU,
    aligned_iobb,
    class_accuracy,
    class_false_positives,
    count_localised,
)
from lungal.evaluation.pairs import pair_boxes
from lungal.records import CLASSES

SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)
HALF, DOUBLE = (0, 0, 10, 5), (0, 0, 10, 20)


def values(metric, films):
    return metric(*films)(np.ones(len(films[0]))).reshape(-1, 1 + len(CLASSES))


def test_iobb_is_the_share_of_the_detected_box():
    boxes = np.array([HALF, DOUBLE, ELSEWHERE, (3, 3, 3, 9)], np.float32)
    truths = np.array([SQUARE] * 4, np.float32)
    assert aligned_iobb(boxes, truths).tolist() == [1, 0.5, 0, 0]


def test_by_hand():
    films = (
        [truth("a", [SQUARE], [0]), truth("b", [SQUARE], [0]), truth("c", [], [])],
        [
            seen("a", [HALF], scores=[0.9], labels=[0]),  # IoU .5, IoBB 1
            seen("b", [DOUBLE], scores=[0.1], labels=[0]),  # IoU .5, IoBB .5
            seen("c", [SQUARE], scores=[0.9], labels=[0]),
        ],
    )
    assert values(class_accuracy("iou", (0.4, 0.6)), films)[:, 1].tolist() == [1, 0]
    assert values(class_accuracy("iobb", (0.4, 0.6)), films)[:, 1].tolist() == [1, 0.5]
    assert values(class_false_positives("iou", (0.4, 0.6)), films)[:, 1].tolist() == [1 / 3, 1]
    rows = values(class_false_positives("iobb", (0.4, 0.6)), films)
    assert rows[:, 1].tolist() == [1 / 3, 2 / 3]


def test_the_overlap_must_be_larger_than_the_threshold():
    films = [truth("a", [SQUARE], [0])], [seen("a", [HALF], scores=[0.9], labels=[0])]
    rows = values(class_accuracy("iou", (0.5, 0.4999)), films)
    assert rows[:, 1].tolist() == [0, 1]


def test_of_a_class_and_film_the_surest_box_counts():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, ELSEWHERE], scores=[0.8, 0.9], labels=[0, 0])],
    )
    assert values(class_accuracy("iou", (0.5,)), films)[0, 1] == 0
    assert values(class_false_positives("iou", (0.5,)), films)[0, 1] == 1
    assert values(class_accuracy("iou", (0.5,), boxes=2), films)[0, 1] == 1
    assert values(class_false_positives("iou", (0.5,), boxes=2), films)[0, 1] == 1


def test_of_equal_scores_the_first_box_of_the_film_counts():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, ELSEWHERE], scores=[0.9, 0.9], labels=[0, 0])],
    )
    assert values(class_accuracy("iou", (0.5,)), films)[0, 1] == 1


def test_several_detections_of_one_box_are_none_of_them_false():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, SQUARE], scores=[0.9, 0.8], labels=[0, 0])],
    )
    assert values(class_accuracy("iou", (0.5,), boxes=2), films)[0, 1] == 1
    assert values(class_false_positives("iou", (0.5,), boxes=2), films)[0, 1] == 0


def test_a_box_localises_every_finding_that_it_overlaps_enough():
    films = [truth("a", [SQUARE, HALF], [0, 0])], [seen("a", [SQUARE], scores=[0.9], labels=[0])]
    assert values(class_accuracy("iou", (0.4, 0.5)), films)[:, 1].tolist() == [1, 0.5]


def test_without_truth_no_accuracy_but_false_positives():
    films = [truth("a", [SQUARE], [0])], [seen("a", [SQUARE], scores=[0.9], labels=[3])]
    accuracy, false = (
        values(metric("iou", (0.5,)), films)[0]
        for metric in (class_accuracy, class_false_positives)
    )
    assert accuracy[:2].tolist() == [0, 0]
    assert np.isnan(accuracy[2:]).all()
    assert false[[1, 4]].tolist() == [0, 1]
    assert false[0] == pytest.approx(1 / 8)


def test_no_films():
    assert np.isnan(values(class_accuracy("iou", T_IOU), ([], []))).all()
    assert np.isnan(values(class_false_positives("iou", T_IOU), ([], []))).all()


def naive(truths, detections, threshold, boxes, iobb):
    found, false = np.zeros(len(CLASSES)), np.zeros(len(CLASSES))
    by_film = {d.image_id: d for d in detections}
    for film in truths:
        d = by_film[film.image_id]
        order = np.argsort(-d.scores, kind="stable")
        for label in range(len(CLASSES)):
            mine = [d.boxes[k].astype(float) for k in order if d.labels[k] == label][:boxes]
            theirs = [
                b.astype(float) for b, c in zip(film.boxes, film.labels, strict=True) if c == label
            ]

            def enough(a, b):
                sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
                shared = sides[0] * sides[1] if (sides > 0).all() else 0.0
                own, other = np.prod(a[2:] - a[:2]), np.prod(b[2:] - b[:2])
                return shared / (own if iobb else own + other - shared) > threshold

            found[label] += sum(any(enough(a, b) for a in mine) for b in theirs)
            false[label] += sum(not any(enough(a, b) for b in theirs) for a in mine)
    return found, false


@pytest.mark.parametrize("boxes", [1, 3])
@pytest.mark.parametrize(("measure", "thresholds"), [("iou", T_IOU), ("iobb", T_IOBB)])
def test_against_counting_box_by_box(measure, thresholds, boxes):
    films = made_up(np.random.default_rng(12), films=40, classes=np.arange(5))
    pairs = pair_boxes(*films)
    found, false = count_localised(pairs, measure, thresholds, boxes)
    for row, threshold in enumerate(thresholds):
        expected = naive(*films, threshold, boxes, measure == "iobb")
        np.testing.assert_array_equal(found[row].sum(axis=0), expected[0])
        np.testing.assert_array_equal(false[row].sum(axis=0), expected[1])
    accuracy = values(class_accuracy(measure, thresholds, boxes), films)[:, 1:6]
    np.testing.assert_allclose(accuracy, found.sum(axis=1)[:, :5] / pairs.truths.sum(axis=0)[:5])
    assert (np.diff(accuracy, axis=0) <= 0).all()
    assert accuracy[0].min() > accuracy[-1].max()


def test_each_number_has_its_interval_from_the_same_draws_as_copies():
    truths, detections = made_up(np.random.default_rng(1), films=30, classes=np.arange(3))
    weights = np.arange(30) % 3
    statistic = class_accuracy("iou", (0.3,))(truths, detections)(weights.astype(float))
    copies = copied(truths, weights), copied(detections, weights)
    np.testing.assert_allclose(
        statistic, class_accuracy("iou", (0.3,))(*copies)(np.ones(len(copies[0])))
    )
    rows = intervals(truths, detections, class_accuracy("iou", T_IOU), seed=0, draws=40)
    assert len(rows) == len(T_IOU) * 9
    assert all(row.low <= row.value <= row.high for row in rows[:4])
