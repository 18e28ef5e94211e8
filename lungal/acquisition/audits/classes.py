"""Choices of claspd: dealt out to classes, from the best of each, farthest first."""

import math

import numpy as np

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.audits.coverage import check_farthest
from lungal.acquisition.lots import gumbel, share
from lungal.acquisition.selection import claspd
from lungal.acquisition.selectors.claspd import ANY, LEAST, class_worth, quotas, worth_of
from lungal.errors import SelectionError


def audit_claspd(audited: Audited) -> None:
    """Check the shares of the classes, who was among the best of each, and who was farthest.

    Raises:
        SelectionError: naming the class or the film.
    """
    pool, params = audited.pool, audited.params
    if not len(pool):
        return
    selector = claspd(params)
    vectors, centres = selector.vectors(pool)
    worth = class_worth(pool, selector.precision)
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
        chosen = [audited.films[place] for place in places]
        if len(chosen) != min(count, len(near)):
            raise SelectionError(
                f"{len(chosen)} films were chosen for {name}, {min(count, len(near))} are due to it"
            )
        for film in chosen:
            if film not in near:
                raise SelectionError(
                    f"film {pool.image_ids[film]} is not among the {len(near)} films that come into"
                    f" question for {name}"
                )
        left = [film for film in near if film not in chosen]
        check_farthest(audited, places, left, vectors, np.concatenate([centres, vectors[before]]))
        before += chosen


def _candidates(
    audited: Audited, name: str, worth: np.ndarray, before: list[int], count: int
) -> list[int]:
    pool, params = audited.pool, audited.params
    scale = params.noise * params.noise_decay ** (audited.number - 1)
    lots = {"purpose": f"noise {name}", "seed": params.seed, "number": audited.number}
    noised = {
        film: math.log(max(worth[film], LEAST)) + scale * gumbel(pool.image_ids[film], **lots)
        for film in range(len(pool))
        if film not in before and (name == ANY or worth[film] > 0)
    }
    taken = {pool.patients[film] for film in before}
    near: list[int] = []
    for film in sorted(noised, key=lambda film: (-noised[film], film)):
        if len(near) == math.ceil(count * params.candidates):
            break
        if not params.one_per_patient or pool.patients[film] not in taken:
            taken.add(pool.patients[film])
            near.append(film)
    return near
