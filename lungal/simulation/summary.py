"""A verdict in few numbers, for a DVC metric."""

import math
from typing import Any

from lungal.simulation.points import DIGITS, LEARNER
from lungal.simulation.ranks import RankAgreement
from lungal.simulation.verdict import Verdict


def summary(
    verdict: Verdict, learner: str, agreement: RankAgreement | None = None
) -> dict[str, Any]:
    """Return the verdict as JSON, None where there is no number."""
    arms: dict[str, dict[str, Any]] = {}
    for arm in verdict.arms:
        better, saved = verdict.comparison(arm), verdict.saving(arm)
        if better is not None:
            arms[arm] = {
                "aubc": _number(better.aubc),
                "aubc_ahead": _number(better.difference),
                "aubc_ahead_low": _number(better.interval[0]),
                "aubc_ahead_high": _number(better.interval[1]),
                "p_holm": _number(better.p_holm),
            }
        if saved is not None:
            arms.setdefault(arm, {}).update(
                saving=_number(saved.measured.low),  # at least: `saving_says` tells whether more
                saving_low=_number(saved.interval[0]),
                saving_high=_number(saved.interval[1]),
                saving_says=saved.text,
            )
    return {
        LEARNER: learner,
        "full": _number(verdict.full),
        "seeds": len(verdict.seeds),
        "reference": verdict.reference,
        "shown_to_save": list(verdict.shown),
        "controls": {check.arm: check.passed for check in verdict.checks},
        "arms": arms,
    } | ({} if agreement is None else {"rank_correlation_with_real": _number(agreement.rho)})


def _number(value: float) -> float | None:
    return round(float(value), DIGITS) if math.isfinite(value) else None
