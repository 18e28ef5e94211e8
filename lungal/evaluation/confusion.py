"""What is taken for what, at the working point."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import IntArray
from lungal.evaluation.matching import match, surest_first
from lungal.evaluation.pairs import pair_films
from lungal.records import CLASSES, Detections, GroundTruth

BACKGROUND = "background"
"""The last row holds false alarms, the last column missed findings."""

AXIS = (*CLASSES, BACKGROUND)


def confusion(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], *, score: float, iou: float
) -> NDArray[np.int64]:
    """Count pairs of truth and detection by class.

    Boxes meet within their class first, as for average precision, so that the diagonal counts
    its hits. What is left meets across classes: a Mass found as a Nodule. A box that still meets
    nothing meets the background.

    Args:
        truths: the films that count.
        detections: what was seen on them.
        score: least score of a detection that counts.
        iou: least overlap of a pair, in (0, 1].

    Returns:
        (C + 1, C + 1) int64, rows actual, columns predicted, both in the order of AXIS.

    Raises:
        EvaluationError: if a film comes twice.
    """
    counts = np.zeros((len(AXIS), len(AXIS)), np.int64)
    for truth, seen in pair_films(truths, detections):
        actual, predicted = _pair_classes(truth, seen.above(score), iou)
        np.add.at(counts, (actual, predicted), 1)
    return counts


def _pair_classes(truth: GroundTruth, seen: Detections, iou: float) -> tuple[IntArray, IntArray]:
    """Return a film's pairs as (P,) actual and (P,) predicted indices into AXIS."""
    order = surest_first(seen)
    boxes, labels = seen.boxes[order], seen.labels[order]
    actual = np.full(len(labels), len(CLASSES), np.int32)
    free = np.ones(len(truth.labels), np.bool_)
    within = [(labels == label, truth.labels == label) for label in np.unique(labels)]
    across = (np.ones_like(labels, np.bool_), np.ones_like(free))
    for of_detections, of_truths in (*within, across):
        mine = np.flatnonzero(of_detections & (actual == len(CLASSES)))
        theirs = np.flatnonzero(of_truths & free)
        paired = match(truth.boxes[theirs], boxes[mine], iou)
        met = theirs[paired[paired >= 0]]
        actual[mine[paired >= 0]] = truth.labels[met]
        free[met] = False
    missed = truth.labels[free]
    return (
        np.concatenate([actual, missed]),
        np.concatenate([labels, np.full(len(missed), len(CLASSES), np.int32)]),
    )
