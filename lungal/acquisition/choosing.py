"""From evidence to a batch: the one way in which films of a pool are chosen.

The stage `select` and the simulator both come here, so that what is proved is what runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

import numpy as np

from lungal.acquisition.audit import audit
from lungal.acquisition.contradiction import peaks
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Choice, Pool
from lungal.acquisition.protocol import Acquisition
from lungal.acquisition.selection import BY_CLASS, build_selector
from lungal.acquisition.strategies import build
from lungal.boxes import FloatArray
from lungal.errors import SelectionError
from lungal.params import SelectParams
from lungal.records import CLASSES, Detections


def choose_batch(
    evidence: Iterable[Evidence],
    patients: Mapping[str, str],
    budget: int,
    params: SelectParams,
    *,
    number: int,
    labelled: Sequence[Detections] = (),
    weights: tuple[float, ...] | None = None,
) -> list[Choice]:
    """Choose films of the pool by `params.strategy` and `params.selector`, and check the choice.

    The order of the films does not matter. `params.budget` and `params.calibrate` are not looked
    at: a round's budget is shared with other films, and whoever calibrates has done so.

    Args:
        evidence: of each film of the pool.
        patients: image_id to patient_id, for at least these films.
        budget: how many films at most.
        params: how to choose.
        number: of the round, from 1.
        labelled: what the same detector sees on the labelled films; selectors that look for what
            is new start from them.
        weights: (C,) in (0, 1], how much a doubt about each class counts
            (`lungal.acquisition.difficulty`); needed if `params.difficulty` is `validation`.

    Returns:
        The choices by rank, `budget` of them or as many as there are.

    Raises:
        SelectionError: if the evidence is not what the strategy or the selector needs, or the
            choice is not what it should be.
    """
    pool = score_pool(evidence, patients, build(params, weights), params, labelled)
    return choose_from(pool, budget, params, number=number)


def choose_from(pool: Pool, budget: int, params: SelectParams, *, number: int) -> list[Choice]:
    """Choose films of a pool whose scores are known by `params.selector`, and check the choice.

    Raises:
        SelectionError: as choose_batch.
    """
    choices = build_selector(params)(pool, budget, seed=params.seed, number=number)
    audit(choices, pool, budget, params, number=number)
    return choices


def score_pool(
    evidence: Iterable[Evidence],
    patients: Mapping[str, str],
    strategy: Acquisition,
    params: SelectParams,
    labelled: Sequence[Detections] = (),
) -> Pool:
    """Score films, and make columns of what is known of them.

    Args:
        evidence: of each film, in any order.
        patients: image_id to patient_id.
        strategy: scores them.
        params: says from which score a detection counts.
        labelled: what is seen on the labelled films.

    Raises:
        SelectionError: if a film comes twice or its score is not finite, or embeddings are not
            equally long, not finite, or there for some films only.
    """
    films = sorted(evidence, key=lambda film: film.image_id)
    names = tuple(film.image_id for film in films)
    if len(set(names)) < len(names):
        twice = next(one for one, other in pairwise(names) if one == other)
        raise SelectionError(f"film {twice} is in the pool twice")
    known = sorted(labelled, key=lambda film: film.image_id)
    embeddings = _embeddings([film.detections for film in films])
    labelled_embeddings = _embeddings(known)
    _check_lengths(embeddings, labelled_embeddings)
    if embeddings is not None and not known:
        labelled_embeddings = np.zeros((0, embeddings.shape[1]), np.float32)
    return Pool(
        image_ids=names,
        patients=tuple(patients[name] for name in names),
        scores=np.array([strategy(film) for film in films], np.float64),
        class_scores=_profiles((film.detections for film in films), params),
        findings=np.array(
            [[name in (film.findings or ()) for name in CLASSES] for film in films], bool
        ).reshape(-1, len(CLASSES)),
        known=np.array([film.findings is not None for film in films], bool),
        embeddings=embeddings,
        labelled_embeddings=labelled_embeddings,
        labelled_class_scores=_profiles(known, params),
        class_doubts=_class_doubts(films, strategy, params)
        if params.selector in BY_CLASS
        else None,
    )


def _profiles(films: Iterable[Detections], params: SelectParams) -> FloatArray:
    rows = [peaks(film.above(params.score_threshold)) for film in films]
    return np.array(rows, np.float32).reshape(-1, len(CLASSES))


def _class_doubts(
    films: Sequence[Evidence], strategy: Acquisition, params: SelectParams
) -> FloatArray:
    doubts = np.zeros((len(films), len(CLASSES)), np.float32)
    for row, film in enumerate(films):
        counted = film.above(params.score_threshold)
        shown = {
            label
            for seen in (counted.detections, *counted.committee)
            for label in seen.labels.tolist()
        }
        for label in shown:
            doubts[row, label] = strategy(film.of_class(label))
    return doubts


def _embeddings(films: Sequence[Detections]) -> FloatArray | None:
    there = [film.embedding for film in films if film.embedding is not None]
    if not there:
        return None
    if len(there) < len(films):
        without = next(film.image_id for film in films if film.embedding is None)
        raise SelectionError(
            f"film {without} has no embedding, and {len(there)} other films have one; they were"
            " not all examined by the same detector"
        )
    if len({len(embedding) for embedding in there}) > 1:
        raise SelectionError(
            f"embeddings have the lengths {sorted({len(each) for each in there})}; they were not"
            " all made by the same detector"
        )
    stacked = np.stack(there).astype(np.float32, copy=False)
    if not np.isfinite(stacked).all():
        odd = int(np.flatnonzero(~np.isfinite(stacked).all(axis=1))[0])
        raise SelectionError(f"the embedding of film {films[odd].image_id} is not finite")
    return stacked


def _check_lengths(embeddings: FloatArray | None, labelled: FloatArray | None) -> None:
    if embeddings is None or labelled is None or embeddings.shape[1] == labelled.shape[1]:
        return
    raise SelectionError(
        f"embeddings of the pool have {embeddings.shape[1]} numbers, those of the labelled films"
        f" {labelled.shape[1]}; they were not made by the same detector"
    )
