"""Free-response ROC: how much is found at how many false alarms a film.

Sensitivity is the share of the true boxes that are found, as the score from which a detection
counts falls (Bunch et al. 1978). A detection finds a box by the rule of average precision: same
class, enough overlap, each box once. A second detection of the same box is a false alarm, which
some definitions forgive; so our curve is never above theirs.

Cases that definitions leave open, decided here:

- Between two points nothing is interpolated: the sensitivity at a rate is the highest that is
  reached with no more false alarms than that.
- Detections with equal scores come together or not at all.
- A detector that never raises so many false alarms keeps its last sensitivity.
- A class without any true box has none: NaN, left out of the macro average. A class with true
  boxes and no detections has 0. Without any film everything is NaN.
- Films without finding count among the films; of a class, its own false alarms count.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array, FloatArray, IntArray
from lungal.evaluation.bootstrap import Metric, Statistic, macro_first
from lungal.evaluation.matching import Matches, match_films
from lungal.evaluation.precision_recall import Weights
from lungal.records import CLASSES, Detections, GroundTruth

RATES = (0.1, 0.25, 0.5, 1.0, 2.0)
"""False alarms a film at which sensitivity is reported."""


class Curve(NamedTuple):
    """The points of a curve, the surest first; before them lies (0, 0)."""

    scores: FloatArray  # (P,) float32, from which detections count
    false_positives: Float64Array  # (P,) float64, a film, rising
    sensitivity: Float64Array  # (P,) float64 in [0, 1], rising; NaN without truth


def froc_curve(matches: Matches, label: int | None = None) -> Curve:
    """Return the curve of a class, or of all classes under one threshold, every film once."""
    kept = _Kept.of(matches, label)
    weights = np.ones(len(matches.image_ids))
    found, false = kept.tally(weights)
    return Curve(
        kept.scores, false / max(len(weights), 1), found / _expected(matches, label, weights)
    )


def sensitivity_at(
    matches: Matches, rates: Sequence[float] = RATES
) -> Callable[[Weights], tuple[Float64Array, Float64Array]]:
    """Return a function of (F,) film weights that gives the sensitivities at so many false alarms.

    Returns:
        What gives (R,) float64, all classes under one threshold; and (R, C) float64, each class.
    """
    limits = np.array(rates, np.float64)
    labels = (None, *range(len(CLASSES)))
    plans = [(label, _Kept.of(matches, label)) for label in labels]

    def sensitivities(weights: Weights) -> tuple[Float64Array, Float64Array]:
        columns = []
        for label, kept in plans:
            found, false = kept.tally(weights)
            films = weights.sum()
            reached = np.searchsorted(false / films if films else false, limits, side="right")
            expected = _expected(matches, label, weights)
            columns.append(np.append(0.0, found)[reached] / expected)
        return columns[0], np.stack(columns[1:], axis=1)

    return sensitivities


def froc_at(iou: float, rates: Sequence[float] = RATES) -> Metric:
    """Return the metric of sensitivities: (R * (2 + C),) numbers, rate by rate.

    Of each rate first all classes under one threshold, then the macro average, then each class.
    """

    def prepare(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> Statistic:
        sensitivities = sensitivity_at(match_films(truths, detections, iou), rates)

        def statistic(weights: Weights) -> Float64Array:
            pooled, per_class = sensitivities(weights)
            return np.column_stack([pooled, macro_first(per_class)]).ravel()

        return statistic

    return prepare


class _Kept(NamedTuple):
    """The detections of a curve, surest first, and where a threshold can lie between them."""

    film: IntArray  # (D,)
    hits: NDArray[np.bool_]  # (D,)
    ends: NDArray[np.intp]  # (P,) the last detection of each score
    scores: FloatArray  # (P,)

    @classmethod
    def of(cls, matches: Matches, label: int | None) -> "_Kept":
        if label is None:
            order = np.argsort(-matches.scores, kind="stable")
        else:
            mine = matches.of_class(label)
            order = np.arange(mine.start, mine.stop)
        scores = matches.scores[order]
        ends = np.flatnonzero(np.append(np.diff(scores) != 0, True)[: len(scores)])
        return cls(matches.film[order], matches.hits[order], ends, scores[ends])

    def tally(self, weights: Weights) -> tuple[Float64Array, Float64Array]:
        """Return (P,) truths found and (P,) false alarms down to each score."""
        of_film = weights[self.film]
        found = np.cumsum(of_film * self.hits)[self.ends]
        return found, np.cumsum(of_film)[self.ends] - found


def _expected(matches: Matches, label: int | None, weights: Weights) -> float:
    truths = matches.truths.sum(axis=1) if label is None else matches.truths[:, label]
    return float(weights @ truths) or float("nan")
