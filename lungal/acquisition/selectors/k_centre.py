"""k-centre: films that leave no other film far from a film that is known.

Gonzalez 1985, "Clustering to minimize the maximum intercluster distance": take the film that lies
farthest from all known ones, call it known, and go on. The distance that then remains is at most
twice the smallest possible. Sener & Savarese 2018, "Active learning for convolutional neural
networks: a core-set approach", choose films to label so.
"""

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray

BLOCK = 256
"""Films whose distances are worked out together."""


def farthest_first(
    films: FloatArray,
    centres: FloatArray,
    budget: int,
    *,
    first: int,
    groups: NDArray[np.int64] | None = None,
) -> list[tuple[int, float]]:
    """Choose films greedily, each the farthest from the centres and from those chosen before.

    Of equally far films the first is taken. Memory grows with the films alone, and time at worst
    with films times centres; most films lie so near to something early on that their distances to
    later choices are never looked at.

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
    patients = None if groups is None else _Patients(groups)
    nearest = _Nearest(films, centres, budget)
    chosen: list[tuple[int, float]] = []
    while len(chosen) < budget and len(films):
        cold = not chosen and not len(centres)
        film, squared = (first, np.inf) if cold else nearest.farthest()
        if squared < 0:
            break
        chosen.append((film, float(np.sqrt(squared))))
        nearest.add(film, out=film if patients is None else patients.of(film))
    return chosen


class _Nearest:
    """How far each film is from the nearest centre, worked out where it may matter.

    A distance to the nearest centre only falls as centres are added. So an old one is at least as
    great as the present one, and a block of films whose greatest old distance is below another's
    present one does not hold the farthest film. A block that may hold it catches up with all
    centres that it has missed at once.
    """

    def __init__(self, films: FloatArray, centres: FloatArray, budget: int) -> None:
        self._films, self._squares = films, np.einsum("ne,ne->n", films, films)
        room = np.zeros((min(budget, len(films)), films.shape[1]), np.float32)
        self._centres = np.concatenate([centres, room])
        self._lengths = np.einsum("me,me->m", self._centres, self._centres)
        self._count = len(centres)
        self._left = np.full(len(films), np.inf, np.float32)  # squared; -1 for films that are out
        blocks = -(-len(films) // BLOCK)
        self._most = np.full(blocks, np.inf, np.float32)  # at least the greatest of a block
        self._caught_up = np.zeros(blocks, np.int64)  # with so many centres

    def add(self, film: int, out: int | NDArray[np.int64]) -> None:
        """Make a film a centre, and let some films be chosen no more."""
        self._centres[self._count] = self._films[film]
        self._lengths[self._count] = self._squares[film]
        self._count += 1
        self._left[out] = -1

    def farthest(self) -> tuple[int, float]:
        """Return the film that lies farthest and its squared distance; -1 if all are out."""
        while True:
            block = int(self._most.argmax())
            films = slice(block * BLOCK, (block + 1) * BLOCK)
            if self._caught_up[block] == self._count:
                film = films.start + int(self._left[films].argmax())
                return film, float(self._left[film])
            self._catch_up(block, films)

    def _catch_up(self, block: int, films: slice) -> None:
        # |x - c|^2 = |x|^2 + |c|^2 - 2 x.c
        missed = slice(self._caught_up[block], self._count)
        distances = self._films[films] @ self._centres[missed].T
        distances *= -2
        distances += self._lengths[missed]
        nearest = distances.min(axis=1) + self._squares[films]
        left = self._left[films]
        np.minimum(left, np.maximum(nearest, 0), out=left)
        self._most[block], self._caught_up[block] = left.max(), self._count


class _Patients:
    """Which films are of the same patient as a film."""

    def __init__(self, groups: NDArray[np.int64]) -> None:
        self._groups = groups
        self._order = np.argsort(groups, kind="stable")
        self._ends = np.cumsum(np.bincount(groups))

    def of(self, film: int) -> NDArray[np.int64]:
        group = self._groups[film]
        return np.asarray(self._order[self._ends[group - 1] if group else 0 : self._ends[group]])
