"""The confusion matrix by hand, and its ties to average precision."""

import numpy as np
from made_up_films import made_up, seen, truth

from lungal.evaluation.confusion import AXIS, confusion
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES

MASS, NODULE, NOTHING = AXIS.index("Mass"), AXIS.index("Nodule"), len(CLASSES)
SQUARE, SHIFTED, ELSEWHERE = (0, 0, 10, 10), (1, 0, 11, 10), (50, 50, 60, 60)


def entries(counts):
    return {(int(i), int(j)): int(counts[i, j]) for i, j in zip(*np.nonzero(counts), strict=True)}


def test_hits_confusions_misses_and_false_alarms():
    truths = [truth("a", [SQUARE, ELSEWHERE], [MASS, NODULE]), truth("b", [SQUARE], [MASS])]
    found = [
        seen("a", [SQUARE, ELSEWHERE, (20, 20, 25, 25)], scores=[0.9, 0.8, 0.7], labels=[MASS] * 3)
    ]
    assert entries(confusion(truths, found, score=0.5, iou=0.5)) == {
        (MASS, MASS): 1,
        (NODULE, MASS): 1,
        (NOTHING, MASS): 1,
        (MASS, NOTHING): 1,
    }


def test_a_box_meets_its_own_class_before_a_surer_box_of_another():
    truths = [truth("a", [SQUARE], [NODULE])]
    found = [seen("a", [SQUARE, SHIFTED], scores=[0.9, 0.8], labels=[MASS, NODULE])]
    assert entries(confusion(truths, found, score=0.5, iou=0.5)) == {
        (NODULE, NODULE): 1,
        (NOTHING, MASS): 1,
    }


def test_below_the_working_score_nothing_counts():
    truths = [truth("a", [SQUARE], [MASS])]
    found = [seen("a", [SQUARE, ELSEWHERE], scores=[0.5, 0.49], labels=[MASS, NODULE])]
    assert entries(confusion(truths, found, score=0.5, iou=0.5)) == {(MASS, MASS): 1}


def test_empty_films():
    assert not confusion([truth("a", [], [])], [], score=0.5, iou=0.5).any()
    assert not confusion([], [], score=0.5, iou=0.5).any()


def test_rows_count_truths_columns_count_detections_and_the_diagonal_hits():
    truths, found = made_up(np.random.default_rng(5), films=40, classes=np.arange(8))
    counts = confusion(truths, found, score=0.4, iou=0.4)
    matches = match_films(truths, found, 0.4)
    counted = matches.scores >= np.float32(0.4)
    assert counts[:-1].sum(axis=1).tolist() == matches.truths.sum(axis=0).tolist()
    assert counts[:, :-1].sum(axis=0).tolist() == np.bincount(matches.labels[counted]).tolist()
    hits = np.bincount(matches.labels[counted & matches.hits], minlength=len(CLASSES))
    assert counts.diagonal()[:-1].tolist() == hits.tolist()
    assert counts[NOTHING, NOTHING] == 0
