"""Each arm against a reference, seed by seed, by the area under its learning curve."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from lungal.boxes import Float64Array
from lungal.simulation.curves import Curve, Curves, aubc, shared_range
from lungal.simulation.inference import UNKNOWN, Bounds, holm, paired_t, together


@dataclass(frozen=True, slots=True)
class Comparison:
    """An arm's AUBC minus a reference's: means over the seeds that both have."""

    arm: str
    reference: str
    seeds: int
    aubc: float
    of_reference: float
    difference: float
    interval: Bounds  # NaN with a single seed
    together: Bounds  # at a level at which those of all candidates hold at once
    p: float  # two-sided paired t
    p_holm: float  # NaN for arms that are no candidates
    won: int  # seeds in which the arm was ahead

    @property
    def unknown(self) -> bool:
        """Whether nothing can be said: fewer than two seeds."""
        return math.isnan(self.p)


def areas(curves: Curves) -> dict[str, dict[int, float]]:
    """Return arm to seed to AUBC, over the budgets that all arms of the seed share.

    A seed in which they share none has NaN.
    """
    seeds = {seed for of_arm in curves.values() for seed in of_arm}
    ranges = {
        seed: shared_range(of_arm[seed] for of_arm in curves.values() if seed in of_arm)
        for seed in seeds
    }
    return {
        arm: {seed: aubc(curve, *ranges[seed]) for seed, curve in of_arm.items()}
        for arm, of_arm in curves.items()
    }


def compare(
    curves: Curves, reference: str, candidates: Collection[str], *, level: float
) -> list[Comparison]:
    """Compare all arms with a reference.

    Args:
        curves: of all arms, in one currency.
        reference: one of them; if it is not there, or an arm shares no seed with it, nothing is
            compared.
        candidates: arms whose p values are corrected together; others are told without.
        level: of the intervals.
    """
    found = areas(curves)
    if reference not in found:
        return []
    others = [arm for arm in found if arm != reference and found[arm].keys() & found[reference]]
    family = [arm for arm in others if arm in candidates]
    rows = [_compare(found, arm, reference, level, len(family)) for arm in others]
    corrected = holm({row.arm: row.p for row in rows if row.arm in family})
    return [replace(row, p_holm=corrected.get(row.arm, UNKNOWN)) for row in rows]


def _compare(
    found: dict[str, dict[int, float]], arm: str, reference: str, level: float, family: int
) -> Comparison:
    seeds = shared_seeds(found[arm], found[reference])
    mine = np.array([found[arm][seed] for seed in seeds])
    theirs = np.array([found[reference][seed] for seed in seeds])
    shift = paired_t(mine - theirs)
    return Comparison(
        arm=arm,
        reference=reference,
        seeds=shift.seeds,
        aubc=_mean(mine),
        of_reference=_mean(theirs),
        difference=shift.value,
        interval=shift.bounds(level),
        together=shift.bounds(together(level, family)),
        p=shift.p,
        p_holm=UNKNOWN,
        won=int((mine > theirs).sum()),
    )


def shared_seeds(one: Collection[int], other: Collection[int]) -> list[int]:
    """Return the seeds that both have, in order."""
    return sorted(set(one) & set(other))


def of_seeds(curves: Curves, arm: str, seeds: Sequence[int]) -> list[Curve]:
    """Return an arm's curves for these seeds."""
    return [curves[arm][seed] for seed in seeds]


def _mean(values: Float64Array) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else UNKNOWN
