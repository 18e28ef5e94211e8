"""Films drawn by lot: what every other choice has to beat."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from lungal.acquisition.lots import by_lot
from lungal.acquisition.pool import Choice, Pool, as_choices
from lungal.acquisition.selectors.topk import one_a_patient
from lungal.records import CLASSES

PURPOSE = "select"
NOTHING, UNKNOWN = "none of the eight", "no report"


@dataclass(frozen=True, slots=True)
class Drawn:
    """Draws films by a hash of seed, round and name; the pool's order and scores do not matter."""

    one_per_patient: bool

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return the choices as they were drawn."""
        lots = in_order_of_lots(pool, seed=seed, number=number)
        chosen = islice(one_a_patient(lots, pool) if self.one_per_patient else lots, budget)
        return as_choices(pool, chosen)


@dataclass(frozen=True, slots=True)
class StratifiedDrawn:
    """Draws films by lot within strata that the films' reports make: the fair baseline.

    A film's stratum is the finding that its report names, of several the one that fewest films of
    the pool have; films whose report names none of the eight are a stratum, and so are films
    without a report. The next film is always given to the stratum with the greatest

        w / (2 n + 1)        n: how many films it has already been given

    of those that have films left (Webster 1832, Sainte-Laguë 1910). w is 1 for `even`, which
    deals the films out in turns, and the stratum's number of films for `proportional`. Equal
    claims go to the smaller stratum.
    """

    one_per_patient: bool
    quota: Literal["even", "proportional"]

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return the choices in the order in which the strata were given them."""
        strata = strata_of(pool)
        names, sizes = np.unique(strata, return_counts=True)
        claims = dict(zip(names.tolist(), sizes.tolist(), strict=True))
        left: dict[str, list[int]] = {name: [] for name in claims}
        for lot in reversed(in_order_of_lots(pool, seed=seed, number=number)):
            left[strata[lot]].append(lot)  # the first lot ends up last, where pop takes it
        given = dict.fromkeys(claims, 0)
        taken: set[str] = set()
        chosen: list[int] = []
        while len(chosen) < budget and left:
            name = max(
                left, key=lambda name: (self._claim(claims[name], given[name]), -claims[name], name)
            )
            film = self._next(left[name], pool, taken)
            if film is None:
                del left[name]
            else:
                given[name] += 1
                chosen.append(film)
        return as_choices(pool, chosen, [{"stratum": strata[film]} for film in chosen])

    def _claim(self, size: int, given: int) -> float:
        return (1 if self.quota == "even" else size) / (2 * given + 1)

    def _next(self, films: list[int], pool: Pool, taken: set[str]) -> int | None:
        while films:
            film = films.pop()
            if not (self.one_per_patient and pool.patients[film] in taken):
                taken.add(pool.patients[film])
                return film
        return None


def in_order_of_lots(pool: Pool, *, seed: int, number: int) -> list[int]:
    """Return the films in an order that only chance explains."""
    place = {name: film for film, name in enumerate(pool.image_ids)}
    return [
        place[name] for name in by_lot(pool.image_ids, purpose=PURPOSE, seed=seed, number=number)
    ]


def strata_of(pool: Pool) -> Sequence[str]:
    """Return the (N,) stratum of each film, by its report."""
    films_with = pool.findings.sum(axis=0)
    rarest_first = sorted(range(len(CLASSES)), key=lambda label: (films_with[label], label))
    strata = [NOTHING if known else UNKNOWN for known in pool.known.tolist()]
    for label in reversed(rarest_first):  # the rarest comes last, and stays
        for film in np.flatnonzero(pool.findings[:, label]).tolist():
            strata[film] = CLASSES[label]
    return strata
