"""FROC: by hand, against a naive count, and what happens at the edges."""

import numpy as np
import pytest
from made_up_films import copied, made_up, seen, truth

from lungal.evaluation.bootstrap import intervals
from lungal.evaluation.froc import RATES, froc_at, froc_curve, sensitivity_at
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES

SQUARE, ELSEWHERE, THIRD = (0, 0, 10, 10), (50, 50, 60, 60), (80, 80, 90, 90)


def at(truths, detections, rates=RATES, iou=0.5):
    matches = match_films(truths, detections, iou)
    return sensitivity_at(matches, rates)(np.ones(len(truths)))


def four_films():
    """Two boxes of class 0 on two of four films; found at .9 and .6, false alarms at .8 and .7."""
    truths = [truth("a", [SQUARE], [0]), truth("b", [SQUARE], [0])]
    truths += [truth("c", [], []), truth("d", [], [])]
    found = [
        seen("a", [SQUARE], scores=[0.9], labels=[0]),
        seen("b", [SQUARE, ELSEWHERE], scores=[0.6, 0.8], labels=[0, 0]),
        seen("c", [ELSEWHERE], scores=[0.7], labels=[0]),
    ]
    return truths, found


def test_by_hand():
    # .9: 1 of 2 at 0 false alarms a film; .8: 1/4; .7: 2/4; .6: 2 of 2 at 2/4.
    pooled, per_class = at(*four_films(), rates=(0.0, 0.1, 0.25, 0.49, 0.5, 2.0))
    assert pooled.tolist() == [0.5, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert per_class[:, 0].tolist() == pooled.tolist()
    assert np.isnan(per_class[:, 1:]).all()


def test_the_points_of_the_curve_by_hand():
    curve = froc_curve(match_films(*four_films(), 0.5), 0)
    assert curve.scores.tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6])
    assert curve.false_positives.tolist() == [0, 0.25, 0.5, 0.5]
    assert curve.sensitivity.tolist() == [0.5, 0.5, 0.5, 1.0]


def test_a_class_has_its_own_false_alarms_and_all_together_share_them():
    truths = [truth("a", [SQUARE, ELSEWHERE], [0, 1])]
    found = [seen("a", [THIRD, SQUARE, ELSEWHERE], scores=[0.9, 0.8, 0.7], labels=[0, 0, 1])]
    pooled, per_class = at(truths, found, rates=(0.5, 1.0))
    assert pooled.tolist() == [0, 1]
    assert per_class[:, 0].tolist() == [0, 1]
    assert per_class[:, 1].tolist() == [1, 1]


def test_equal_scores_come_together_or_not_at_all():
    truths = [truth("a", [SQUARE], [0])]
    found = [seen("a", [SQUARE, ELSEWHERE], scores=[0.5, 0.5], labels=[0, 0])]
    assert at(truths, found, rates=(0.5, 1.0))[0].tolist() == [0, 1]


def test_a_second_detection_of_a_box_is_a_false_alarm():
    truths = [truth("a", [SQUARE, ELSEWHERE], [0, 0])]
    found = [seen("a", [SQUARE, SQUARE, ELSEWHERE], scores=[0.9, 0.8, 0.7], labels=[0, 0, 0])]
    assert at(truths, found, rates=(0.5, 1.0))[0].tolist() == [0.5, 1]


def test_no_detections_no_truth_no_films():
    pooled, per_class = at([truth("a", [SQUARE], [0])], [])
    assert pooled.tolist() == [0] * len(RATES)
    assert per_class[:, 0].tolist() == [0] * len(RATES)
    assert np.isnan(
        at([truth("a", [], [])], [seen("a", [SQUARE], scores=[0.9], labels=[0])])[0]
    ).all()
    pooled, per_class = at([], [])
    assert np.isnan(pooled).all()
    assert np.isnan(per_class).all()
    empty = froc_curve(match_films([], [], 0.5))
    assert [len(column) for column in empty] == [0, 0, 0]


def naive(truths, detections, iou, rate, label):
    """Try every score that there is as the threshold."""
    matches = match_films(truths, detections, iou)
    mine = np.ones(len(matches.labels), bool) if label is None else matches.labels == label
    expected = matches.truths.sum() if label is None else matches.truths[:, label].sum()
    best = 0
    for threshold in np.unique(matches.scores[mine]):
        kept = mine & (matches.scores >= threshold)
        if (kept & ~matches.hits).sum() / len(truths) <= rate:
            best = max(best, (kept & matches.hits).sum())
    return best / expected


@pytest.mark.parametrize("ties", [False, True])
def test_against_trying_every_threshold(ties):
    films = made_up(np.random.default_rng(3), films=40, classes=np.arange(4), ties=ties)
    pooled, per_class = at(*films, iou=0.4)
    for row, rate in enumerate(RATES):
        assert pooled[row] == pytest.approx(naive(*films, 0.4, rate, None), abs=1e-12)
        for label in range(4):
            assert per_class[row, label] == pytest.approx(naive(*films, 0.4, rate, label))
    assert pooled[1] < pooled[-1] < 1
    assert pooled[-1] > 0.2


def test_weights_are_copies_of_films():
    truths, detections = made_up(np.random.default_rng(8), films=20, classes=np.arange(3))
    weights = np.random.default_rng(9).integers(0, 4, 20)
    copies = copied(truths, weights), copied(detections, weights)
    weighted = sensitivity_at(match_films(truths, detections, 0.4))(weights.astype(float))
    for ours, theirs in zip(weighted, at(*copies, iou=0.4), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


def test_each_number_has_its_interval():
    truths, detections = made_up(np.random.default_rng(1), films=40, classes=np.arange(3))
    rows = intervals(truths, detections, froc_at(0.4), seed=0, draws=50)
    assert len(rows) == len(RATES) * (2 + len(CLASSES))
    pooled, per_class = at(truths, detections, iou=0.4)
    assert rows[0].value == pytest.approx(pooled[0])
    assert rows[1].value == pytest.approx(np.nanmean(per_class[0]))
    assert [row.value for row in rows[2:5]] == pytest.approx(per_class[0, :3].tolist())
    assert rows[10].value == pytest.approx(pooled[1])
    assert np.isnan(rows[6].value)
    assert all(row.low <= row.value <= row.high for row in rows[:5])
