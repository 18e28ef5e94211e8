"""Receipts of the first batches: what a strategy gave as its reason, and what the films held."""

from collections.abc import Mapping, Sequence
from typing import Any

from lungal.records import CLASSES
from lungal.simulation.results import Pick

RECEIPTS, SHEET = 10, 12
"""Films of a batch whose receipts are shown, and films whose pictures are."""


def first_batches(picks: Sequence[Pick], order: Sequence[str]) -> list[dict[str, Any]]:
    """Return the receipts of each arm's first batch, of the first seed that it was played for."""
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
                "reason": pick.reason or "-",
                "components": _components(pick.components),
                "boxes": _truth(pick.boxes),
            }
            for pick in batch[:RECEIPTS]
        ]
        batches.append(
            {
                "arm": arm,
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
