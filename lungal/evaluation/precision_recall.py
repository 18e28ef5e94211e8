"""Average precision as COCO computes it, per class and macro-averaged.

Cases that definitions leave open, decided here:

- A class without any true box has no AP: NaN, left out of the macro average.
- A class with true boxes and no detections has AP 0.
- Detections with equal scores stand by image_id, then in the order of their film.
- With no true box at all the macro AP is 0.0, so that a training can still compare steps.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array, FloatArray
from lungal.evaluation.matching import Matches, match_films, match_films_at
from lungal.records import CLASSES, Detections, GroundTruth

RECALLS = np.linspace(0.0, 1.0, 101)
"""(101,) float64, the recalls at which COCO reads precision."""

COCO_IOUS = tuple(float(iou) for iou in np.linspace(0.5, 0.95, 10))
"""The overlaps over which COCO's own AP is averaged, computed as pycocotools computes them."""

Weights = Float64Array
"""(F,) how many times each film counts; resampling films is giving them weights."""


def precision_recall_curve(matches: Matches, weights: Weights | None = None) -> Float64Array:
    """Return (C, 101) float64, the best precision at each of RECALLS or beyond; NaN without truth.

    COCO's interpolation (pycocotools, `COCOeval.accumulate`): precision is made non-increasing
    from the right, then read at the first detection that reaches a recall; unreached recalls
    have precision 0.

    Args:
        matches: judged detections of F films.
        weights: (F,) float64, copies of each film; None counts each once. Copies only add points
            between those of the single film, below the envelope: the weighted curve is the curve
            of the copied films.
    """
    ones = np.ones(len(matches.image_ids))
    return precision_recall_curves(matches)(ones if weights is None else weights)


def precision_recall_curves(matches: Matches) -> Callable[[Weights], Float64Array]:
    """Return `precision_recall_curve` of these films as a function of their weights, made quick.

    Recall rises at hits only, and between two hits precision falls. So the curve is known from
    its hits, and what stands behind the last one does not count.
    """
    plans = []
    for label in range(len(CLASSES)):
        mine = matches.of_class(label)
        hits = np.flatnonzero(matches.hits[mine])
        plans.append((matches.film[mine][: hits.max(initial=-1) + 1], hits))

    def curves(weights: Weights) -> Float64Array:
        expected = weights @ matches.truths
        drawn = np.full((len(CLASSES), len(RECALLS)), np.nan)
        for label in np.flatnonzero(expected > 0):
            film, hits = plans[label]
            drawn[label] = _interpolate(weights[film], hits, expected[label])
        return drawn

    return curves


def _interpolate(weights: Float64Array, hits: NDArray[np.intp], expected: float) -> Float64Array:
    true_positives = np.cumsum(weights[hits])
    all_positives = np.cumsum(weights)[hits]
    # COCO's tiny number keeps 0/0 (films drawn zero times) at 0.
    precision = true_positives / (all_positives + np.spacing(1))
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    reached = np.searchsorted(true_positives / expected, RECALLS, side="left")
    return np.append(envelope, 0.0)[reached]


def macro_ap(truths: Sequence[GroundTruth], detections: Iterable[Detections], iou: float) -> float:
    """Return the mean average precision over the classes that have ground truth; 0.0 if none has.

    Raises:
        EvaluationError: if a film comes twice.
    """
    return macro(precision_recall_curve(match_films(truths, detections, iou)))


def weighted_ap(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], ious: Sequence[float]
) -> float:
    """Return the average precision over classes by their boxes, averaged over overlaps.

    For choosing between checkpoints on few films: in the macro AP a class of two boxes weighs as
    much as one of thirty, and whether those two are hit is luck.

    Raises:
        EvaluationError: if a film comes twice.
    """
    labels = [int(label) for truth in truths for label in truth.labels]
    if not labels:
        return 0.0
    counts = np.bincount(labels, minlength=len(CLASSES))
    per_class = coco_ap(truths, detections, ious)
    there = counts > 0
    return float(np.average(per_class[there], weights=counts[there]))


def macro(curves: Float64Array) -> float:
    """Average (C, 101) curves over recalls and the classes with truth; 0.0 if none has any."""
    judged = curves[~np.isnan(curves[:, 0])]
    return float(judged.mean()) if len(judged) else 0.0


def coco_ap(
    truths: Sequence[GroundTruth],
    detections: Iterable[Detections],
    ious: Sequence[float] = COCO_IOUS,
) -> FloatArray:
    """Return the (C,) float32 AP of each class, averaged over overlaps; NaN without truth.

    Equal to pycocotools' COCOeval (101 points, maxDets 100, area "all"; its first number, before
    its mean over classes) to 1e-6.

    Args:
        truths: the films that count.
        detections: what was seen on them; a film without an entry counts as "nothing seen", an
            entry without truth is ignored.
        ious: least overlaps of a hit, each in (0, 1].

    Raises:
        EvaluationError: if a film comes twice.
    """
    at = match_films_at(truths, detections, ious)
    curves = [precision_recall_curve(matches) for matches in at]
    return np.asarray(np.mean(curves, axis=(0, 2)), np.float32)
