"""When to stop: what the next batch is likely to bring, from the shape of the learning curve.

Errors of learners fall as a power of the number of examples, towards what the method can reach at
all: score = a - b N^-c (Cortes, Jackel, Solla, Vapnik & Denker 1994, "Learning Curves: Asymptotic
Values and Rate of Convergence"). Not every curve obeys (Viering & Loog 2022, "The Shape of Learning
Curves: a Review"), and a fit to a few rounds is loose; so not the predicted gain decides, but the
upper end of what it may be.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar

from lungal.boxes import Float64Array
from lungal.simulation.curves import Curve, stack
from lungal.simulation.inference import UNKNOWN, draw_seeds, quantile, tail

LEAST = 5
"""Rounds, the initial one included, below which three parameters are not fitted."""
SEEDS = 4
"""Seeds, where there are several, below which draws of them bound nothing."""
LEARNING = 0.05
"""Score from which a detector has begun to learn; before, a flat curve is no plateau."""
SLOWEST, FASTEST = 0.01, 5.0
"""Bounds of c: a curve that hardly bends, and one that is a step."""
GRID = np.geomspace(SLOWEST, FASTEST, 60)
TINY = 1e-30


@dataclass(frozen=True, slots=True)
class PowerLaw:
    """score = a - b (N / unit)^-c with a <= 1 and b >= 0."""

    a: float
    b: float
    c: float
    unit: float  # the first budget, so that b is what the curve has to gain from there

    def at(self, budget: Float64Array | float) -> Float64Array:
        """Return the score at a budget."""
        return np.asarray(self.a - self.b * (np.asarray(budget) / self.unit) ** -self.c)


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Whether to read on."""

    arm: str
    films: float  # labelled so far
    batch: float  # films of the next batch
    law: PowerLaw | None  # None: too few rounds
    gain: float  # predicted, of the next batch; NaN without a law
    upper: float  # end of its one-sided interval
    stop: bool | None  # None: cannot be told
    reason: str


def fit(curve: Curve) -> PowerLaw:
    """Fit a power law by least squares within its bounds.

    For a given c the best a and b are a straight line's (variable projection: Golub & Pereyra
    1973), so c alone is searched for: on a grid first, as there may be more than one valley.

    Args:
        curve: at least three rounds, of budgets above 0.
    """
    unit = float(curve.budgets[0])
    logs = np.log(curve.budgets / unit)
    scores = curve.scores

    def misfit(c: float) -> float:
        return float(_line(np.exp(-c * logs[None, :]), scores)[2][0])

    misfits = _line(np.exp(-GRID[:, None] * logs[None, :]), scores)[2]
    best = int(np.argmin(misfits))
    around = (GRID[max(0, best - 1)], GRID[min(len(GRID) - 1, best + 1)])
    c = float(minimize_scalar(misfit, bounds=around, method="bounded").x)
    if misfit(c) > misfits[best]:  # the bounded search never looks at the bounds themselves
        c = float(GRID[best])
    a, b, _ = _line(np.exp(-c * logs[None, :]), scores)
    return PowerLaw(float(a[0]), float(b[0]), c, unit)


