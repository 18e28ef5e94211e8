"""What a handful of seeds can show: paired t, Holm's correction, the bootstrap over seeds.

For a seed all arms share their initial films and weights, so arms are compared within seeds: what
a lucky start gives to both does not count.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lungal.boxes import Float64Array

EXACT = 6
"""Seeds up to which all draws are listed: C(2S - 1, S) ways, 462 for six."""
SAME = 1e-12
"""Differences below this are rounding."""

UNKNOWN = float("nan")
Bounds = tuple[float, float]
"""Ends of an interval; NaN where there is none, as with a single seed."""


@dataclass(frozen=True, slots=True)
class Shift:
    """A mean difference over seeds."""

    value: float
    p: float  # two-sided; NaN with fewer than two seeds
    error: float  # standard error of the mean
    seeds: int

    def bounds(self, level: float) -> Bounds:
        """Return the t interval; NaN with fewer than two seeds."""
        if self.seeds < 2:
            return UNKNOWN, UNKNOWN
        reach = float(stats.t.ppf((1 + level) / 2, self.seeds - 1)) * self.error
        return self.value - reach, self.value + reach


def paired_t(differences: Float64Array) -> Shift:
    """Return the mean of paired differences and the p of "it is 0" (Student 1908).

    Not a sign-flip or Wilcoxon test, which assume less: of five seeds there are 2^5 flips, so
    their smallest two-sided p is 2/32 = 1/16, and no number of better arms could ever be shown to
    be better. The price is to take differences of AUBC for about normal, which a mean of many
    rounds and films supports and five seeds cannot check.

    Args:
        differences: (S,) float64, a seed each; NaN ones do not count.
    """
    known = differences[~np.isnan(differences)]
    seeds = len(known)
    if not seeds:
        return Shift(UNKNOWN, UNKNOWN, UNKNOWN, 0)
    value = float(known.mean())
    if seeds == 1:
        return Shift(value, UNKNOWN, UNKNOWN, 1)
    error = float(known.std(ddof=1)) / math.sqrt(seeds)
    if error < SAME:  # all seeds agree to the last digit: arms that chose alike, or made-up ones
        return Shift(value, 1.0 if abs(value) < SAME else 0.0, 0.0, seeds)
    p = float(2 * stats.t.sf(abs(value) / error, seeds - 1))
    return Shift(value, p, error, seeds)


def holm(ps: Mapping[str, float]) -> dict[str, float]:
    """Return p values corrected for having been looked at together.

    The k-th smallest of m is multiplied by m - k + 1, and none is below a smaller one's (Holm
    1979, "A Simple Sequentially Rejective Multiple Test Procedure"). NaN stays NaN and does not
    count.
    """
    known = sorted((p, name) for name, p in ps.items() if not math.isnan(p))
    corrected = dict(ps)
    worst = 0.0
    for place, (p, name) in enumerate(known):
        worst = max(worst, min(1.0, (len(known) - place) * p))
        corrected[name] = worst
    return corrected


def together(level: float, count: int) -> float:
    """Return the level of each of `count` intervals that hold all at once at `level`.

    Bonferroni's: Holm's steps have no two-sided interval as simple, and his p of an arm is never
    larger than Bonferroni's.
    """
    return 1 - (1 - level) / max(1, count)


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """Seeds drawn with replacement, as many as there are, jointly for all arms."""

    shares: Float64Array  # (K, S) how much each seed counts in a draw; rows sum to 1
    chances: Float64Array  # (K,) how likely the draw is; sums to 1


def draw_seeds(count: int, *, draws: int, seed: int) -> Draws:
    """Return the bootstrap over `count` seeds: every possible draw up to EXACT, then random ones.

    Args:
        count: S, how many seeds there are.
        draws: how many to draw where there are too many to list.
        seed: of those draws.
    """
    if count <= EXACT:
        ways = combinations_with_replacement(range(count), count)
        counts = np.array([np.bincount(way, minlength=count) for way in ways])
        times = [
            math.factorial(count) / math.prod(math.factorial(n) for n in row.tolist())
            for row in counts
        ]
        return Draws(counts / count, np.array(times) / count**count)
    drawn = np.random.default_rng(seed).multinomial(count, [1 / count] * count, draws)
    counts, times_drawn = np.unique(drawn, axis=0, return_counts=True)
    return Draws(counts / count, times_drawn / draws)


def tail(level: float, count: int) -> float:
    """Return the share of draws to leave out at each end of an interval at `level`.

    Percentiles of a bootstrap of few are too narrow: by n - 1 for n, and by the normal for the t.
    Both are made good by going further out (Hesterberg 2015, "What Teachers Should Know About the
    Bootstrap", section 4.3: the expanded percentile interval). With five seeds that is near the
    worst draw, and never beyond it.
    """
    if count < 2:
        return UNKNOWN
    reach = math.sqrt(count / (count - 1)) * stats.t.ppf((1 + level) / 2, count - 1)
    return float(stats.norm.cdf(-reach))


def quantile(values: Float64Array, chances: Float64Array, share: float) -> float:
    """Return the smallest value that is not exceeded with at least this chance; it may be infinite.

    Args:
        values: (K,) float64; NaN ones do not count.
        chances: (K,) float64.
        share: in [0, 1].
    """
    known: NDArray[np.bool_] = ~np.isnan(values)
    if not known.any() or math.isnan(share):
        return UNKNOWN
    order = np.argsort(values[known], kind="stable")
    below = np.cumsum(chances[known][order]) / chances[known].sum()
    place = int(np.searchsorted(below, share - SAME))
    return float(values[known][order][min(place, len(order) - 1)])
