"""How a round's budget is shared out: a film costs a reading, whatever it is read for."""

from dataclasses import dataclass

from lungal.acquisition.lots import share


@dataclass(frozen=True, slots=True)
class Allotment:
    """How many films of a budget are read for what."""

    adjudications: int  # films on which readers disagreed
    controls: int  # known cases
    rereads: int  # training films whose boxes look wrong
    labels: int  # films of the pool


def allot(
    budget: int,
    *,
    pool: int,
    disputed: int,
    known: int,
    suspicious: int,
    control_fraction: float,
    reread_fraction: float,
) -> Allotment:
    """Share out a budget, in this order: adjudications, controls, re-readings, the pool.

    Adjudications come first, because work that has been paid for twice lies idle until then, but
    take at most half of the budget, so that one quarrelsome round does not stop the campaign.
    What a share cannot fill falls to the pool. When there is nothing to read, there are no
    controls either: known cases alone teach nobody anything.

    Args:
        budget: how many films altogether.
        pool: films that wait for a label.
        disputed: films that wait for an adjudication.
        known: films that may serve as controls.
        suspicious: films that may be re-read.
        control_fraction: of the budget, in [0, 1].
        reread_fraction: of the budget, in [0, 1], at most.
    """
    if not (pool or disputed or suspicious):
        return Allotment(0, 0, 0, 0)
    adjudications = min(disputed, budget // 2)
    left = budget - adjudications
    controls = min(share(budget, control_fraction), known, left)
    left -= controls
    rereads = min(share(budget, reread_fraction), suspicious, left)
    return Allotment(adjudications, controls, rereads, labels=min(pool, left - rereads))
