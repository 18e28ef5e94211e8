"""Choices of claspd: dealt out to classes, from the best of each, farthest first."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.audits.coverage import check_farthest
from lungal.acquisition.lots import gumbel, share
from lungal.acquisition.pool import need_embeddings
from lungal.acquisition.selectors.claspd import ANY, LEAST
from lungal.boxes import FloatArray
from lungal.errors import SelectionError
from lungal.records import CLASSES


def audit_claspd(audited: Audited) -> None:
    """Check the shares of the classes, who was among the best of each, and who was farthest.

    Shares and vectors are worked out anew: what the selector has for them is not asked.

    Raises:
        SelectionError: naming the class or the film.
    """
    pool = audited.pool
    if not audited.films:
        return
    if pool.class_doubts is None:
        raise SelectionError("films were chosen by class, and nothing is known of their classes")
    worth = pool.class_doubts.astype(np.float64)
    due = _shares(audited, worth)
    strata = [audited.component(place, "stratum") for place in range(len(audited.films))]
    if odd := sorted({str(name) for name in strata} - {*due, ANY}):
        raise SelectionError(f"films were chosen for {odd[0]}, to which none are due")
    before: list[int] = []
    for name in [*due, ANY]:
        places = [place for place, stratum in enumerate(strata) if stratum == name]
        count = due.get(name, audited.budget - len(before))
        of_name = pool.scores if name == ANY else worth[:, CLASSES.index(name)]
        near = _candidates(audited, name, of_name, before, count)
        _check_stratum(audited, name, places, near, count)
        left = [film for film in near if film not in {audited.films[place] for place in places}]
        _check_spread(audited, places, left, before)
        before += [audited.films[place] for place in places]


def _shares(audited: Audited, worth: NDArray[np.float64]) -> dict[str, int]:
    """The films due to each class: as many to each as there is room for, and the rest by turns."""
    pool, params = audited.pool, audited.params
    counted = pool.patients if params.one_per_patient else pool.image_ids
    there = {
        name: len({counted[film] for film in np.flatnonzero(worth[:, label] > 0)})
        for label, name in enumerate(CLASSES)
    }
    films = min(share(audited.budget, params.stratified), sum(there.values()))
    level = next(level for level in range(films, -1, -1) if _under(level, there) <= films)
    order = sorted(CLASSES, key=lambda name: there[name])  # stable, as the selector's
    more = [name for name in order if there[name] > level][: films - _under(level, there)]
    due = {name: min(there[name], level) + (name in more) for name in order}
    return {name: count for name, count in due.items() if count}


def _under(level: int, there: Mapping[str, int]) -> int:
    return sum(min(level, count) for count in there.values())


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


def _check_spread(audited: Audited, places: list[int], left: list[int], before: list[int]) -> None:
    embeddings, labelled = need_embeddings(audited.pool, "claspd")
    profiles = audited.pool.class_scores
    weight = audited.params.embedding_weight

    def look(films: Sequence[int]) -> FloatArray:
        rows = list(films)
        return _vectors(embeddings[rows], profiles[rows], weight)

    known = _vectors(labelled, audited.pool.labelled_class_scores, weight)
    check_farthest(audited, places, left, look, np.concatenate([known, look(before)]))


def _vectors(embeddings: FloatArray, profiles: FloatArray, weight: float) -> FloatArray:
    """Embeddings of length one beside scores of length one at most, each with its weight."""
    lengths = np.linalg.norm(embeddings, axis=1, keepdims=True)
    turned = embeddings / np.where(lengths > 0, lengths, 1)
    within = profiles / np.linalg.norm(profiles, axis=1, keepdims=True).clip(1)
    return np.hstack([weight**0.5 * turned, (1 - weight) ** 0.5 * within]).astype(np.float32)


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
