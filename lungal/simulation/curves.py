"""Learning curves of a campaign: how good a detector is by what its labels cost."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from lungal.boxes import Float64Array
from lungal.errors import EvaluationError
from lungal.simulation.results import FULL, Point

Currency = Literal["films", "boxes", "seconds"]
"""What labels are paid in: films read, boxes drawn, or reader seconds.

Films and boxes count the initial ones too; seconds count what was read since.
"""
CURRENCIES: tuple[Currency, ...] = ("films", "boxes", "seconds")


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """An arm's scores for one seed, or the mean of several seeds, by what they had cost."""

    budgets: Float64Array  # (R,) ascending; two are alike where a batch cost nothing
    scores: Float64Array  # (R,) in [0, 1]


Curves = Mapping[str, Mapping[int, Curve]]
"""Arm to seed to curve; FULL is not among them."""


def learning_curves(points: Iterable[Point], currency: Currency) -> Curves:
    """Return the curve of each arm and seed, by round.

    Raises:
        EvaluationError: if a round comes twice, costs less than the one before, or has no score.
    """
    found: dict[str, dict[int, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for point in points:
        if point.arm != FULL:
            found[point.arm][point.seed].append(point)
    return {
        arm: {seed: _curve(of_seed, currency) for seed, of_seed in sorted(seeds.items())}
        for arm, seeds in found.items()
    }


def _curve(points: list[Point], currency: Currency) -> Curve:
    points = sorted(points, key=lambda point: point.round)
    for before, after in pairwise(points):
        where = f"arm {after.arm!r}, seed {after.seed}, round {after.round}"
        if before.round == after.round:
            raise EvaluationError(f"{where} was measured twice")
        if getattr(after, currency) < getattr(before, currency):
            raise EvaluationError(f"{where} has fewer {currency} than the round before")
    for point in points:
        if not 0 <= point.score <= 1:
            raise EvaluationError(
                f"arm {point.arm!r}, seed {point.seed}, round {point.round} scores {point.score}; "
                "a score is between 0 and 1"
            )
    budgets = [getattr(point, currency) for point in points]
    return Curve(np.array(budgets, np.float64), np.array([p.score for p in points], np.float64))


def shared_range(curves: Iterable[Curve]) -> tuple[float, float]:
    """Return the budgets that all curves span: the last to start, the first to end."""
    ends = [(curve.budgets[0], curve.budgets[-1]) for curve in curves]
    return float(max(low for low, _ in ends)), float(min(high for _, high in ends))


def aubc(curve: Curve, low: float, high: float) -> float:
    """Return the area under a budget curve, by trapezoids, over the width of the range.

    So it is the mean score between two budgets, in [0, 1], and a constant curve's is its score
    (AUBC: Zhan, Wang, Huang, Xiong, Dou & Chan 2022, "A Comparative Survey of Deep Active
    Learning", section 4; the division by the width is ours, so that currencies and campaigns can
    be compared). Ends between two rounds are interpolated. NaN if the range has no width.

    Args:
        curve: spans the range.
        low: of the range: what `shared_range` says of all arms of the seed, so that none gains by
            having been measured where curves are high.
        high: the other end.
    """
    if high <= low:
        return float("nan")
    inside = (curve.budgets > low) & (curve.budgets < high)
    budgets = np.concatenate([[low], curve.budgets[inside], [high]])
    ends = score_at(curve, low), score_at(curve, high, before=True)
    scores = np.concatenate([[ends[0]], curve.scores[inside], [ends[1]]])
    return float(np.trapezoid(scores, budgets) / (high - low))


def score_at(curve: Curve, budget: float, *, before: bool = False) -> float:
    """Return a curve's score at a budget, interpolated between rounds; NaN where it does not reach.

    Args:
        curve: of one seed.
        budget: where.
        before: of several rounds that had cost the same, take the first and not the last.
    """
    budgets, scores = curve.budgets, curve.scores
    if not budgets[0] <= budget <= budgets[-1]:
        return float("nan")
    if before:
        after = int(np.searchsorted(budgets, budget, "left"))
        left, right = (after, after) if budgets[after] == budget else (after - 1, after)
    else:
        last = int(np.searchsorted(budgets, budget, "right")) - 1
        left, right = (last, last) if budgets[last] == budget else (last, last + 1)
    if left == right:
        return float(scores[left])
    part = (budget - budgets[left]) / (budgets[right] - budgets[left])
    return float(scores[left] + part * (scores[right] - scores[left]))


def ahead(curve: Curve, reference: Curve) -> Float64Array:
    """Return, per round, how far a curve is above the reference's at the same budget.

    Returns:
        (R,) float64; NaN where the reference was not measured.
    """
    there = [score_at(reference, budget) for budget in curve.budgets]
    return np.asarray(curve.scores - np.array(there), np.float64)


def stack(curves: Sequence[Curve]) -> tuple[Float64Array, Float64Array]:
    """Return budgets and scores, (S, R) float64 each, of the rounds that all S curves have."""
    rounds = min(len(curve.budgets) for curve in curves)
    return (
        np.array([curve.budgets[:rounds] for curve in curves]),
        np.array([curve.scores[:rounds] for curve in curves]),
    )


def mean_curve(curves: Sequence[Curve]) -> Curve:
    """Return the mean over seeds, round by round: mean score by mean cost.

    Where rounds cost the same for all seeds, as in films, it is the mean score at each budget.
    """
    budgets, scores = stack(curves)
    return Curve(budgets.mean(axis=0), scores.mean(axis=0))
