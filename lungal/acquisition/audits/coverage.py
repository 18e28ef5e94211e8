"""Choices that are each the farthest film from all that is known: Gonzalez' certificate."""

from collections.abc import Sequence

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
    if not len(audited.pool):
        return
    films, labelled = need_embeddings(audited.pool, "coreset")
    pool, chosen = audited.pool, set(audited.films)
    taken = {pool.patients[film] for film in chosen} if audited.params.one_per_patient else set()
    left = [
        film for film in range(len(pool)) if film not in chosen and pool.patients[film] not in taken
    ]
    check_farthest(audited, range(len(audited.films)), left, films, labelled)


def check_farthest(
    audited: Audited,
    places: Sequence[int],
    left: Sequence[int],
    films: FloatArray,
    centres: FloatArray,
) -> None:
    """Check that films were chosen farthest first, and that none is left farther out.

    Args:
        audited: the choice.
        places: of the choices in question, by rank.
        left: the films that could have been chosen as well in each of these places.
        films: (N, D) float32, all films of the pool.
        centres: (M, D) float32, known beforehand.

    Raises:
        SelectionError: naming the film.
    """
    names, chosen = audited.pool.image_ids, [audited.films[place] for place in places]
    slack = SLACK * max(1.0, float(np.einsum("nd,nd->n", films, films).max(initial=0)))
    steps = _steps(films[chosen].astype(np.float64), centres.astype(np.float64))
    for place, film, squared in zip(places, chosen, steps, strict=True):
        said = audited.component(place, "distance")
        if not isinstance(said, float) or abs(min(said, 1e9) ** 2 - min(squared, 1e18)) > slack:
            raise SelectionError(
                f"film {names[film]} is said to lie {said} away when it was chosen, and lay"
                f" {squared**0.5:g} away"
            )
    for before, film, near, squared in zip(chosen, chosen[1:], steps, steps[1:], strict=False):
        if squared > near + slack:
            raise SelectionError(
                f"film {names[film]} lay {squared**0.5:g} away and was chosen after"
                f" {names[before]}, which lay {near**0.5:g} away"
            )
    if not chosen or not left:
        return
    known = np.concatenate([centres, films[chosen]])
    apart = _to_nearest(films[list(left)], known)
    worst = int(apart.argmax())
    if apart[worst] > min(steps) + slack:
        raise SelectionError(
            f"film {names[left[worst]]} lies {apart[worst] ** 0.5:g} away and was left out for one"
            f" that lay {min(steps) ** 0.5:g} away"
        )


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


def _to_nearest(films: FloatArray, known: FloatArray) -> NDArray[np.float32]:
    nearest = np.empty(len(films), np.float32)
    lengths = (known**2).sum(axis=1)
    step = max(1, BLOCK // len(known))
    for start in range(0, len(films), step):
        rows = films[start : start + step]
        apart = (rows**2).sum(axis=1)[:, None] + lengths - 2 * rows @ known.T
        nearest[start : start + step] = apart.min(axis=1)
    return np.maximum(nearest, 0)
