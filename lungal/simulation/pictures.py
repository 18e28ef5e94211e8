"""The figures of a campaign's page, with words for those who do not see them."""

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from lungal.evaluation import campaign_figures, curve_figures
from lungal.evaluation.campaign_figures import names_of
from lungal.evaluation.figures import encode_png
from lungal.simulation import wording
from lungal.simulation.curves import CURRENCIES
from lungal.simulation.results import FULL
from lungal.simulation.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure on the page."""

    data: str  # base64 of a PNG
    alt: str  # what it shows, for those who do not see it


def pictures(
    verdict: Verdict, known: Mapping[str, pd.DataFrame], unscored: Collection[str]
) -> dict[str, Picture]:
    """Draw all figures of the page, by name.

    Args:
        verdict: of a campaign.
        known: its tables, in the order in which arms are to be drawn.
        unscored: arms that choose by no score.
    """
    levels: dict[str, Any] = {
        "reference": verdict.reference,
        "full": verdict.full,
        "shares": verdict.rules.shares,
    }
    name = verdict.reference or "nothing"
    arms = ", ".join(names_of(known["curves"]["arm"]))
    found = {
        "savings": picture(
            encode_png(
                campaign_figures.savings(
                    known["savings"], verdict.rules.share, coloured=verdict.sure
                )
            ),
            f"Savings of each arm against {name} with intervals; the numbers are in the table",
        ),
        "overview": picture(
            encode_png(curve_figures.overview(known["curves"], **levels)),
            f"Mean learning curves of {arms}, by films, boxes and hours; {_ends(verdict, known)}",
        ),
        "classes": picture(
            encode_png(
                curve_figures.class_curves(
                    known["classes"], reference=verdict.reference, full_arm=FULL
                )
            ),
            "Mean learning curves of each arm, a panel for each of the eight findings",
        ),
        "gained": picture(
            encode_png(campaign_figures.gained(known["gained"])),
            f"True boxes found by each arm: {_boxes(known)}",
        ),
        "scores": picture(
            encode_png(
                campaign_figures.chosen_scores(
                    known["chosen"], reference=verdict.reference, unscored=unscored
                )
            ),
            "Scores of the films that each arm with scores chose, by round",
        ),
    }
    for currency in CURRENCIES:
        found[currency] = picture(
            encode_png(curve_figures.learning_curves(known["curves"], currency, **levels)),
            f"Mean learning curve of each arm by {wording.PAID_IN[currency]}, with its band, "
            f"against {name}",
        )
    return found


def picture(png: bytes, alt: str) -> Picture:
    """Return a picture of PNG bytes."""
    return Picture(base64.b64encode(png).decode("ascii"), alt)


def _ends(verdict: Verdict, known: Mapping[str, pd.DataFrame]) -> str:
    curves = known["curves"]
    last = curves[curves["currency"] == "films"].groupby("arm", sort=False)["score"].last()
    return "final scores: " + ", ".join(f"{arm} {last[arm]:.3f}" for arm in verdict.arms)


def _boxes(known: Mapping[str, pd.DataFrame]) -> str:
    totals = known["gained"].groupby("arm", sort=False)["boxes"].sum()
    return ", ".join(f"{arm} {total:.0f}" for arm, total in totals.items()) or "no film was chosen"
