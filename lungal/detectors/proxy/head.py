"""The head: from a cell's features to how sure it is of each finding, and how far that reaches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray
from lungal.detectors.proxy.cells import assign_targets, centres
from lungal.params import ProxyParams
from lungal.records import CLASSES, GroundTruth

BOX_WEIGHT = 20.0
"""What all cells that stand for a box count for together; any cell of the background counts 1."""
RIDGE = 30.0
"""Of the regression of edges: features are of about unit variance, a box counts 1."""
PRIOR = -4.6
"""Logit of 1 %, where scores begin (Lin et al. 2017, section 3.3)."""
BETAS = (0.9, 0.999)
EPSILON = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Linear maps of D features: `score` (D, C) to logits, `reach` (D, C, 4) to log distances."""

    score: FloatArray
    reach: FloatArray

    def logits(self, features: FloatArray) -> FloatArray:
        """Return (..., C) logits of (..., D) features."""
        return features @ self.score


def spread(cells: NDArray[np.float16], film: FloatArray) -> FloatArray:
    """Return the (G * G, D) float32 features of a film's cells.

    The cell's own, the whole film's, and where the cell lies: findings have their places.
    """
    grid = round(len(cells) ** 0.5)
    x, y = (2 * centres(grid) - 1).T
    place = np.stack([x, y, x * x, y * y, x * y, np.ones_like(x)], axis=1)
    whole = np.broadcast_to(film * len(film) ** 0.5, (len(cells), len(film)))
    return np.concatenate([cells.astype(np.float32), whole, place], axis=1)


def fit_head(
    features: Sequence[FloatArray],
    truths: Sequence[GroundTruth],
    sides: Sequence[float],
    params: ProxyParams,
    seed: int,
) -> Iterator[tuple[int, Head]]:
    """Yield the step and the head at each validation of a training, and at its end.

    Scores: logistic regression for each class, by Adam (Kingma & Ba 2015) on batches of films, with
    the learning rate falling to 0 along half a cosine, and decoupled weight decay. Edges: ridge
    regression for each class on the cells that stand for its boxes, around the class's mean.

    Args:
        features: (G * G, D) of each film.
        truths: of the same films, boxes in pixels.
        sides: of the squares that they are padded to, pixels.
        params: steps, batch, rates.
        seed: of the order of the films.
    """
    grid = round(len(features[0]) ** 0.5)
    targets = [assign_targets(truth, side, grid) for truth, side in zip(truths, sides, strict=True)]
    reach = _fit_reach(features, targets)
    width = features[0].shape[1]
    score = np.zeros((width, len(CLASSES)), np.float32)
    score[-1] = PRIOR
    first_moment, second_moment = np.zeros_like(score), np.zeros_like(score)
    batches = _batches(len(features), params, seed)
    for step in range(1, params.steps + 1):
        gradient = _gradient(score, features, targets, next(batches))
        first_moment = BETAS[0] * first_moment + (1 - BETAS[0]) * gradient
        second_moment = BETAS[1] * second_moment + (1 - BETAS[1]) * gradient**2
        rate = params.learning_rate * (1 + np.cos(np.pi * step / params.steps)) / 2
        unbiased = first_moment / (1 - BETAS[0] ** step)
        scale = np.sqrt(second_moment / (1 - BETAS[1] ** step)) + EPSILON
        decay = params.weight_decay * score
        decay[-1] = 0  # the bias
        score = score - np.float32(rate) * (unbiased / scale + decay)
        if step % params.validate_every == 0 or step == params.steps:
            yield step, Head(score.copy(), reach)


def _batches(films: int, params: ProxyParams, seed: int) -> Iterator[NDArray[np.intp]]:
    random = np.random.default_rng(seed)
    size = min(params.batch_size, films)
    while True:
        order = random.permutation(films)
        yield from (order[start : start + size] for start in range(0, films - size + 1, size))


def _gradient(
    score: FloatArray,
    features: Sequence[FloatArray],
    targets: Sequence[tuple[FloatArray, FloatArray, FloatArray]],
    batch: NDArray[np.intp],
) -> FloatArray:
    gradient = np.zeros_like(score)
    for film in batch:
        hits, weights, _ = targets[film]
        probabilities = 1 / (1 + np.exp(-(features[film] @ score)))
        counts = weights * np.where(hits > 0, BOX_WEIGHT, 1.0).astype(np.float32)
        gradient += features[film].T @ (counts * (probabilities - hits))
    return gradient / np.float32(len(batch) * len(features[0]))


def _fit_reach(
    features: Sequence[FloatArray], targets: Sequence[tuple[FloatArray, FloatArray, FloatArray]]
) -> FloatArray:
    width = features[0].shape[1]
    reach = np.zeros((width, len(CLASSES), 4), np.float32)
    for label in range(len(CLASSES)):
        of_class = [
            (x[hit], w[hit, label], r[hit, label])
            for x, (hits, w, r) in zip(features, targets, strict=True)
            if (hit := hits[:, label] > 0).any()
        ]
        if not of_class:
            continue
        x, weights, distances = (
            np.concatenate(part).astype(np.float64) for part in zip(*of_class, strict=True)
        )
        middle = np.average(distances, axis=0, weights=weights)
        known = x[:, :-1] * weights[:, None]
        gram = known.T @ x[:, :-1] + RIDGE * np.eye(width - 1)
        reach[:-1, label] = np.linalg.solve(gram, known.T @ (distances - middle))
        reach[-1, label] = middle
    return reach
