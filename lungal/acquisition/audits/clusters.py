"""Choices that stand for clusters."""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.pool import Pool, need_embeddings
from lungal.acquisition.selectors.ppal import FARTHEST
from lungal.acquisition.selectors.typicality import NEIGHBOURS, Clusters, clusters_of
from lungal.acquisition.selectors.unit import unit_rows
from lungal.boxes import FloatArray
from lungal.errors import SelectionError

SLACK = 1e-4
"""What rounding may make of a sum of distances, or of a typicality, as a share of it."""


def audit_ppal(audited: Audited) -> None:
    """Check that the chosen are among the most uncertain films, and the medoids of these.

    Raises:
        SelectionError: naming the film.
    """
    pool, films = audited.pool, audited.films
    if not audited.films:
        return
    embeddings, _ = need_embeddings(pool, "ppal")
    near = _most_uncertain(audited)
    for film in films:
        if film not in near:
            raise SelectionError(
                f"film {pool.image_ids[film]} scored {pool.scores[film]:g} is not among the"
                f" {len(near)} most uncertain"
            )
    apart = np.array([_conditioned(film, near, embeddings, pool) for film in near])
    apart = (apart + apart.T) / 2
    medoids = [near.index(film) for film in films]
    _check_middles(audited, near, medoids, apart)
    mine, start = _cost(apart, medoids), _cost(apart, _spread(apart, len(medoids)))
    if mine > start * (1 + SLACK) + SLACK:
        raise SelectionError(
            f"the distances of the {len(near)} most uncertain films to the nearest chosen add up"
            f" to {mine:g}, with a plain k-centre to {start:g}"
        )


def _check_middles(
    audited: Audited, near: list[int], medoids: list[int], apart: NDArray[np.float64]
) -> None:
    names = audited.pool.image_ids
    nearest = apart[:, medoids].argmin(axis=1)
    nearest[medoids] = np.arange(len(medoids))
    for place, medoid in enumerate(medoids):
        cluster = np.flatnonzero(nearest == place)
        sums = apart[np.ix_(cluster, cluster)].sum(axis=1)
        mine = float(sums[cluster == medoid][0])
        if mine > sums.min() * (1 + SLACK) + SLACK:
            better = near[cluster[int(sums.argmin())]]
            raise SelectionError(
                f"film {names[near[medoid]]} is not in the middle of the films it stands for: the"
                f" distances to them add up to {mine:g}, from {names[better]} to {sums.min():g}"
            )


def _cost(apart: NDArray[np.float64], medoids: list[int]) -> float:
    return float(apart[:, medoids].min(axis=1).sum())


def _spread(apart: NDArray[np.float64], count: int) -> list[int]:
    chosen = [0]  # the most uncertain film
    for _ in range(count - 1):
        far = apart[:, chosen].min(axis=1)
        far[chosen] = -1
        chosen.append(int(far.argmax()))
    return chosen


def _most_uncertain(audited: Audited) -> list[int]:
    pool = audited.pool
    films = sorted(range(len(pool)), key=lambda film: (-pool.scores[film], film))
    if audited.params.one_per_patient:
        best: dict[str, int] = {}
        for film in films:
            best.setdefault(pool.patients[film], film)
        films = list(best.values())
    return films[: math.ceil(audited.budget * audited.params.candidates)]


def _conditioned(
    film: int, near: list[int], embeddings: FloatArray, pool: Pool
) -> NDArray[np.float64]:
    """The distances from one film to others, class by class."""
    mine = embeddings[film].astype(np.float64)
    others = embeddings[near].astype(np.float64)
    lengths = np.linalg.norm(mine) * np.linalg.norm(others, axis=1)
    apart = 1 - np.divide(others @ mine, lengths, out=np.zeros(len(near)), where=lengths > 0)
    scores = pool.class_scores[film].astype(np.float64)
    if scores.any():
        shown = pool.class_scores[near] > 0
        by_class = np.where(shown, apart[:, None], FARTHEST)
        apart = (by_class * scores).sum(axis=1) / scores.sum()
    return np.where(np.array(near) == film, 0.0, apart)


def audit_typicality(audited: Audited) -> None:
    """Check that each choice is the most typical film of a cluster, and the clusters' order.

    Raises:
        SelectionError: naming the film.
    """
    pool = audited.pool
    if not audited.films:
        return
    embeddings, _ = need_embeddings(pool, "typicality")
    clusters = clusters_of(pool, audited.budget, seed=audited.params.seed, number=audited.number)
    unit = unit_rows(embeddings)
    patients = np.array(pool.patients)
    free = np.ones(len(pool), bool)
    turns = _turns(clusters, free)
    for place, film in enumerate(audited.films):
        cluster, turn = int(clusters.of_film[film]), next(turns)
        if cluster != turn:
            raise SelectionError(
                f"film {pool.image_ids[film]} of cluster {cluster} was chosen when it was the turn"
                f" of cluster {turn}"
            )
        if audited.component(place, "cluster") != cluster:
            raise SelectionError(
                f"film {pool.image_ids[film]} was chosen for cluster"
                f" {audited.component(place, 'cluster')} and is of {cluster}"
            )
        _check_typical(audited, film, np.flatnonzero((clusters.of_film == cluster) & free), unit)
        free[patients == patients[film] if audited.params.one_per_patient else film] = False


def _turns(clusters: Clusters, free: NDArray[np.bool_]) -> Iterator[int]:
    """Yield whose turn it is, of the clusters that have a free film then."""
    while free.any():
        for cluster in clusters.order:
            if ((clusters.of_film == cluster) & free).any():
                yield cluster


def _check_typical(
    audited: Audited, film: int, cluster: NDArray[np.int64], unit: FloatArray
) -> None:
    if len(cluster) == 1:
        return
    typical = _typical(unit[cluster].astype(np.float64))
    mine = typical[cluster.tolist().index(film)]
    if mine < typical.max() * (1 - SLACK):
        raise SelectionError(
            f"film {audited.pool.image_ids[film]} has typicality {mine:g} and was chosen before"
            f" {audited.pool.image_ids[cluster[int(typical.argmax())]]} with {typical.max():g}"
        )


def _typical(films: NDArray[np.float64]) -> NDArray[np.float64]:
    count = max(1, min(NEIGHBOURS, len(films) // 2))
    squares = (films**2).sum(axis=1)
    typical = []
    for number, film in enumerate(films):
        apart = np.sqrt(np.clip(squares + squares[number] - 2 * films @ film, 0, None))
        near = np.partition(np.delete(apart, number), count - 1)[:count]
        typical.append(1 / (near.mean() + 1e-5))
    return np.array(typical)