def _line(
    powers: Float64Array, scores: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Fit scores = a - b powers with a <= 1 and b >= 0, for each row of (K, R) powers."""
    centred = powers - powers.mean(axis=1, keepdims=True)
    spread = np.maximum((centred**2).sum(axis=1), TINY)
    b = np.maximum(-(centred @ scores) / spread, 0.0)
    a = scores.mean() + b * powers.mean(axis=1)
    over = a > 1
    through_one = (powers @ (1 - scores)) / (powers**2).sum(axis=1)
    b = np.where(over, through_one, b)
    a = np.where(over, 1.0, a)
    residuals = a[:, None] - b[:, None] * powers - scores
    return a, b, (residuals**2).sum(axis=1)


def suggest(
    arm: str,
    curves: Sequence[Curve],
    *,
    least_gain: float,
    level: float,
    draws: int,
    seed: int,
    batch: float | None = None,
) -> Suggestion:
    """Suggest to stop if the next batch gains less than `least_gain`, even at its upper bound.

    The bound is a one-sided percentile of the gains of fits to bootstrap draws: of the seeds where
    there are several; with a single one, as in a campaign with readers, of the residuals of the
    fit (Efron & Tibshirani 1993, section 9.4), which are made larger by sqrt(R / (R - 3)) for the
    three parameters.

    Args:
        arm: its name.
        curves: a seed each, by films.
        least_gain: in score, what a batch has to bring to be worth its reading.
        level: 0.95: the gain is below the bound with this confidence.
        draws: how many, where they are random.
        seed: of the draws.
        batch: films of the next batch; None: as many as the most of those before.
    """
    budgets, scores = stack(curves)
    mean = Curve(budgets.mean(axis=0), scores.mean(axis=0))
    films, rounds = float(mean.budgets[-1]), len(mean.budgets)
    if batch is None:  # the last may have been what was left of the pool, which gains little
        batch = float(np.diff(mean.budgets).max()) if rounds > 1 else UNKNOWN
    if rounds < LEAST or mean.budgets[0] <= 0:
        reason = f"{rounds} rounds are too few to fit a curve to; {LEAST} are enough"
        return Suggestion(arm, films, batch, None, UNKNOWN, UNKNOWN, None, reason)
    if mean.scores.max() < LEARNING:
        reason = f"no score reached {LEARNING:g}: it has hardly begun to learn"
        return Suggestion(arm, films, batch, None, UNKNOWN, UNKNOWN, None, reason)
    law = fit(mean)
    gain = _gain(law, films, batch)
    if 1 < len(curves) < SEEDS:
        reason = f"{len(curves)} seeds are too few to bound a gain; {SEEDS} are enough"
        return Suggestion(arm, films, batch, law, gain, UNKNOWN, None, reason)
    if len(curves) > 1:
        upper = _upper_of_seeds(budgets, scores, batch, level=level, draws=draws, seed=seed)
    else:
        upper = _upper_of_residuals(mean, law, batch, level=level, draws=draws, seed=seed)
    upper = max(upper, gain)
    stop = upper < least_gain
    sign = "less" if stop else "not less"
    reason = f"the next {batch:.0f} films gain at most {upper:.4f}, {sign} than {least_gain:g}"
    return Suggestion(arm, films, batch, law, gain, upper, stop, reason)


def _gain(law: PowerLaw, films: float, batch: float) -> float:
    return float(law.at(films + batch) - law.at(films))


def _upper_of_seeds(
    budgets: Float64Array,
    scores: Float64Array,
    batch: float,
    *,
    level: float,
    draws: int,
    seed: int,
) -> float:
    drawn = draw_seeds(len(budgets), draws=draws, seed=seed)
    means = (Curve(shares @ budgets, shares @ scores) for shares in drawn.shares)
    gains = [_gain(fit(mean), float(mean.budgets[-1]), batch) for mean in means]
    # The one-sided 95 % bound is the upper end of the two-sided 90 % interval.
    out = tail(2 * level - 1, len(budgets))
    return quantile(np.array(gains), drawn.chances, 1 - out)


def _upper_of_residuals(
    mean: Curve, law: PowerLaw, batch: float, *, level: float, draws: int, seed: int
) -> float:
    fitted = law.at(mean.budgets)
    rounds = len(fitted)
    residuals = (mean.scores - fitted) * np.sqrt(rounds / (rounds - 3))
    random = np.random.default_rng(seed)
    gains = [
        _gain(fit(Curve(mean.budgets, np.clip(fitted + noise, 0, 1))), mean.budgets[-1], batch)
        for noise in random.choice(residuals, (draws, rounds))
    ]
    return float(np.quantile(gains, level))
