"""Whether two detectors rank ways of choosing alike: what the campaign of a proxy is worth."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

from lungal.boxes import Float64Array
from lungal.errors import EvaluationError
from lungal.params import CONTROLS
from lungal.simulation.comparison import areas
from lungal.simulation.curves import learning_curves
from lungal.simulation.inference import UNKNOWN, Bounds, tail
from lungal.simulation.results import FULL, Point

LEAST_ARMS = 3
DRAWS = 2000
"""Of the bootstrap over seeds."""


@dataclass(frozen=True, slots=True)
class RankAgreement:
    """Spearman's rank correlation of two campaigns over the ways of choosing that both played."""

    rho: float  # in [-1, 1]; NaN where all arms of one are equal
    interval: Bounds  # NaN where a campaign has a single seed
    arms: tuple[str, ...]


def rank_agreement(
    points: Iterable[Point], others: Iterable[Point], *, level: float = 0.95
) -> RankAgreement:
    """Compare how two campaigns rank their arms by AUBC in films, mean over seeds.

    Spearman 1904; the interval is that of a bootstrap over the seeds of each, made wider for few
    (`inference.tail`), which leaves the arms as they are. The controls do not count: any detector
    tells the oracle from the rest. It takes the arms' order as the only question: that both
    detectors need the same number of films is not said.

    Args:
        points: of a campaign.
        others: of a campaign on the same films with another detector.
        level: of the interval.

    Raises:
        EvaluationError: if they share fewer than three arms or no seed, no seed has all arms, or a
            seed starts from other films.
    """
    mine, theirs = list(points), list(others)
    _check_start(mine, theirs)
    played = [{point.arm for point in each if point.round} for each in (mine, theirs)]
    arms = tuple(sorted(set.intersection(*played) - {*CONTROLS}))
    if len(arms) < LEAST_ARMS:
        raise EvaluationError(
            f"two campaigns that share {len(arms)} arm(s) cannot be ranked against each other; "
            f"at least {LEAST_ARMS}"
        )
    tables = [_areas(each, arms) for each in (mine, theirs)]
    rho = _spearman(*(table.mean(axis=1) for table in tables))
    return RankAgreement(rho, _interval(tables, level), arms)


def _check_start(points: list[Point], others: list[Point]) -> None:
    """Refuse campaigns on other films: those of the same draw the same ones for a seed at first."""
    mine, theirs = (
        {p.seed: (p.films, p.boxes) for p in each if p.round == 0 and p.arm != FULL}
        for each in (points, others)
    )
    shared = sorted(set(mine) & set(theirs))
    if not shared:
        raise EvaluationError(
            "the two campaigns share no seed, so that nothing says whether they are on the same "
            "films"
        )
    for seed in shared:
        if mine[seed] != theirs[seed]:
            raise EvaluationError(
                f"with seed {seed} one campaign starts from {mine[seed][0]} films with "
                f"{mine[seed][1]} boxes and the other from {theirs[seed][0]} with "
                f"{theirs[seed][1]}: they are not on the same films"
            )


def _areas(points: Iterable[Point], arms: tuple[str, ...]) -> Float64Array:
    """Return the (A, S) AUBC of arms in the seeds that all of them played."""
    found = areas(learning_curves((p for p in points if p.arm in arms), "films"))
    seeds = sorted(set.intersection(*(set(found[arm]) for arm in arms)))
    table = np.array([[found[arm][seed] for seed in seeds] for arm in arms])
    if not table.size or np.isnan(table).any():
        raise EvaluationError(f"no seed was played by all of {', '.join(arms)}")
    return table


def _interval(tables: list[Float64Array], level: float) -> Bounds:
    if min(table.shape[1] for table in tables) < 2:
        return UNKNOWN, UNKNOWN
    random = np.random.default_rng(0)
    draws = []
    for _ in range(DRAWS):
        drawn = (table[:, random.integers(table.shape[1], size=table.shape[1])] for table in tables)
        draws.append(_spearman(*(table.mean(axis=1) for table in drawn)))
    known = [draw for draw in draws if not math.isnan(draw)]
    if not known:
        return UNKNOWN, UNKNOWN
    out = tail(level, min(table.shape[1] for table in tables))
    low, high = np.quantile(known, [out, 1 - out]).tolist()
    return low, high


def _spearman(first: Float64Array, other: Float64Array) -> float:
    if np.ptp(first) == 0 or np.ptp(other) == 0:
        return UNKNOWN
    return float(stats.spearmanr(first, other).statistic)
