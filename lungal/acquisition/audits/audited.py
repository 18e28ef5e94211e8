"""A choice under audit."""

from collections.abc import Sequence
from dataclasses import dataclass

from lungal.acquisition.pool import Choice, Pool
from lungal.params import SelectParams


@dataclass(frozen=True, slots=True, eq=False)
class Audited:
    """A choice of a pool, and how it should have been made."""

    choices: Sequence[Choice]  # by rank
    films: Sequence[int]  # the index of each in the pool
    pool: Pool
    budget: int
    params: SelectParams
    number: int  # of the round

    def component(self, place: int, name: str) -> float | str | None:
        """Return what the receipt of the choice in a place says."""
        return self.choices[place].components.get(name)
