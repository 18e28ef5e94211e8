"""The verdict in plain words."""

import math

from lungal.simulation.comparison import Comparison
from lungal.simulation.inference import Bounds
from lungal.simulation.ranks import RankAgreement
from lungal.simulation.savings import NEVER, Saving, percent
from lungal.simulation.verdict import Verdict

PAID_IN = {"films": "films", "boxes": "boxes", "seconds": "reading time"}
MINUS = "\N{MINUS SIGN}"


def headline(verdict: Verdict) -> str:
    """Return the one sentence that a reader in a hurry needs."""
    paid = PAID_IN[verdict.rules.currency]
    if verdict.reference is None:
        return "Nothing can be concluded: there is nothing to compare with."
    if verdict.shown:
        arm = verdict.shown[0]
        return f"{arm} saves {paid}: {_saves(verdict, arm)}."
    compared = _compared(verdict)
    if not compared:
        return f"Nothing can be concluded: nothing was compared with {verdict.reference}."
    tested = [one for one in compared if not one.unknown]
    if not tested:
        best = compared[0]
        return (
            f"Nothing can be concluded from one seed; in it {best.arm}, the best of "
            f"{len(compared)}, differs from {verdict.reference} by {signed(best.difference)} in "
            "AUBC."
        )
    none = f"No strategy was shown to save {paid} against {verdict.reference}"
    faster = [one for one in tested if _sure(verdict, one) and one.difference > 0]
    if faster:
        surest = max(faster, key=lambda one: one.together[0])
        others = [one.arm for one in faster if one is not surest]
        too = f". The same was shown of {', '.join(others)}" if others else ""
        return f"{none}, although {surest.arm} learns faster: {_difference(verdict, surest)}{too}."
    best = tested[0]
    return f"{none}; the best, {best.arm}, differs from it by {_difference(verdict, best)}."


def remarks(verdict: Verdict) -> list[str]:
    """Say what else was shown, and what speaks against it all."""
    found = [f"{arm} saves, too: {_saves(verdict, arm)}." for arm in verdict.shown[1:]]
    found += [
        f"{one.arm} learns more slowly than {one.reference}: {_difference(verdict, one)}."
        for one in _compared(verdict)
        if _sure(verdict, one) and one.difference < 0
    ]
    found += [
        f"A control failed, so read this with care: {check.reason}."
        for check in verdict.checks
        if check.passed is False
    ]
    return found


def _compared(verdict: Verdict) -> list[Comparison]:
    """Return the comparisons with the reference, the best arm's first."""
    found = [verdict.comparison(arm) for arm in verdict.candidates]
    known = [one for one in found if one is not None and not math.isnan(one.difference)]
    return sorted(known, key=lambda one: -one.difference)


def _sure(verdict: Verdict, one: Comparison) -> bool:
    return (verdict.rules.currency, one.arm) in verdict.sure


def _saves(verdict: Verdict, arm: str) -> str:
    saved = verdict.saving(arm)
    if saved is None:
        raise KeyError(arm)
    rules = verdict.rules
    fewer = "less" if rules.currency == "seconds" else "fewer"
    start = "at least " if not saved.measured.exact else ""
    seeds = f"{saved.seeds} seeds"
    if saved.few:
        seeds += ", too few for it to be as wide as it should be"
    return (
        f"it reaches {percent(rules.share)} of the full-label score with {start}"
        f"{percent(saved.measured.low)} {fewer} {PAID_IN[rules.currency]} than "
        f"{verdict.reference} ({interval(saved.together)}; {percent(rules.level)} interval "
        f"for all strategies at once, {seeds})"
    )


def _difference(verdict: Verdict, one: Comparison) -> str:
    low, high = one.together
    return (
        f"{signed(one.difference)} in AUBC ({signed(low)} to {signed(high)}; "
        f"{percent(verdict.rules.level)} interval for all strategies at once, {one.seeds} seeds, "
        f"{p_value(one.p_holm)} after Holm)"
    )


def interval(bounds: Bounds) -> str:
    """Spell an interval of savings; nothing saved is above 100 %, so that is no bound."""
    low, high = bounds
    if math.isnan(low):
        return "no interval"
    if low == -NEVER:
        return "no bound" if high >= 1 or high == -NEVER else f"at most {percent(high)}"
    if high >= 1:
        return f"{percent(low)} or more"
    return f"{percent(low).removesuffix(' %')} to {percent(high)}"


def signed(value: float) -> str:
    """Spell a difference of scores with its sign."""
    return f"{value:+.3f}".replace("-", MINUS)


def p_value(p: float) -> str:
    """Spell a p value."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def amount(saved: Saving, currency: str) -> str:
    """Spell what an arm needed against what the reference needed."""
    unit = 3600.0 if currency == "seconds" else 1.0
    digits = 2 if currency == "seconds" else 0

    def one(low: float, high: float) -> str:
        if high == NEVER:
            return f"{low / unit:.{digits}f}+"
        return f"{high / unit:.{digits}f}" if low == high else f"up to {high / unit:.{digits}f}"

    mine, theirs = saved.needed, saved.of_reference
    return f"{one(mine.low, mine.high)} : {one(theirs.low, theirs.high)}"


def agreement(measured: RankAgreement | None) -> str:
    """Say how much alike a proxy and the real trainer rank the arms."""
    if measured is None:
        return (
            "Its rank correlation with the real trainer was not measured here: --real names the "
            "points.csv of a campaign of the real trainer on the same films."
        )
    if math.isnan(measured.rho):
        return "One of the two detectors tells no arm from another, so their ranks do not compare."
    low, high = measured.interval
    within = "" if math.isnan(low) else f" ({signed(low)} to {signed(high)}, over seeds)"
    return (
        f"It ranks {len(measured.arms)} arms as the real trainer does with a correlation of "
        f"{signed(measured.rho)}{within}: {', '.join(measured.arms)}."
    )
