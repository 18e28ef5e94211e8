"""Localisation accuracy and average false positives, as Wang et al. 2017 define them.

ChestX-ray8 (CVPR 2017), Table 4, and Table 7 of the arXiv version. A finding is localised if a
detected box of its class has IoU > T(IoU) with it or, in the tables of IoBB, IoBB > T(IoBB). IoBB
is the intersection over the area of the detected box. Then, for each class,

    Acc(T) = its true boxes that are localised / its true boxes,
    AFP(T) = its detected boxes that localise nothing / films.

All films count in AFP, not only those with the class. The paper does not print the divisor, but
its numbers show it: 55 of the 56 AFP of Table 7 are whole numbers over 984 (the last is printed
with too few decimals). That is the number of annotated boxes, as if a film with two boxes had
entered twice. Here every film enters once.

What differs from the matching of average precision: the overlap must be larger than T, not equal;
a box may be localised by several detections, none of which is then false; scores play no part.
The paper's detector draws one to three boxes of each class on every film, whatever it thinks of
the film, and has no score. The nearest to it that a detector with scores has is its surest box of
each class on each film, however unsure; BOXES says so.

Cases that definitions leave open, decided here: a class without any true box has no Acc (NaN, left
out of the mean over classes), but has an AFP. A class with true boxes and no detections has Acc 0
and AFP 0. Of equal scores the box that its film lists first is taken. Without films all is NaN.
"""

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array, FloatArray, aligned_intersection, aligned_iou, area
from lungal.evaluation.bootstrap import Metric, Statistic, macro_first
from lungal.evaluation.pairs import Pairs, pair_boxes
from lungal.evaluation.precision_recall import Weights
from lungal.records import CLASSES, Detections, GroundTruth

T_IOU = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
T_IOBB = (0.1, 0.25, 0.5, 0.75, 0.9)
"""The thresholds of the paper's tables."""
BOXES = 1
"""Detections that count per film and class, the surest."""

Measure = Literal["iou", "iobb"]
Counts = NDArray[np.int64]


def aligned_iobb(detected: FloatArray, truths: FloatArray) -> FloatArray:
    """Return the (N,) intersection over the detected box's area, each with its partner.

    Args:
        detected: (N, 4) float32, pixels, xyxy; a box without area has 0.
        truths: (N, 4) float32, the same.
    """
    shared, own = aligned_intersection(detected, truths), area(detected)
    return np.divide(shared, own, out=np.zeros_like(shared), where=own > 0)


OVERLAPS: dict[Measure, Callable[[FloatArray, FloatArray], FloatArray]] = {
    "iou": aligned_iou,
    "iobb": aligned_iobb,
}


def class_accuracy(measure: Measure, thresholds: Sequence[float], boxes: int = BOXES) -> Metric:
    """Return the metric "for each threshold: mean Acc of the classes, then Acc of each class"."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        pairs = pair_boxes(truths, detections)
        found, _ = count_localised(pairs, measure, thresholds, boxes)
        expected = pairs.truths

        def statistic(weights: Weights) -> Float64Array:
            there = weights @ expected
            located = np.tensordot(found, weights, axes=(1, 0))
            share = np.full(located.shape, np.nan)
            np.divide(located, there, out=share, where=there > 0)
            return macro_first(share).ravel()

        return statistic

    return prepare


def class_false_positives(
    measure: Measure, thresholds: Sequence[float], boxes: int = BOXES
) -> Metric:
    """Return the metric "for each threshold: mean AFP of the classes, then AFP of each class"."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        _, false = count_localised(pair_boxes(truths, detections), measure, thresholds, boxes)

        def statistic(weights: Weights) -> Float64Array:
            films = float(weights.sum()) or math.nan
            raised = np.asarray(np.tensordot(false, weights, axes=(1, 0)), np.float64)
            return macro_first(raised / films).ravel()

        return statistic

    return prepare


def count_localised(
    pairs: Pairs, measure: Measure, thresholds: Sequence[float], boxes: int = BOXES
) -> tuple[Counts, Counts]:
    """Count, for each of S thresholds, film and class, what is localised and what is false.

    Args:
        pairs: of F films.
        measure: iou or iobb.
        thresholds: S overlaps, each to be surpassed.
        boxes: detections that count per film and class, the surest.

    Returns:
        (S, F, C) int64 true boxes that are localised; (S, F, C) int64 detections that localise
        nothing.
    """
    counted = pairs.rank < boxes
    overlap = OVERLAPS[measure](pairs.boxes[pairs.detection], pairs.truth_boxes[pairs.truth])
    overlap[~counted[pairs.detection]] = -1
    found, false = [], []
    for threshold in thresholds:
        enough = overlap > np.float32(threshold)
        truths = np.unique(pairs.truth[enough])
        idle = counted.copy()
        idle[pairs.detection[enough]] = False
        found.append(_count(pairs, pairs.truth_film[truths], pairs.truth_labels[truths]))
        false.append(_count(pairs, pairs.film[idle], pairs.labels[idle]))
    return np.stack(found), np.stack(false)


def _count(pairs: Pairs, film: NDArray[np.int32], labels: NDArray[np.int32]) -> Counts:
    counts = np.zeros((len(pairs.image_ids), len(CLASSES)), np.int64)
    np.add.at(counts, (film, labels), 1)
    return counts
