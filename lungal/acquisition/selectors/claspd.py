"""claspd: uncertain films of every class, with less and less chance, and unlike each other.

Class-stratified and noise-scheduled after ClaSP PE: Lüth, Traub, Kahl et al. 2026, "Finally
outshining the random baseline: a simple and effective solution for active learning in 3D
biomedical imaging" (TMLR). The d is for the diversity that is added.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lungal.acquisition.lots import gumbel, share
from lungal.acquisition.pool import Choice, Pool, as_choices, need_embeddings
from lungal.acquisition.selectors.k_centre import farthest_first
from lungal.acquisition.selectors.topk import one_a_patient
from lungal.acquisition.selectors.unit import unit_rows
from lungal.boxes import FloatArray
from lungal.errors import SelectionError
from lungal.records import CLASSES

ANY = "any"
LEAST = 1e-12
"""What a score of 0 counts for where its logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Claspd:
    """Deals the batch out to the classes, and chooses within each by noised doubt and by distance.

    1. Of the batch, the share `stratified` is dealt out evenly to the classes, never more than a
       class has films; all the rest is for `any` class. What a class cannot fill is for `any`.
    2. The worth of film i for class c is the strategy's score for the film as if it showed c
       alone. For `any` it is the strategy's score.
    3. The worth is noised: log worth + b G, G drawn from the standard Gumbel distribution, and
       b = noise x decay^(round - 1). The class with the fewest films chooses first, `any` last,
       each among its `candidates` films of highest noised worth for each that it may have; of
       equals those of higher G.
    4. Of these it takes a greedy k-centre, seeded with the labelled films and all that were chosen
       before. The distance is Euclidean between the vectors (sqrt(v) e, sqrt(1 - v) s), e the
       embedding, of length one, s the scores of the surest detection of each class, of length one
       at most, and v the `embedding_weight`.

    ClaSP PE takes its films by 1 to 3 alone, with an entropy of the class for the worth, and with a
    noise that is scheduled over a number of rounds that is known beforehand; a campaign does not
    know when it ends, so ours falls by a factor each round.
    """

    one_per_patient: bool
    candidates: float
    stratified: float
    noise: float
    noise_decay: float
    embedding_weight: float

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return the choices in the order of the strata, each with its stratum and its numbers.

        Raises:
            SelectionError: if there are no embeddings.
        """
        if not len(pool) or not budget:
            return []
        embeddings, labelled = need_embeddings(pool, "claspd")
        worth = class_worth(pool)
        due = quotas(worth, pool, share(budget, self.stratified), alone=self.one_per_patient)
        known = self.vectors(labelled, pool.labelled_class_scores)
        chosen: dict[int, dict[str, float | str]] = {}
        for stratum in [*due, ANY]:
            values = worth_of(stratum, worth, pool)
            wanted = due.get(stratum, budget - len(chosen))
            noised = self._noised(stratum, values, pool, seed=seed, number=number)
            near = self._candidates(noised, pool, chosen, wanted)
            vectors = self.vectors(embeddings[near], pool.class_scores[near])
            picked = farthest_first(vectors, known, wanted, first=0)
            for place, far in picked:
                film = near[place]
                chosen[film] = {"stratum": stratum, "worth": float(values[film])}
                chosen[film] |= {"noised": noised[film][0], "distance": far}
            known = np.concatenate([known, vectors[[place for place, _ in picked]]])
        return as_choices(pool, chosen, chosen.values())

    def vectors(self, embeddings: FloatArray, class_scores: FloatArray) -> FloatArray:
        """Return (N, E + C) vectors between which distances are taken, of (N, E) and (N, C)."""
        weight = np.float32(self.embedding_weight)
        parts = [np.sqrt(weight) * unit_rows(embeddings)]
        parts.append(np.sqrt(1 - weight) * _within_one(class_scores))
        return np.concatenate(parts, axis=1)

    def _noised(
        self, stratum: str, values: NDArray[np.float64], pool: Pool, *, seed: int, number: int
    ) -> dict[int, tuple[float, float]]:
        """Return the noised worth of films for a stratum, each with its lot, which settles ties."""
        scale = self.noise * self.noise_decay ** (number - 1)
        films = range(len(pool)) if stratum == ANY else np.flatnonzero(values > 0).tolist()
        noised = {}
        for film in films:
            lot = gumbel(pool.image_ids[film], purpose=f"noise {stratum}", seed=seed, number=number)
            noised[film] = math.log(max(values[film], LEAST)) + scale * lot, lot
        return noised

    def _candidates(
        self,
        noised: Mapping[int, tuple[float, float]],
        pool: Pool,
        chosen: Mapping[int, object],
        wanted: int,
    ) -> list[int]:
        ordered = sorted(noised, key=lambda film: noised[film], reverse=True)
        free = (film for film in ordered if film not in chosen)
        taken = (pool.patients[film] for film in chosen)
        alone = one_a_patient(free, pool, taken) if self.one_per_patient else free
        return list(islice(alone, math.ceil(wanted * self.candidates)))


def class_worth(pool: Pool) -> NDArray[np.float64]:
    """Return the (N, C) worth of each film for each class, 0 where it has nothing of it.

    Raises:
        SelectionError: if the pool was gathered without doubts by class.
    """
    if pool.class_doubts is None:
        raise SelectionError("claspd needs class_doubts of the pool, and it was made without them")
    return pool.class_doubts.astype(np.float64)


def worth_of(stratum: str, worth: NDArray[np.float64], pool: Pool) -> NDArray[np.float64]:
    """Return the (N,) worth of the films for a class by name, or for ANY."""
    if stratum == ANY:
        return pool.scores
    return np.asarray(worth[:, CLASSES.index(stratum)])


def quotas(worth: NDArray[np.float64], pool: Pool, films: int, *, alone: bool) -> dict[str, int]:
    """Return how many films each class may choose, the class with the fewest first.

    Args:
        worth: (N, C), above 0 where a film may be chosen for a class.
        pool: whose films they are.
        films: to be dealt out evenly, as far as the classes have so many.
        alone: whether films of one patient count as one.
    """
    groups = pool.groups if alone else np.arange(len(pool))
    there = {
        name: len(np.unique(groups[worth[:, label] > 0])) for label, name in enumerate(CLASSES)
    }
    order = sorted(CLASSES, key=lambda name: there[name])  # stable: of equals the first of CLASSES
    due = dict.fromkeys(order, 0)
    for _ in range(films):
        open_ = [name for name in order if due[name] < there[name]]
        if not open_:
            break
        due[min(open_, key=lambda name: due[name])] += 1
    return {name: count for name, count in due.items() if count}


def _within_one(rows: FloatArray) -> FloatArray:
    """Return rows that are not longer than one: a film on which little is seen lies near none."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1), np.float32)
