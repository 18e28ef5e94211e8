"""Receipts of the first batches: what a strategy gave as its reason, and what the films held."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from lungal.records import CLASSES
from lungal.simulation.arms import Arm
from lungal.simulation.results import Pick

RECEIPTS, SHEET = 10, 12
"""Films of a batch whose receipts are shown, and films whose pictures are."""
UNSCORED: Mapping[str, str] = {
    "random": "drawn by lot",
    "stratified_random": "drawn by lot",
    "coreset": "far from all films that were labelled or chosen before",
    "typicality": "typical of its cluster",
}
"""Selectors that look at no score, and why they choose a film.

Films have a score there, too, of whatever strategy is named; it is no reason."""


def unscored(arms: Iterable[Arm]) -> dict[str, str]:
    """Return the arms that choose by no score, each with the reason that it has instead."""
    reasons = {arm.name: UNSCORED.get(arm.select.selector) for arm in arms}
    return {name: reason for name, reason in reasons.items() if reason is not None}


def caption(pick: Pick, unscored: Collection[str]) -> str:
    """Return what stands above a chosen film's picture: its rank and name, and the score if any."""
    named = f"{pick.rank}. {pick.image_id}"
    return named if pick.arm in unscored else f"{named}    {pick.score:.2f}"


def first_batches(
    picks: Sequence[Pick], order: Sequence[str], unscored: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Return the receipts of each arm's first batch, of the first seed that it was played for.

    Args:
        picks: of a campaign.
        order: of the arms.
        unscored: arms that choose by no score, and the reason that they have instead.
    """
    batches = []
    for arm in order:
        mine = [pick for pick in picks if pick.arm == arm]
        if not mine:
            continue
        seed, number = min((pick.seed, pick.round) for pick in mine)
        batch = [pick for pick in mine if (pick.seed, pick.round) == (seed, number)]
        batch.sort(key=lambda pick: pick.rank)
        rows = [
            {
                "rank": pick.rank,
                "film": pick.image_id,
                "score": f"{pick.score:.3f}",
                "reason": unscored.get(arm, pick.reason) or "-",
                "components": _components(pick.components),
                "boxes": _truth(pick.boxes),
            }
            for pick in batch[:RECEIPTS]
        ]
        batches.append(
            {
                "arm": arm,
                "scored": arm not in unscored,
                "seed": seed,
                "films": len(batch),
                "pictures": min(len(batch), SHEET),
                "empty": sum(not sum(pick.boxes) for pick in batch),
                "boxes": sum(sum(pick.boxes) for pick in batch),
                "kinds": len({k for pick in batch for k, n in enumerate(pick.boxes) if n}),
                "rows": rows,
            }
        )
    return batches


def _components(components: Mapping[str, float | str]) -> list[tuple[str, str]]:
    return [
        (name, value if isinstance(value, str) else f"{value:.3g}")
        for name, value in components.items()
    ]


def _truth(boxes: Sequence[int]) -> str:
    told = [f"{count} {name}" for name, count in zip(CLASSES, boxes, strict=False) if count]
    return ", ".join(told) or "none"
