"""Typical films: what to read while there is hardly anything labelled.

Hacohen, Dekel & Weinshall 2022, "Active learning on a budget: opposite strategies suit high and
low budgets" (TypiClust), and the code that its authors published.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.pool import Choice, Pool, as_choices, need_embeddings
from lungal.acquisition.selectors.k_means import k_means
from lungal.acquisition.selectors.unit import unit_rows
from lungal.boxes import FloatArray

NEIGHBOURS = 20
"""How many neighbours a film's typicality looks at; of a small cluster half of its films."""
SMALL = 5
"""Clusters of up to so many films come last: they are odd films, not typical ones."""
MOST = 500
"""Clusters at most: of smaller ones the typicality would mean little."""
BLOCK = 1 << 22
"""Distances held at a time."""


@dataclass(frozen=True, slots=True)
class Typicality:
    """Clusters all films into as many clusters as will be labelled, and takes a typical film each.

    The clusters are k-means of the unit embeddings of pool and labelled films. Those with fewest
    labelled films come first, of these the largest. Of each the film of greatest typicality is
    taken: 1 / the mean distance to its NEIGHBOURS nearest films of the cluster. When every cluster
    has given one, they are gone through again, each as the films that were taken left it.
    """

    one_per_patient: bool

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return the choices in the order of their clusters, each with cluster and typicality.

        Raises:
            SelectionError: if there are no embeddings.
        """
        if not len(pool) or not budget:
            return []
        clusters = clusters_of(pool, budget, seed=seed, number=number)
        chosen: list[int] = []
        receipts: list[dict[str, float | str]] = []
        for film, cluster, typical in self._go_through(pool, clusters):
            if len(chosen) == budget:
                break
            chosen.append(film)
            receipts.append({"cluster": cluster, "typicality": typical})
        return as_choices(pool, chosen, receipts)

    def _go_through(self, pool: Pool, clusters: "Clusters") -> Iterator[tuple[int, int, float]]:
        free = np.ones(len(pool), bool)
        groups = pool.groups
        while free.any():
            for cluster in clusters.order:
                films = np.flatnonzero((clusters.of_film == cluster) & free)
                if not len(films):
                    continue
                typical = typicality(clusters.unit[films])
                best = int(typical.argmax())
                film = int(films[best])
                free[groups == groups[film] if self.one_per_patient else film] = False
                yield film, cluster, float(typical[best])


@dataclass(frozen=True, slots=True, eq=False)
class Clusters:
    """The films of a pool in clusters."""

    unit: FloatArray  # (N, E) embeddings of length one
    of_film: NDArray[np.int64]  # (N,) the cluster of each film
    order: list[int]  # clusters, the one that is to give a film first


def clusters_of(pool: Pool, budget: int, *, seed: int, number: int) -> Clusters:
    """Cluster pool and labelled films, and order the clusters.

    Raises:
        SelectionError: if there are no embeddings.
    """
    films, labelled = need_embeddings(pool, "typicality")
    unit = unit_rows(np.concatenate([films, labelled]))
    count = min(len(labelled) + budget, MOST, len(unit))
    clusters = k_means(unit, count, seed=seed, number=number)
    of_film, of_labelled = clusters[: len(films)], clusters[len(films) :]
    sizes = np.bincount(clusters, minlength=count)
    labels = np.bincount(of_labelled, minlength=count)
    order = sorted(range(count), key=lambda c: (sizes[c] <= SMALL, labels[c], -sizes[c], c))
    return Clusters(unit[: len(films)], of_film, order)


def typicality(films: FloatArray) -> NDArray[np.float64]:
    """Return the (N,) typicality of the films of one cluster, (N, E) float32."""
    neighbours = max(1, min(NEIGHBOURS, len(films) // 2))
    if len(films) == 1:
        return np.ones(1)
    precise = films.astype(np.float64)  # near twins differ less than float32 can tell
    squares = np.einsum("ne,ne->n", precise, precise)
    mean = np.empty(len(films))
    step = max(1, BLOCK // len(films))
    for start in range(0, len(films), step):
        rows = slice(start, start + step)
        apart = squares[rows, None] + squares - 2 * precise[rows] @ precise.T
        apart[np.arange(len(apart)), np.arange(start, start + len(apart))] = np.inf
        near = np.partition(apart, neighbours - 1, axis=1)[:, :neighbours]
        mean[rows] = np.sqrt(np.maximum(near, 0)).mean(axis=1)
    # As in the authors' code: twins are not infinitely typical.
    return np.asarray(1 / (mean + 1e-5))
