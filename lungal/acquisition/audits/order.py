"""Choices that follow a number that each film has: a score, or a lot."""

from collections.abc import Sequence
from itertools import pairwise

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.lots import by_lot
from lungal.acquisition.pool import Pool
from lungal.acquisition.selectors.drawn import PURPOSE
from lungal.errors import SelectionError


def audit_topk(audited: Audited) -> None:
    """Check that no film was left out, or ranked lower, for one of lower score.

    Raises:
        SelectionError: naming the film.
    """
    check_order(audited, audited.pool.scores.tolist(), "scored")


def audit_random(audited: Audited) -> None:
    """Check that the films with the first lots were chosen.

    Raises:
        SelectionError: naming a film that chance did not choose.
    """
    places = lots(audited.pool, seed=audited.params.seed, number=audited.number)
    check_order(audited, [-place for place in places], "whose lot is")


def check_order(audited: Audited, worth: Sequence[float], says: str) -> None:
    """Check a choice that should consist of the films of highest worth, highest first."""
    pool, films, alone = audited.pool, audited.films, audited.params.one_per_patient
    for before, film in pairwise(films):
        if worth[film] > worth[before]:
            raise SelectionError(
                f"film {pool.image_ids[film]} {says} {worth[film]:g} is ranked after one {says}"
                f" {worth[before]:g}"
            )
    # A patient's film stands aside for the one of theirs that was chosen, or for the last rank.
    of_patient = {pool.patients[film]: worth[film] for film in films} if alone else {}
    lowest = min((worth[film] for film in films), default=float("inf"))
    for film in set(range(len(pool))) - set(films):
        beaten_by = of_patient.get(pool.patients[film], lowest)
        if worth[film] > beaten_by:
            raise SelectionError(
                f"film {pool.image_ids[film]} {says} {worth[film]:g} was left out for one {says}"
                f" {beaten_by:g}"
            )


def lots(pool: Pool, *, seed: int, number: int) -> list[int]:
    """Return the (N,) place of each film among the lots."""
    drawn = by_lot(pool.image_ids, purpose=PURPOSE, seed=seed, number=number)
    places = {name: place for place, name in enumerate(drawn)}
    return [places[name] for name in pool.image_ids]
