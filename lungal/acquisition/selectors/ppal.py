"""PPAL: the most uncertain films, thinned out until they differ.

Yang, Huang & Crowley 2024, "Plug and Play Active Learning for Object Detection", and the code
that its authors published.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.pool import Choice, Pool, as_choices, need_embeddings
from lungal.acquisition.selectors.topk import best_first, one_a_patient
from lungal.acquisition.selectors.unit import unit_rows
from lungal.boxes import Float64Array, FloatArray

FARTHEST = 2.0
"""Distance to a film that does not show the class: that of opposite embeddings."""


@dataclass(frozen=True, slots=True)
class Ppal:
    """Chooses by score `candidates` films for each that is wanted, and of them the k-medoids.

    The distance of film i to film j asks for each class that i shows how far j is that shows it,
    too, and weighs the classes by their scores s in i:

        d(i -> j) = sum over c of s_ic d_c(i, j) / sum over c of s_ic
        d_c(i, j) = 1 - cos(e_i, e_j) if j shows c, else 2

    and the distance of two films is the mean of d(i -> j) and d(j -> i): the paper's category
    conditioned matching similarity. Where the paper compares the features of
    single boxes, ours compares the embeddings e of whole films, as these are what a detector
    gives; so a class is shown once, by its surest detection. A film that shows nothing is compared
    by its embedding alone. The medoids are found as in the paper's code: begin with a greedy
    k-centre, then in turns assign each film to its nearest medoid and take the film of each
    cluster with the smallest sum of distances, until nothing changes. The greedy k-centre begins
    with the most uncertain film, theirs with any.
    """

    one_per_patient: bool
    candidates: float

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:  # noqa: ARG002  nothing is drawn
        """Return the choices, the highest score first, each with the size of its cluster.

        Raises:
            SelectionError: if there are no embeddings.
        """
        if not len(pool) or not budget:
            return []
        films, _ = need_embeddings(pool, "ppal")
        near = candidates_of(pool, math.ceil(budget * self.candidates), alone=self.one_per_patient)
        distances = conditioned_distances(films[near], pool.class_scores[near])
        medoids, sizes = k_medoids(distances, min(budget, len(near)))
        chosen = sorted(
            zip((near[place] for place in medoids), sizes, strict=True),
            key=lambda film: (-pool.scores[film[0]], film[0]),
        )
        return as_choices(
            pool, [film for film, _ in chosen], [{"cluster": size} for _, size in chosen]
        )


def candidates_of(pool: Pool, count: int, *, alone: bool) -> list[int]:
    """Return the films with the highest scores, one a patient if `alone`, the highest first."""
    ordered = best_first(pool.scores)
    return list(islice(one_a_patient(ordered, pool) if alone else ordered, count))


def conditioned_distances(embeddings: FloatArray, class_scores: FloatArray) -> Float64Array:
    """Return the (N, N) distances in [0, 2] of films, conditioned on the classes they show.

    Args:
        embeddings: (N, E) float32.
        class_scores: (N, C) float32 in [0, 1]; 0 where a film does not show a class.
    """
    unit = unit_rows(embeddings).astype(np.float64)
    apart = np.clip(1.0 - unit @ unit.T, 0.0, FARTHEST)
    np.fill_diagonal(apart, 0.0)
    scores = class_scores.astype(np.float64)
    total = scores.sum(axis=1, keepdims=True)
    shares = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
    matched = shares @ (scores > 0).T  # of i's scores, how much lies in classes that j shows
    matched[total[:, 0] == 0] = 1.0
    towards = matched * apart + (1.0 - matched) * FARTHEST
    np.fill_diagonal(towards, 0.0)
    return np.asarray((towards + towards.T) / 2)


def k_medoids(distances: Float64Array, count: int) -> tuple[list[int], list[int]]:
    """Return the medoids of `count` clusters and the clusters' sizes.

    Each step lowers the sum of the distances to the medoids or ends the search, so that it ends.
    A film that lies between two medoids, as films that share no class do, goes to the earlier film
    of the two: the medoids are in the films' order, and which was found first does not matter.

    Args:
        distances: (N, N), symmetric; the search begins with the first film.
        count: at most N.
    """
    medoids = sorted(_spread(distances, count))
    while True:
        nearest = _assign(distances, medoids)
        moved = sorted(
            _centre(distances, np.flatnonzero(nearest == place), medoid)
            for place, medoid in enumerate(medoids)
        )
        if moved == medoids:
            return medoids, np.bincount(nearest, minlength=count).tolist()
        medoids = moved


def _spread(distances: Float64Array, count: int) -> list[int]:
    chosen = [0]
    left = distances[0].copy()
    while len(chosen) < count:
        left[chosen] = -1.0
        chosen.append(int(left.argmax()))
        left = np.minimum(left, distances[chosen[-1]])
    return chosen


def _assign(distances: Float64Array, medoids: Sequence[int]) -> NDArray[np.int64]:
    nearest = distances[:, medoids].argmin(axis=1)
    nearest[list(medoids)] = np.arange(len(medoids))  # a twin of a medoid would empty its cluster
    return np.asarray(nearest, np.int64)


def _centre(distances: Float64Array, cluster: NDArray[np.int64], medoid: int) -> int:
    sums = distances[np.ix_(cluster, cluster)].sum(axis=1)
    best = int(sums.argmin())
    # Rounding must not send two equally good films round and round.
    better = sums[best] < sums[np.searchsorted(cluster, medoid)] - 1e-9
    return int(cluster[best]) if better else medoid
