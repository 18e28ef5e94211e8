"""How sure a metric is: percentile bootstrap over patients.

Films of one patient resemble each other, so whole patients are drawn, with replacement, as many as
there are (cluster bootstrap: Davison & Hinkley 1997, section 3.8). Nothing is matched again: a
draw is a weight for each film.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array, IntArray
from lungal.errors import EvaluationError
from lungal.evaluation.matching import match_films_at
from lungal.evaluation.precision_recall import Weights, macro, precision_recall_curves
from lungal.records import Detections, GroundTruth

LEVEL = 0.9
"""Share of draws inside an interval: from the 5th to the 95th percentile."""

Statistic = Callable[[Weights], Float64Array]
"""From (F,) weights of the films, sorted by image_id, to (K,) numbers; NaN where undefined."""

Metric = Callable[[Sequence[GroundTruth], Sequence[Detections]], Statistic]
"""Matches films once; what it returns is cheap and is called for every draw."""


class Interval(NamedTuple):
    """A number as measured, and the bounds between which LEVEL of the draws lie.

    NaN where there are none: of one patient all draws are the same, which says nothing.
    """

    value: float
    low: float
    high: float


def class_ap_at(iou: float) -> Metric:
    """Return the metric "macro AP, then AP of each class": (1 + C,) numbers, in one pass.

    A draw without a class averages over the others, one without any box has no macro AP (NaN).
    """
    return class_ap_over([iou])


def class_ap_over(ious: Sequence[float]) -> Metric:
    """Return the metric "macro AP, then AP of each class", each averaged over several IoUs."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        matched = match_films_at(truths, detections, ious)
        at = [precision_recall_curves(matches) for matches in matched]

        def statistic(weights: Weights) -> Float64Array:
            curves = np.mean([of_iou(weights) for of_iou in at], axis=0)
            macro_ap = _macro_of_draw(curves, matched[0].truths, weights)
            return np.append(macro_ap, curves.mean(axis=1))

        return statistic

    return prepare


def _macro_of_draw(curves: Float64Array, boxes: IntArray, weights: Weights) -> float:
    # Films without any box that were drawn alone say nothing; all films as they are, 0 (`macro`).
    drawn = bool((weights != 1).any())
    return float("nan") if drawn and not (weights @ boxes).any() else macro(curves)


def weighted_ap_over(ious: Sequence[float]) -> Metric:
    """Return the metric `precision_recall.weighted_ap`: one number; NaN in a draw without boxes."""

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        matched = match_films_at(truths, detections, ious)
        at = [precision_recall_curves(matches) for matches in matched]
        boxes = matched[0].truths

        def statistic(weights: Weights) -> Float64Array:
            per_class = np.mean([of_iou(weights) for of_iou in at], axis=(0, 2))
            counts = weights @ boxes
            there = counts > 0
            total = counts[there].sum()
            return np.array([per_class[there] @ counts[there] / total if total else np.nan])

        return statistic

    return prepare


def macro_first(per_class: Float64Array) -> Float64Array:
    """Return, for each of S settings, the mean of the classes that are defined, then each class.

    Args:
        per_class: (S, C) float64, NaN where a class has no such number.

    Returns:
        (S, 1 + C) float64; the mean of nothing is NaN.
    """
    defined = ~np.isnan(per_class)
    counts = defined.sum(axis=1)
    sums = np.where(defined, per_class, 0.0).sum(axis=1)
    means = np.divide(sums, counts, out=np.full(len(per_class), np.nan), where=counts > 0)
    return np.column_stack([means, per_class])


def intervals(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    metric: Metric,
    *,
    seed: int,
    draws: int,
    groups: Mapping[str, str] | None = None,
) -> list[Interval]:
    """Return each number of a metric with its interval.

    Args:
        truths: the films that count.
        detections: what was seen on them.
        metric: class_ap_at(0.4), say.
        seed: of the draws; the same seed draws the same films.
        draws: how many.
        groups: image_id to patient_id; None draws films, as if each had its own patient.

    Raises:
        EvaluationError: if a film comes twice or has no group.
    """
    return _percentiles(metric(truths, detections), _film_groups(truths, groups), seed, draws)


def paired_difference(
    truths: Sequence[GroundTruth],
    a: Sequence[Detections],
    b: Sequence[Detections],
    metric: Metric,
    *,
    seed: int,
    draws: int,
    groups: Mapping[str, str] | None = None,
) -> Interval:
    """Return the metric of detections a minus that of detections b on the same films.

    Both are measured on the same draws, so that hard films do not blur the comparison.
    The arguments are those of `intervals`; of a metric with several numbers the first counts.
    """
    return paired_differences(truths, a, b, metric, seed=seed, draws=draws, groups=groups)[0]


def paired_differences(
    truths: Sequence[GroundTruth],
    a: Sequence[Detections],
    b: Sequence[Detections],
    metric: Metric,
    *,
    seed: int,
    draws: int,
    groups: Mapping[str, str] | None = None,
) -> list[Interval]:
    """Return each number of a metric of a minus that of b; see `paired_difference`.

    A draw in which either is undefined does not count for that number.
    """
    of_a, of_b = metric(truths, a), metric(truths, b)

    def difference(weights: Weights) -> Float64Array:
        return of_a(weights) - of_b(weights)

    return _percentiles(difference, _film_groups(truths, groups), seed, draws)


def film_weights(groups: NDArray[np.intp], seed: int, draws: int) -> Iterator[Weights]:
    """Yield (F,) float64 weights for each draw: how often each film's group was drawn.

    Args:
        groups: (F,) index of each film's group, 0 .. G - 1.
        seed: of numpy's default generator.
        draws: how many.
    """
    random = np.random.default_rng(seed)
    count = int(groups.max(initial=-1)) + 1
    for _ in range(draws):
        drawn = random.integers(0, max(count, 1), count)
        yield np.bincount(drawn, minlength=count)[groups].astype(np.float64)


def _film_groups(
    truths: Sequence[GroundTruth], groups: Mapping[str, str] | None
) -> NDArray[np.intp]:
    image_ids = sorted(truth.image_id for truth in truths)
    if groups is None:
        return np.arange(len(image_ids))
    if missing := [image_id for image_id in image_ids if image_id not in groups]:
        raise EvaluationError(f"film {missing[0]!r} has no patient to be drawn with")
    names = [groups[image_id] for image_id in image_ids]
    return np.unique(names, return_inverse=True)[1]


def _percentiles(
    statistic: Statistic, groups: NDArray[np.intp], seed: int, draws: int
) -> list[Interval]:
    measured = statistic(np.ones(len(groups)))
    if len(np.unique(groups)) <= 1:
        return [Interval(float(value), float("nan"), float("nan")) for value in measured]
    drawn = np.array([statistic(weights) for weights in film_weights(groups, seed, draws)])
    return [
        Interval(float(value), *_bounds(column))
        for value, column in zip(measured, drawn.T, strict=True)
    ]


def _bounds(column: Float64Array) -> tuple[float, float]:
    defined = column[~np.isnan(column)]
    if not len(defined):
        return (float("nan"), float("nan"))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return (float(low), float(high))
