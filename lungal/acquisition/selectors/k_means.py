"""k-means that gives the same clusters, to the bit, for the same films and seed.

scikit-learn's adds up the sums of its threads in the order in which they finish, so that two runs
can differ in the last bit, and then in a choice.
"""

from hashlib import sha256

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from lungal.boxes import FloatArray

ROUNDS = 40
"""Of reassigning films at most; few data sets need as many."""
BLOCK = 1 << 22
"""Distances held at a time."""


def k_means(films: FloatArray, count: int, *, seed: int, number: int) -> NDArray[np.int64]:
    """Return the (N,) cluster of each film: Lloyd's algorithm from a k-means++ start.

    Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding". Of equally near
    centres the first counts. A cluster that lost all its films keeps its centre.

    Args:
        films: (N, E) float32.
        count: of clusters, from 1 to N.
        seed: of the start.
        number: of the round.
    """
    lot = sha256(f"k_means:{seed}:{number}".encode()).digest()
    centres = _start(films, count, np.random.default_rng(list(lot)))
    squares = np.einsum("ne,ne->n", films, films)
    clusters = _nearest(films, squares, centres)
    for _ in range(ROUNDS):
        centres = _means(films, clusters, centres)
        moved = _nearest(films, squares, centres)
        if np.array_equal(moved, clusters):
            break
        clusters = moved
    return clusters


def _start(films: FloatArray, count: int, random: np.random.Generator) -> FloatArray:
    chosen = [int(random.integers(len(films)))]
    squares = np.einsum("ne,ne->n", films, films).astype(np.float64)
    left = np.full(len(films), np.inf)
    while len(chosen) < count:
        last = chosen[-1]
        apart = squares + squares[last] - 2.0 * (films @ films[last])
        left = np.minimum(left, np.maximum(apart, 0.0))
        left[last] = 0.0
        chances = np.cumsum(left)
        drawn = random.random() * chances[-1]
        chosen.append(min(int(np.searchsorted(chances, drawn, side="right")), len(films) - 1))
    return films[chosen]


def _nearest(films: FloatArray, squares: FloatArray, centres: FloatArray) -> NDArray[np.int64]:
    lengths = np.einsum("ke,ke->k", centres, centres)
    nearest = np.empty(len(films), np.int64)
    step = max(1, BLOCK // len(centres))
    for start in range(0, len(films), step):
        rows = slice(start, start + step)
        apart = squares[rows, None] + lengths - 2 * films[rows] @ centres.T
        nearest[rows] = apart.argmin(axis=1)
    return nearest


def _means(films: FloatArray, clusters: NDArray[np.int64], before: FloatArray) -> FloatArray:
    sizes = np.bincount(clusters, minlength=len(before))
    ones = np.ones(len(films), np.float32)
    member = csr_matrix((ones, (clusters, np.arange(len(films)))), (len(before), len(films)))
    sums = np.asarray(member @ films)
    means = np.divide(sums, sizes[:, None], out=before.copy(), where=sizes[:, None] > 0)
    return np.asarray(means, np.float32)
