"""The verdict on a played campaign: which way of choosing saves labels, and how sure that is."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
from typing import Literal

import numpy as np

from lungal.boxes import Float64Array
from lungal.errors import EvaluationError
from lungal.simulation.comparison import Comparison, compare, of_seeds, shared_seeds
from lungal.simulation.curves import (
    CURRENCIES,
    Currency,
    Curves,
    learning_curves,
)
from lungal.simulation.gaps import notes
from lungal.simulation.inference import UNKNOWN, Bounds, draw_seeds
from lungal.simulation.results import FULL, Point
from lungal.simulation.savings import Saving, savings
from lungal.simulation.stopping import Suggestion, suggest

Expectation = Literal["same", "better"]


@dataclass(frozen=True, slots=True)
class Rules:
    """How a verdict is reached; to be settled before the campaign is played."""

    references: tuple[str, ...] = ("stratified_random", "random")
    """What needs no model. Savings are against the first that was played."""
    controls: tuple[tuple[str, str, Expectation], ...] = (
        ("shuffled", "random", "same"),
        ("oracle", "random", "better"),
    )
    """Arm, reference, and how it has to come out if the campaign measures what it should."""
    currency: Currency = "films"
    """The one by which the verdict goes; the others are told."""
    shares: tuple[float, ...] = (0.8, 0.9, 0.95)
    """Of the full-label score."""
    share: float = 0.9
    """The one by which the verdict goes."""
    level: float = 0.95
    draws: int = 2000
    seed: int = 0
    least_gain: float = 0.005
    """In score: a batch that gains less is not worth reading."""
    fits: int = 200
    """Draws for the stopping suggestion, each of which is a fit."""


@dataclass(frozen=True, slots=True)
class Check:
    """A control: did it come out as it has to?"""

    arm: str
    reference: str
    expected: Expectation
    difference: float
    interval: Bounds
    passed: bool | None  # None: not played, or not to be told, as it is ahead but not surely
    missing: tuple[str, ...] = ()  # which of the two arms were not played

    @property
    def reason(self) -> str:
        """Say what was expected and what came of it."""
        expected = "not differ from" if self.expected == "same" else "beat"
        if self.missing:
            which = " and ".join(self.missing)
            were = "was" if len(self.missing) == 1 else "were"
            return f"{self.arm} should {expected} {self.reference}: {which} {were} not played"
        unsure = "that cannot be told" if isnan(self.interval[0]) else "ahead, but not surely"
        told = {True: "it does", False: "it does not", None: unsure}
        if self.expected == "same":
            told |= {True: "no difference was shown", False: "it differs"}
        return f"{self.arm} should {expected} {self.reference}: {told[self.passed]}"


@dataclass(frozen=True, slots=True, eq=False)
class Verdict:
    """All that is concluded from a campaign's points."""

    rules: Rules
    arms: tuple[str, ...]  # as they came, without FULL
    seeds: tuple[int, ...]
    full: float  # mean full-label score; NaN if it was not measured
    reference: str | None  # the one that was played
    candidates: tuple[str, ...]  # arms that want to be better
    comparisons: dict[Currency, tuple[Comparison, ...]]  # against each reference
    savings: dict[tuple[Currency, float, str], Saving]  # by currency, share and arm
    checks: tuple[Check, ...]
    suggestions: tuple[Suggestion, ...]
    notes: tuple[str, ...]  # what could not be done, and why

    def comparison(self, arm: str, currency: Currency | None = None) -> Comparison | None:
        """Return the comparison of an arm with `reference`; None if there is none."""
        of_currency = self.comparisons[currency or self.rules.currency]
        wanted = (arm, self.reference)
        return next((one for one in of_currency if (one.arm, one.reference) == wanted), None)

    def saving(self, arm: str) -> Saving | None:
        """Return what an arm saves in the verdict's own currency and share."""
        return self.savings.get((self.rules.currency, self.rules.share, arm))

    @property
    def sure(self) -> frozenset[tuple[Currency, str]]:
        """Return where the learning curve of a candidate differs after Holm's correction."""
        return frozenset(
            (currency, one.arm)
            for currency, compared in self.comparisons.items()
            for one in compared
            if one.reference == self.reference and one.p_holm <= 1 - self.rules.level
        )

    @property
    def shown(self) -> tuple[str, ...]:
        """Return the candidates that were shown to save, the surest first.

        Their learning curve is better after Holm's correction, and so is what they save: the
        interval that holds for all candidates at once is above 0.
        """
        lows = {}
        for arm in self.candidates:
            better, saved = self.comparison(arm), self.saving(arm)
            if better is None or saved is None or isnan(saved.together[0]):
                continue
            faster = (self.rules.currency, arm) in self.sure and better.difference > 0
            if faster and saved.measured.low > 0 and saved.together[0] > 0:
                lows[arm] = saved.together[0]
        return tuple(sorted(lows, key=lambda arm: (-lows[arm], arm)))


