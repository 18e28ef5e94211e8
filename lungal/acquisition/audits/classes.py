"""Choices of claspd: dealt out to classes, from the best of each, farthest first."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.audits.coverage import check_farthest
from lungal.acquisition.lots import gumbel, share
from lungal.acquisition.pool import need_embeddings
from lungal.acquisition.selection import claspd
from lungal.acquisition.selectors.claspd import (
    ANY,
    LEAST,
    Claspd,
    class_worth,
    quotas,
    worth_of,
)
from lungal.boxes import FloatArray
from lungal.errors import SelectionError


def audit_claspd(audited: Audited) -> None:
    """Check the shares of the classes, who was among the best of each, and who was farthest.

    Raises:
        SelectionError: naming the class or the film.
    """
    pool, params = audited.pool, audited.params
    if not audited.films:
        return
    selector = claspd(params)
    worth = class_worth(pool)
    wanted = share(audited.budget, params.stratified)
    due = quotas(worth, pool, wanted, alone=params.one_per_patient)
    strata = [audited.component(place, "stratum") for place in range(len(audited.films))]
    if odd := sorted({str(name) for name in strata} - {*due, ANY}):
        raise SelectionError(f"films were chosen for {odd[0]}, to which none are due")
    before: list[int] = []
    for name in [*due, ANY]:
        places = [place for place, stratum in enumerate(strata) if stratum == name]
        count = due.get(name, audited.budget - len(before))
        near = _candidates(audited, name, worth_of(name, worth, pool), before, count)
        _check_stratum(audited, name, places, near, count)
        left = [film for film in near if film not in {audited.films[place] for place in places}]
        _check_spread(audited, selector, places, left, before)
        before += [audited.films[place] for place in places]


def _check_stratum(
    audited: Audited, name: str, places: list[int], near: list[int], count: int
) -> None:
    if len(places) != (due := min(count, len(near))):
        raise SelectionError(f"{len(places)} films were chosen for {name}, {due} are due to it")
    for film in (audited.films[place] for place in places):
        if film not in near:
            raise SelectionError(
                f"film {audited.pool.image_ids[film]} is not among the {len(near)} films that come"
                f" into question for {name}"
            )


def _check_spread(
    audited: Audited, selector: Claspd, places: list[int], left: list[int], before: list[int]
) -> None:
    embeddings, labelled = need_embeddings(audited.pool, "claspd")
    profiles = audited.pool.class_scores

    def look(films: Sequence[int]) -> FloatArray:
        rows = list(films)
        return selector.vectors(embeddings[rows], profiles[rows])

    known = selector.vectors(labelled, audited.pool.labelled_class_scores)
    check_farthest(audited, places, left, look, np.concatenate([known, look(before)]))


def _candidates(
    audited: Audited, name: str, worth: NDArray[np.float64], before: list[int], count: int
) -> list[int]:
    pool, params = audited.pool, audited.params
    scale = params.noise * params.noise_decay ** (audited.number - 1)
    noised = {}
    for film in sorted(set(range(len(pool))) - set(before)):
        if name == ANY or worth[film] > 0:
            lot = gumbel(
                pool.image_ids[film],
                purpose=f"noise {name}",
                seed=params.seed,
                number=audited.number,
            )
            noised[film] = math.log(max(worth[film], LEAST)) + scale * lot, lot
    taken = {pool.patients[film] for film in before}
    near: list[int] = []
    for film in sorted(noised, key=lambda film: noised[film], reverse=True):
        if len(near) == math.ceil(count * params.candidates):
            break
        if not params.one_per_patient or pool.patients[film] not in taken:
            taken.add(pool.patients[film])
            near.append(film)
    return near
