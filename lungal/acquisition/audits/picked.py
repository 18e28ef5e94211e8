"""What must be true of every choice, whoever made it."""

import math
from collections import Counter
from collections.abc import Sequence

from lungal.acquisition.pool import Choice, Pool
from lungal.errors import SelectionError


def check_picked(
    choices: Sequence[Choice], pool: Pool, budget: int, *, one_per_patient: bool
) -> list[int]:
    """Check that a choice is of films of the pool, as they are, and of enough of them.

    Returns:
        The index of each chosen film, by rank.

    Raises:
        SelectionError: if a score is not finite; a choice is not in the pool, comes twice or has
            another score, patient or rank than it should; a patient comes twice; or there are too
            few or too many choices.
    """
    for name, score in zip(pool.image_ids, pool.scores.tolist(), strict=True):
        if not math.isfinite(score):
            raise SelectionError(f"film {name} has the score {score}")
    if twice := repeated([choice.image_id for choice in choices]):
        raise SelectionError(f"film {twice} was chosen twice")
    index = {name: film for film, name in enumerate(pool.image_ids)}
    for rank, choice in enumerate(choices, start=1):
        _check_one(choice, rank, index, pool)
    if one_per_patient and (twice := repeated([choice.patient_id for choice in choices])):
        raise SelectionError(f"patient {twice} was chosen twice")
    there = len(set(pool.patients)) if one_per_patient else len(pool)
    if len(choices) != min(budget, there):
        raise SelectionError(
            f"{len(choices)} films were chosen, {min(budget, there)} should have been"
            f" (budget {budget}, {there} candidates)"
        )
    return [index[choice.image_id] for choice in choices]


def repeated(names: Sequence[str]) -> str | None:
    """Return a name that comes more than once, if there is one."""
    return next((name for name, times in Counter(names).items() if times > 1), None)


def _check_one(choice: Choice, rank: int, index: dict[str, int], pool: Pool) -> None:
    name = choice.image_id
    if name not in index:
        raise SelectionError(f"film {name} was chosen and is not in the pool")
    film = index[name]
    if (choice.score, choice.patient_id) != (pool.scores[film], pool.patients[film]):
        raise SelectionError(
            f"film {name} of patient {pool.patients[film]} scored {pool.scores[film]:g} was chosen"
            f" as one of patient {choice.patient_id} scored {choice.score:g}"
        )
    if choice.rank != rank:
        raise SelectionError(f"film {name} has rank {choice.rank} in place {rank}")
