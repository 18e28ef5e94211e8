"""RoDeO, the robust detection outcome of Meissen et al. 2023, from the paper's formulas.

"Robust Detection Outcome: A Metric for Pathology Detection in Medical Images", MIDL 2023, and the
authors' package `rodeometric` 0.0.1, with which this module agrees to 1e-6. It judges boxes without
scores, so a threshold must be chosen first. On each film detected boxes are paired with true ones
by the Hungarian method, whatever their classes, with the cost

    -(GIoU + w * same class),   w = max(0, MCC of "film has class" over all films and classes).

Over the pairs, all films together, three scores are measured:

    localisation   = mean of exp(-ln 2 * d),  d = (dx / width)^2 + (dy / height)^2     (equation 2)
                     with dx, dy between the centres and width, height of the true box;
    shape          = mean IoU of the boxes moved onto one corner;                      (equation 3)
    classification = MCC of the pairs' classes, one-hot, not below 0;                  (equation 4)

each times pairs / (pairs + detections left over + truths left over)                   (equation 5).
The total is their harmonic mean, with 1e-6 added to each                              (equation 6).
Of one class count the pairs whose truth is of it, and what is left over of it.

Cases that definitions leave open, decided here:

- No pair: all scores are 0. A class without truth and without a detection left over has none: NaN.
- Without any film everything is 0, as in the package.
- Which of several equally cheap pairings is taken is up to scipy; films are put in by image_id and
  their detections by falling score, so it is always the same.
- In a draw of the bootstrap the pairs stay as they are: w is not measured again.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array, IntArray
from lungal.evaluation.bootstrap import Metric, Statistic
from lungal.evaluation.matching import surest_first
from lungal.evaluation.pairs import pair_films
from lungal.evaluation.precision_recall import Weights
from lungal.records import CLASSES, Detections, GroundTruth

PARTS = ("total", "localisation", "shape", "classification")
SMALL = 1e-6

Film = tuple[GroundTruth, Detections]


class Paired(NamedTuple):
    """What came of pairing the boxes of F films."""

    film: IntArray  # (P,) of each pair
    label: IntArray  # (P,) class of its truth
    same: NDArray[np.bool_]  # (P,) whether the detection says so too
    localisation: Float64Array  # (P,) in [0, 1]
    shape: Float64Array  # (P,) in [0, 1]
    left_over: NDArray[np.int64]  # (F, C) detections and truths without partner


def class_rodeo_from(score: float) -> Metric:
    """Return the metric "for each of PARTS: of all films' boxes together, then of each class".

    The first number of a part is RoDeO as published: not a mean over classes.

    Args:
        score: from which a detection counts.
    """

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        films = [(truth, seen.above(score)) for truth, seen in pair_films(truths, detections)]
        paired = pair_all(films)
        return lambda weights: score_pairs(paired, weights).ravel()

    return prepare


def pair_all(films: Sequence[Film]) -> Paired:
    """Pair the boxes of each film; see the module for the cost."""
    weight = class_weight(films)
    paired = [_pair(number, film, weight) for number, film in enumerate(films)]
    if not paired:
        none, numbers = np.zeros(0), np.zeros(0, np.int32)
        left_over = np.zeros((0, len(CLASSES)), np.int64)
        return Paired(numbers, numbers, np.zeros(0, np.bool_), none, none, left_over)
    return Paired(*map(np.concatenate, zip(*paired, strict=True)))


def _pair(number: int, film: Film, weight: float) -> Paired:
    truth, seen = film
    order = surest_first(seen)
    boxes, labels = seen.boxes[order].astype(np.float64), seen.labels[order]
    true_boxes = truth.boxes.astype(np.float64)
    same = labels[:, None] == truth.labels[None]
    mine, theirs = _cheapest(-generalised_iou(boxes, true_boxes) - weight * same)
    alone = np.concatenate([np.delete(labels, mine), np.delete(truth.labels, theirs)])
    return Paired(
        np.full(len(mine), number, np.int32),
        truth.labels[theirs],
        same[mine, theirs],
        _closeness(boxes[mine], true_boxes[theirs]),
        _same_shape(boxes[mine], true_boxes[theirs]),
        np.bincount(alone, minlength=len(CLASSES))[None],
    )


def score_pairs(paired: Paired, weights: Weights) -> Float64Array:
    """Return (4, 1 + C) float64: each of PARTS for all boxes together, then for each class.

    Args:
        paired: of F films.
        weights: (F,) float64, copies of each film.
    """
    of_film = weights[paired.film]

    def summed(values: Float64Array | NDArray[np.bool_] | float) -> Float64Array:
        per_class = np.bincount(paired.label, of_film * values, minlength=len(CLASSES))
        return np.append(per_class.sum(), per_class).astype(np.float64)  # of nothing it is int

    pairs = summed(1.0)
    left = weights @ paired.left_over
    boxes = pairs + np.append(left.sum(), left)
    same = np.divide(summed(paired.same), pairs, out=np.zeros_like(pairs), where=pairs > 0)
    # MCC of one-hot rows, flattened: every row has one 1 in either, so one share says it all.
    mcc = np.maximum(0.0, (same * len(CLASSES) - 1) / (len(CLASSES) - 1))
    sums = np.stack([summed(paired.localisation), summed(paired.shape), mcc * pairs])
    parts = np.divide(sums, boxes, out=np.full_like(sums, np.nan), where=boxes > 0)
    total = len(parts) / (1 / (parts + SMALL)).sum(axis=0)
    scores = np.vstack([np.where(pairs > 0, total, total * 0), parts])
    scores[:, 0] = np.nan_to_num(scores[:, 0])
    return scores


def class_weight(films: Sequence[Film]) -> float:
    """Return w: max(0, Matthews correlation of seen and true classes, over films and classes)."""
    seen, true = (np.zeros((len(films), len(CLASSES)), np.bool_) for _ in range(2))
    for number, (truth, found) in enumerate(films):
        seen[number, found.labels] = True
        true[number, truth.labels] = True
    pairs = ((seen, true), (~seen, ~true), (seen, ~true), (~seen, true))
    both, neither, only_seen, only_true = (int((a & b).sum()) for a, b in pairs)
    sides = (both + only_seen, both + only_true, neither + only_seen, neither + only_true)
    if not all(sides):
        return 0.0
    return max(0.0, (both * neither - only_seen * only_true) / math.sqrt(math.prod(sides)))


def _cheapest(cost: Float64Array) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    from scipy.optimize import linear_sum_assignment

    mine, theirs = linear_sum_assignment(cost)
    return mine, theirs


def generalised_iou(a: Float64Array, b: Float64Array) -> Float64Array:
    """Return the (N, M) pairwise GIoU of boxes a (N, 4) and b (M, 4), xyxy (Rezatofighi 2019)."""
    a, b = a[:, None], b[None]
    shared = _extent(np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:]))
    union = _extent(a[..., :2], a[..., 2:]) + _extent(b[..., :2], b[..., 2:]) - shared
    hull = _extent(np.minimum(a[..., :2], b[..., :2]), np.maximum(a[..., 2:], b[..., 2:]))
    return _ratio(shared, union) - _ratio(hull - union, hull)


def _extent(low: Float64Array, high: Float64Array) -> Float64Array:
    return np.asarray(np.clip(high - low, 0, None).prod(axis=-1))


def _ratio(a: Float64Array, b: Float64Array) -> Float64Array:
    # A box without area is like no other.
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _closeness(boxes: Float64Array, truths: Float64Array) -> Float64Array:
    apart = (boxes[:, :2] + boxes[:, 2:] - truths[:, :2] - truths[:, 2:]) / 2
    distances = (apart / (truths[:, 2:] - truths[:, :2])) ** 2
    return np.asarray(np.exp(-np.log(2) * distances.sum(axis=1)))


def _same_shape(boxes: Float64Array, truths: Float64Array) -> Float64Array:
    sides, true_sides = boxes[:, 2:] - boxes[:, :2], truths[:, 2:] - truths[:, :2]
    shared = np.minimum(sides, true_sides).prod(axis=1)
    return _ratio(shared, sides.prod(axis=1) + true_sides.prod(axis=1) - shared)
