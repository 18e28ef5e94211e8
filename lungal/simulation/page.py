"""The report of a simulated campaign: one HTML file that needs nothing else."""

import math
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from lungal.records import CLASSES
from lungal.simulation import wording
from lungal.simulation.curves import CURRENCIES
from lungal.simulation.pictures import picture, pictures
from lungal.simulation.ranks import RankAgreement
from lungal.simulation.receipts import first_batches
from lungal.simulation.results import Pick, Point
from lungal.simulation.savings import percent
from lungal.simulation.tables import tables
from lungal.simulation.verdict import Verdict

PROXY = "proxy"
TEMPLATE = "page.html.j2"


def render(
    verdict: Verdict,
    points: Sequence[Point],
    picks: Sequence[Pick],
    sheets: Mapping[str, bytes],
    *,
    learner: str,
    settings: Mapping[str, object],
    command: str,
    unscored: Mapping[str, str],
    agreement: RankAgreement | None = None,
) -> str:
    """Return the page. The same arguments give the same bytes; nothing is loaded from anywhere.

    Args:
        verdict: what `judge` says of the points.
        points: of the campaign, full-label ones included.
        picks: of the campaign; those of the first seed's first round are shown.
        sheets: arm to a PNG with the films of its first batch.
        learner: its name; for PROXY a banner says what that is.
        settings: name to value, told as they are.
        command: how to play the campaign again.
        unscored: arms that choose by no score, and the reason that they have instead.
        agreement: of a proxy with the real trainer, where that was measured.
    """
    order = _order(verdict)
    known = {
        name: _in_order(table, order)
        for name, table in tables(verdict, points, picks, learner).items()
    }
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((files(__package__) / TEMPLATE).read_text("utf-8"))
    return template.render(
        verdict=verdict,
        rules=verdict.rules,
        headline=wording.headline(verdict),
        remarks=wording.remarks(verdict),
        proxy=learner == PROXY,
        agreement=wording.agreement(agreement),
        learner=learner,
        roles=_roles(verdict),
        savings=[_savings_row(verdict, arm) for arm in order if arm != verdict.reference],
        areas=[_area_row(verdict, arm) for arm in order if arm != verdict.reference],
        findings=_finding_rows(known["findings"]),
        classes=CLASSES,
        pictures=pictures(verdict, known, unscored),
        batches=first_batches(picks, order, unscored),
        sheets={
            arm: picture(sheets[arm], f"The films of the first batch of {arm}")
            for arm in order
            if arm in sheets
        },
        currencies=CURRENCIES,
        paid_in=wording.PAID_IN,
        settings=settings,
        command=command,
        percent=percent,
        signed=wording.signed,
        number=_number,
    )


def _order(verdict: Verdict) -> list[str]:
    """Order arms: the reference, candidates from the best, other references, controls."""
    ahead = {}
    for arm in verdict.arms:
        one = verdict.comparison(arm)
        ahead[arm] = one.difference if one and not math.isnan(one.difference) else 0.0
    roles = _roles(verdict)
    ranks = {"reference": 0, "": 1, "no model": 2, "control": 3}
    return sorted(verdict.arms, key=lambda arm: (ranks[roles[arm]], -ahead[arm], arm))


def _in_order(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    places = {arm: place for place, arm in enumerate(order)}
    return table.sort_values("arm", key=lambda arms: arms.map(places), kind="stable")


def _roles(verdict: Verdict) -> dict[str, str]:
    roles = dict.fromkeys(verdict.arms, "control")
    roles |= dict.fromkeys(verdict.candidates, "")
    roles |= {arm: "no model" for arm in verdict.rules.references if arm in roles}
    if verdict.reference is not None:
        roles[verdict.reference] = "reference"
    return roles


def _savings_row(verdict: Verdict, arm: str) -> dict[str, Any]:
    cells = []
    for currency in CURRENCIES:
        for share in verdict.rules.shares:
            saved = verdict.savings.get((currency, share, arm))
            if saved is None:
                cells.append({"text": "-", "interval": "", "amount": "", "mood": ""})
                continue
            low, high = saved.interval
            told = (
                "" if saved.measured.unknown or math.isnan(low) else wording.interval((low, high))
            )
            sure = (currency, arm) in verdict.sure and not saved.measured.unknown
            mood = _mood(*saved.together) if sure else ""
            amount = wording.amount(saved, currency)
            text = saved.text.replace(">=", "\N{GREATER-THAN OR EQUAL TO}")
            text = text.replace("<=", "\N{LESS-THAN OR EQUAL TO}")
            cells.append({"text": text, "interval": told, "amount": amount, "mood": mood})
    return {"arm": arm, "cells": cells}


def _area_row(verdict: Verdict, arm: str) -> dict[str, Any]:
    cells = []
    for currency in CURRENCIES:
        one = verdict.comparison(arm, currency)
        if one is None:
            cells.append({"aubc": "-", "difference": "-", "interval": "", "p": "-", "mood": ""})
            continue
        low, high = one.interval
        told = "" if one.unknown else f"{wording.signed(low)} to {wording.signed(high)}"
        corrected = not math.isnan(one.p_holm)
        p = "-" if one.unknown else wording.p_value(one.p_holm if corrected else one.p)
        p = p.removeprefix("p = ").removeprefix("p ")
        cells.append(
            {
                "aubc": _number(one.aubc),
                "difference": "-" if math.isnan(one.difference) else wording.signed(one.difference),
                "interval": told,
                "p": p if corrected or one.unknown else f"{p}*",
                "mood": _mood(low, high) if (currency, arm) in verdict.sure else "",
            }
        )
    return {"arm": arm, "cells": cells}


def _finding_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    found: dict[str, dict[str, dict[str, str]]] = {}
    for row in table.to_dict("records"):
        low, high, difference = row["low"], row["high"], row["difference"]
        told = "" if math.isnan(low) else f"{wording.signed(low)} to {wording.signed(high)}"
        text = "-" if math.isnan(difference) else wording.signed(difference)
        cell = {"difference": text, "interval": told}
        found.setdefault(str(row["arm"]), {})[str(row["class"])] = cell
    none = {"difference": "-", "interval": ""}
    return [
        {"arm": arm, "cells": [of_arm.get(name, none) for name in CLASSES]}
        for arm, of_arm in found.items()
    ]


def _mood(low: float, high: float) -> str:
    return "good" if low > 0 else "bad" if high < 0 else ""


def _number(value: float, digits: int = 3) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
