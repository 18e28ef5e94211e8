"""Choices that are each the farthest film from all that is known: Gonzalez' certificate."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.pool import need_embeddings
from lungal.boxes import FloatArray
from lungal.errors import SelectionError

SLACK = 1e-5
"""What float32 may be wrong by in a squared distance, per squared length of a vector."""
BLOCK = 1 << 22
"""Distances held at a time."""


def audit_coreset(audited: Audited) -> None:
    """Check the covering radius: no film is left farther out than those that were chosen were.

    Raises:
        SelectionError: naming the film.
    """
    if not audited.films:
        return
    films, labelled = need_embeddings(audited.pool, "coreset")
    pool, chosen = audited.pool, set(audited.films)
    taken = {pool.patients[film] for film in chosen} if audited.params.one_per_patient else set()
    left = [
        film for film in range(len(pool)) if film not in chosen and pool.patients[film] not in taken
    ]
    places = range(len(audited.films))
    check_farthest(audited, places, left, lambda rows: films[list(rows)], labelled)


def check_farthest(
    audited: Audited,
    places: Sequence[int],
    left: Sequence[int],
    look: Callable[[Sequence[int]], FloatArray],
    centres: FloatArray,
) -> None:
    """Check that films were chosen farthest first, and that none is left farther out.

    Args:
        audited: the choice.
        places: of the choices in question, by rank.
        left: the films that could have been chosen as well in each of these places.
        look: gives the (K, D) float32 vectors of K films of the pool.
        centres: (M, D) float32, known beforehand.

    Raises:
        SelectionError: naming the film.
    """
    names, chosen = audited.pool.image_ids, [audited.films[place] for place in places]
    if not chosen:
        return
    vectors = look(chosen)
    slack = SLACK * max(1.0, _longest(vectors), _longest(centres))
    steps = _steps(vectors.astype(np.float64), centres.astype(np.float64))
    for place, film, squared in zip(places, chosen, steps, strict=True):
        said = audited.component(place, "distance")
        if not isinstance(said, float) or not _same(said**2, squared, slack):
            raise SelectionError(
                f"film {names[film]} is said to have lain {said} away when it was chosen, and lay"
                f" {squared**0.5:g} away"
            )
    for place, (near, squared) in enumerate(pairwise(steps)):
        if squared > near + slack:
            raise SelectionError(
                f"film {names[chosen[place + 1]]} lay {squared**0.5:g} away and was chosen after"
                f" {names[chosen[place]]}, which lay {near**0.5:g} away"
            )
    known = np.concatenate([centres, vectors])
    for film, squared in _to_nearest(left, look, known):
        if squared > steps[-1] + slack:
            raise SelectionError(
                f"film {names[film]} lies {squared**0.5:g} away and was left out for one that lay"
                f" {steps[-1] ** 0.5:g} away"
            )


def _same(one: float, other: float, slack: float) -> bool:
    return one == other or abs(one - other) <= slack  # both may be infinite


def _longest(vectors: FloatArray) -> float:
    return float((vectors**2).sum(axis=1).max(initial=0))


def _steps(chosen: NDArray[np.float64], centres: NDArray[np.float64]) -> list[float]:
    """The squared distance of each choice from the centres and from those chosen before."""
    return [
        float(
            min(
                ((known - film) ** 2).sum(axis=1).min(initial=np.inf)
                for known in (centres, chosen[:place])
            )
        )
        for place, film in enumerate(chosen)
    ]


def _to_nearest(
    films: Sequence[int], look: Callable[[Sequence[int]], FloatArray], known: FloatArray
) -> Iterator[tuple[int, float]]:
    lengths = (known**2).sum(axis=1)
    step = max(1, BLOCK // len(known))
    for start in range(0, len(films), step):
        some = films[start : start + step]
        rows = look(some)
        apart = (rows**2).sum(axis=1)[:, None] + lengths - 2 * rows @ known.T
        yield from zip(some, apart.min(axis=1).clip(0).tolist(), strict=True)
