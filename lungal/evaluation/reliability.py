"""How far scores are from how often they are right: D-ECE and the Brier score.

D-ECE (Kueppers et al. 2020, "Multivariate Confidence Calibration for Object Detection", here by the
score alone): detections are put into M equal bins by score; of each bin m the share that is right,
prec(m), is compared with its mean score, conf(m):

    D-ECE = sum over m of |D_m| / |D| * |prec(m) - conf(m)|.

Brier score: the mean of (score - right)^2 over detections (Brier 1950).

A detection is right if it found a box of its class at an overlap, by the matching of average
precision. Boxes that were missed count nowhere: both say whether scores can be believed, not
whether the detector is good. Most detections of a detector that keeps low scores are wrong and say
so; a class of which this is all has a D-ECE near 0.

Cases that definitions leave open, decided here: a class without detections has neither number
(NaN, left out of the mean over classes); a class without true boxes has both, as all its
detections are wrong. A score on the edge of two bins belongs to the upper one, 1 to the last. Ties
do not matter.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array
from lungal.evaluation.bootstrap import Metric, Statistic, macro_first
from lungal.evaluation.matching import Matches, match_films
from lungal.evaluation.precision_recall import Weights
from lungal.records import CLASSES, Detections, GroundTruth

BINS = 20
"""Bins over [0, 1]. The value depends on them, so they are no parameter."""


def class_d_ece_at(iou: float, bins: int = BINS) -> Metric:
    """Return the metric "mean D-ECE of the classes, then that of each class"."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        matches = match_films(truths, detections, iou)
        gaps, cells = _gaps(matches), _cells(matches, bins)

        def statistic(weights: Weights) -> Float64Array:
            of_film = weights[matches.film]
            sums = np.bincount(cells, of_film * gaps, len(CLASSES) * bins).astype(np.float64)
            of_bins = np.abs(sums).reshape(len(CLASSES), bins)
            return _per_detection(of_bins.sum(axis=1), matches, of_film)

        return statistic

    return prepare


def class_brier_at(iou: float) -> Metric:
    """Return the metric "mean Brier score of the classes, then that of each class"."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        matches = match_films(truths, detections, iou)
        squares = _gaps(matches) ** 2

        def statistic(weights: Weights) -> Float64Array:
            of_film = weights[matches.film]
            sums = np.bincount(matches.labels, of_film * squares, len(CLASSES)).astype(np.float64)
            return _per_detection(sums, matches, of_film)

        return statistic

    return prepare


def _gaps(matches: Matches) -> Float64Array:
    # Within a bin the counts cancel: |D_m| * |prec - conf| is the absolute sum of score - right.
    return matches.scores.astype(np.float64) - matches.hits


def _cells(matches: Matches, bins: int) -> NDArray[np.int64]:
    of_score = np.minimum((matches.scores.astype(np.float64) * bins).astype(np.int64), bins - 1)
    return np.asarray(matches.labels * bins + of_score, np.int64)


def _per_detection(sums: Float64Array, matches: Matches, of_film: Float64Array) -> Float64Array:
    counts = np.bincount(matches.labels, of_film, minlength=len(CLASSES))
    shares = np.full((1, len(CLASSES)), np.nan)
    np.divide(sums, counts, out=shares[0], where=counts > 0)
    return macro_first(shares).ravel()