def judge(points: Sequence[Point], rules: Rules | None = None) -> Verdict:
    """Judge a campaign.

    With a single seed, without a reference or without full-label points less is said, and `notes`
    say why; nothing is raised.

    Raises:
        EvaluationError: if there are no points but full-label ones, a round comes twice or costs
            less than the one before, or a score is not in [0, 1].
    """
    rules = rules or Rules()
    by_currency = {currency: learning_curves(points, currency) for currency in CURRENCIES}
    curves = by_currency[rules.currency]
    if not curves:
        raise EvaluationError("no arm was played, so there is nothing to judge")
    reference = next((name for name in rules.references if name in curves), None)
    not_judged = {*rules.references, *(arm for arm, _, _ in rules.controls)}
    candidates = tuple(arm for arm in curves if arm not in not_judged)
    full = {point.seed: point.score for point in points if point.arm == FULL}
    if wrong := [score for score in full.values() if not 0 <= score <= 1]:
        raise EvaluationError(f"a full-label score is {wrong[0]}, not in [0, 1]")
    seeds = sorted({seed for of_arm in curves.values() for seed in of_arm})
    compared = {
        currency: tuple(
            one
            for name in rules.references
            for one in compare(of_currency, name, candidates, level=rules.level)
        )
        for currency, of_currency in by_currency.items()
    }
    checks = tuple(_check(one, curves, compared[rules.currency]) for one in rules.controls)
    unchecked = [check.arm for check in checks if check.missing]
    return Verdict(
        rules=rules,
        arms=tuple(curves),
        seeds=tuple(seeds),
        full=float(np.mean(list(full.values()))) if full else float("nan"),
        reference=reference,
        candidates=candidates,
        comparisons=compared,
        savings=_savings(by_currency, reference, len(candidates), full, rules) if full else {},
        checks=checks,
        suggestions=tuple(_suggest(by_currency["films"], arm, rules) for arm in curves),
        notes=tuple(notes(curves, reference, rules.references, full, unchecked)),
    )


def _savings(
    by_currency: dict[Currency, Curves],
    reference: str | None,
    candidates: int,
    full: dict[int, float],
    rules: Rules,
) -> dict[tuple[Currency, float, str], Saving]:
    found: dict[tuple[Currency, float, str], Saving] = {}
    mean = float(np.mean(list(full.values())))
    for currency, curves in by_currency.items():
        for arm in curves:
            if reference is None or arm == reference:
                continue
            seeds = shared_seeds(curves[arm], curves[reference])
            if not seeds:
                continue
            drawn = draw_seeds(len(seeds), draws=rules.draws, seed=rules.seed)
            # A seed whose full-label detector was not trained counts as an average one.
            goal: Float64Array = np.array([full.get(seed, mean) for seed in seeds])
            pair = of_seeds(curves, arm, seeds), of_seeds(curves, reference, seeds)
            for share in rules.shares:
                found[currency, share, arm] = savings(
                    *pair, goal, share, drawn, level=rules.level, arms=candidates
                )
    return found


def _check(
    control: tuple[str, str, Expectation], curves: Curves, compared: Sequence[Comparison]
) -> Check:
    arm, reference, expected = control
    for one in compared:
        if (one.arm, one.reference) == (arm, reference):
            low, high = one.interval
            passed: bool | None = low <= 0 <= high
            if expected == "better":  # with few seeds a real lead may not be a sure one
                passed = True if low > 0 else None if one.difference > 0 else False
            told = None if one.unknown else passed
            return Check(arm, reference, expected, one.difference, one.interval, told)
    missing = tuple(name for name in (arm, reference) if name not in curves)
    return Check(arm, reference, expected, UNKNOWN, (UNKNOWN, UNKNOWN), None, missing)


def _suggest(curves: Curves, arm: str, rules: Rules) -> Suggestion:
    mine = list(curves[arm].values())
    return suggest(
        arm,
        mine,
        least_gain=rules.least_gain,
        level=rules.level,
        draws=rules.fits,
        seed=rules.seed,
    )
