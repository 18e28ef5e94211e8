"""Shares that are exact, and drawn by a hash: the same seed draws the same, in any order."""

import math
from collections.abc import Iterable
from hashlib import sha256


def share(count: int, fraction: float) -> int:
    """Return how many of `count` a fraction is, a half being one more."""
    return math.floor(count * fraction + 0.5)


def by_lot(names: Iterable[str], *, purpose: str, seed: int, number: int) -> list[str]:
    """Return names in an order that only chance explains.

    A name that is added moves no other. Two purposes draw independently of each other, and so do
    two rounds.

    Args:
        names: in any order, which does not matter.
        purpose: what is drawn for.
        seed: of the draw.
        number: of the round.
    """
    return sorted(
        names, key=lambda name: sha256(f"{purpose}:{seed}:{number}:{name}".encode()).digest()
    )


def draw(
    names: Iterable[str], fraction: float, *, purpose: str, seed: int, number: int
) -> set[str]:
    """Return a share of the names: as many as `share` says, drawn by `by_lot`."""
    ordered = by_lot(names, purpose=purpose, seed=seed, number=number)
    return set(ordered[: share(len(ordered), fraction)])
