"""k-centre: films that leave no other film far from a film that is known.

Gonzalez 1985, "Clustering to minimize the maximum intercluster distance": take the film that lies
farthest from all known ones, call it known, and go on. The distance that then remains is at most
twice the smallest possible. Sener & Savarese 2018, "Active learning for convolutional neural
networks: a core-set approach", choose films to label so.
"""

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray

BLOCK = 1 << 22
"""Distances held at a time while the centres that are known already are gone through."""


def farthest_first(
    films: FloatArray,
    centres: FloatArray,
    budget: int,
    *,
    first: int,
    groups: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """Choose films greedily, each the farthest from the centres and from those chosen before.

    Reads the films once for each choice and keeps a number for each, so that time grows with
    films times budget and memory with films alone. Of equally far films the first is taken.

    Args:
        films: (N, E) float32.
        centres: (M, E) float32, known already; may be none.
        budget: how many to choose at most.
        first: index of the film to begin with if there is no centre.
        groups: (N,) index of each film's patient: of a group one film is chosen at most; None:
            all may be.

    Returns:
        Index and distance of each choice, Euclidean; the first has inf if there was no centre.
    """
    squares = np.einsum("ne,ne->n", films, films)
    left = _to_nearest(films, squares, centres)  # squared; -1 for films that are out
    patients = None if groups is None else _Patients(groups)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < budget and len(films):
        film = first if not chosen and not len(centres) else int(left.argmax())
        if left[film] < 0:
            break
        chosen.append((film, float(np.sqrt(left[film]))))
        np.minimum(left, _to(films, squares, film), out=left)
        left[film if patients is None else patients.of(film)] = -1
    return chosen


def _to(films: FloatArray, squares: FloatArray, film: int) -> FloatArray:
    # |x - c|^2 = |x|^2 + |c|^2 - 2 x.c, in place: nothing but (N,) numbers is allocated.
    distances = films @ films[film]
    distances *= -2
    distances += squares
    distances += squares[film]
    return np.asarray(np.maximum(distances, 0, out=distances), np.float32)


def _to_nearest(films: FloatArray, squares: FloatArray, centres: FloatArray) -> FloatArray:
    nearest = np.full(len(films), np.inf, np.float32)
    if not len(centres):
        return nearest
    centre_squares = np.einsum("me,me->m", centres, centres)
    step = max(1, BLOCK // len(centres))
    for start in range(0, len(films), step):
        block = slice(start, start + step)
        distances = films[block] @ centres.T
        distances *= -2
        distances += centre_squares
        nearest[block] = distances.min(axis=1) + squares[block]
    return np.maximum(nearest, 0, out=nearest)


class _Patients:
    """Which films are of the same patient as a film."""

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self._groups = groups
        self._order = np.argsort(groups, kind="stable")
        self._ends = np.cumsum(np.bincount(groups))

    def of(self, film: int) -> NDArray[np.int64]:
        group = self._groups[film]
        return np.asarray(self._order[self._ends[group - 1] if group else 0 : self._ends[group]])
