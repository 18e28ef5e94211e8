"""The pool as columns: what a selector chooses from, and what it returns."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray
from lungal.errors import SelectionError


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """N films that may be read next, sorted by image_id, so that no other order can matter.

    C is the number of CLASSES, E the length of an embedding, M the number of labelled films.
    """

    image_ids: tuple[str, ...]  # (N,)
    patients: tuple[str, ...]  # (N,)
    scores: NDArray[np.float64]  # (N,) in [0, 1], the strategy's
    class_scores: FloatArray  # (N, C) score of the surest detection of each class, 0 without
    findings: NDArray[np.bool_]  # (N, C) named by the film's report
    known: NDArray[np.bool_]  # (N,) whether there is a report
    labelled_class_scores: FloatArray  # (M, C) as class_scores, of the labelled films
    class_doubts: FloatArray | None = None
    """(N, C), the strategy's score for each class alone, 0 without; for selectors in BY_CLASS."""
    embeddings: FloatArray | None = None  # (N, E)
    labelled_embeddings: FloatArray | None = None  # (M, E)

    def __len__(self) -> int:
        return len(self.image_ids)

    @property
    def groups(self) -> NDArray[np.int64]:
        """The (N,) index of each film's patient: equal for films of one patient."""
        names = np.array(self.patients, dtype=str)
        return np.asarray(np.unique(names, return_inverse=True)[1], np.int64)


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen film."""

    rank: int  # 1 was chosen first
    image_id: str
    patient_id: str
    score: float  # the strategy's
    components: Mapping[str, float | str] = field(default_factory=dict)
    """What else decided, by name: the selector's part of the film's receipt."""


def as_choices(
    pool: Pool,
    films: Iterable[int],
    components: Iterable[Mapping[str, float | str]] | None = None,
) -> list[Choice]:
    """Return films as choices, ranked as they come.

    Args:
        pool: that they are of.
        films: indices into it.
        components: of each film, in the same order; None: there are none.
    """
    films = list(films)
    receipts = [{} for _ in films] if components is None else list(components)
    return [
        Choice(rank, pool.image_ids[i], pool.patients[i], float(pool.scores[i]), receipt)
        for rank, (i, receipt) in enumerate(zip(films, receipts, strict=True), start=1)
    ]


def spell_components(components: Mapping[str, float | str]) -> str:
    """Return components as JSON: numbers to six digits, without those that are not finite."""
    said = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in components.items()
        if isinstance(value, str) or math.isfinite(value)  # nothing is infinitely far
    }
    return json.dumps(said, sort_keys=True)


def need_embeddings(pool: Pool, selector: str) -> tuple[FloatArray, FloatArray]:
    """Return the embeddings of the pool and of the labelled films, (N, E) and (M, E) float32.

    Raises:
        SelectionError: if there are none, saying what makes them.
    """
    if pool.embeddings is None or pool.labelled_embeddings is None:
        whose = "films of the pool" if pool.embeddings is None else "labelled films"
        raise SelectionError(
            f"the selector {selector} needs an embedding of every film, and the {whose} have none;"
            " models and detections of an earlier version lack them: `dvc repro` makes both anew;"
            " or name another selector in select.selector, such as topk"
        )
    return pool.embeddings, pool.labelled_embeddings
