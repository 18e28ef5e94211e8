"""The films with the highest scores."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.pool import Choice, Pool, as_choices


@dataclass(frozen=True, slots=True)
class TopK:
    """Chooses the films with the highest scores; equal scores go by image_id.

    One film a patient, if asked: two films of one chest teach little more than one.
    """

    one_per_patient: bool

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:  # noqa: ARG002  nothing is drawn
        """Return the choices, the highest score first."""
        ordered = best_first(pool.scores)
        chosen = islice(one_a_patient(ordered, pool) if self.one_per_patient else ordered, budget)
        return as_choices(pool, chosen)


def best_first(scores: NDArray[np.float64]) -> list[int]:
    """Return the indices of (N,) scores from the highest down; equal ones as they come."""
    ordered: list[int] = np.argsort(-scores, kind="stable").tolist()
    return ordered


def one_a_patient(films: Iterable[int], pool: Pool, taken: Iterable[str] = ()) -> Iterator[int]:
    """Yield films in their order, but none of a patient who had one, or who is taken."""
    seen = set(taken)
    for film in films:
        if (patient := pool.patients[film]) not in seen:
            seen.add(patient)
            yield film
