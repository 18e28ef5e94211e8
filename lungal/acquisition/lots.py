"""Shares that are exact, and drawn by a hash: the same seed draws the same, in any order."""

import math
from collections.abc import Iterable
from hashlib import sha256


def share(count: int, fraction: float) -> int:
    """Return count * fraction, rounded half up."""
    # In binary 45 * 0.7 is a little less than 31.5.
    return math.floor(round(count * fraction, 9) + 0.5)


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


def gumbel(name: str, *, purpose: str, seed: int, number: int) -> float:
    """Return a draw from the standard Gumbel distribution that depends on the arguments alone.

    Adding such noise to log s and taking the k highest is drawing k films without replacement with
    chances proportional to s (Kool, van Hoof & Welling 2019, "Stochastic beams and where to find
    them").
    """
    lot = sha256(f"{purpose}:{seed}:{number}:{name}".encode()).digest()[:8]
    even = ((int.from_bytes(lot, "big") >> 11) + 0.5) / 2**53  # strictly between 0 and 1
    return -math.log(-math.log(even))
