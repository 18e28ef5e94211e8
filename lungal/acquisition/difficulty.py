"""How difficult the detector finds each class: what a doubt about it is worth."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from lungal.boxes import iou
from lungal.records import CLASSES, Detections, GroundTruth

SCORE_SHARE = 0.6
"""The paper's xi: how much of a box's quality is its score; the rest is its overlap."""
STEEPNESS = 0.3
"""The paper's alpha: how fast the weight rises with difficulty."""
RANGE = 0.2
"""The paper's beta: how much more a doubt about the most difficult class counts."""


def difficulty(truths: Sequence[GroundTruth], detections: Sequence[Detections]) -> list[float]:
    """Return the (C,) difficulty of each class in [0, 1], on films whose truth is known.

    Yang, Huang & Crowley 2024, "Plug and Play Active Learning for Object Detection" (PPAL):
    the quality of a detected box is p^xi IoU^(1 - xi), a class's difficulty is 1 less
    the mean quality of its boxes. The paper takes a running mean over the anchors of the training
    batches; here each true box of the validation films has the quality of the best detection of
    its class, and 0 without one, so that no training is needed and films are judged that were not
    trained on. A class without true boxes is as difficult as can be, as in the paper before its
    first box.

    Args:
        truths: of labelled films, never of the pool.
        detections: of the same films, by image_id, in any order.
    """
    seen = {film.image_id: film for film in detections}
    qualities: list[list[float]] = [[] for _ in CLASSES]
    for truth in truths:
        for label, quality in zip(
            truth.labels, _qualities(truth, seen[truth.image_id]), strict=True
        ):
            qualities[int(label)].append(quality)
    return [1.0 - math.fsum(each) / len(each) if each else 1.0 for each in qualities]


def class_weights(difficulties: Sequence[float]) -> tuple[float, ...]:
    """Return what a doubt about each class counts, in (0, 1]; the most difficult counts 1.

    PPAL: w = 1 + alpha beta log(1 + gamma d), gamma = e^(1 / alpha) - 1, which rises
    from 1 to 1 + beta; here over its largest value, so that a doubt stays in [0, 1]. That ranks
    films as the paper does.
    """
    gamma = math.expm1(1 / STEEPNESS)
    return relative([1 + STEEPNESS * RANGE * math.log1p(gamma * d) for d in difficulties])


def named_weights(weights: Mapping[str, float]) -> tuple[float, ...]:
    """Return weights that are given by name, in the order of CLASSES and over their largest.

    A class that is not named has 1.
    """
    return relative([weights.get(name, 1.0) for name in CLASSES])


def relative(weights: Sequence[float]) -> tuple[float, ...]:
    """Return weights over the largest of them."""
    largest = max(weights)
    return tuple(weight / largest for weight in weights)


def _qualities(truth: GroundTruth, found: Detections) -> list[float]:
    if not len(found):
        return [0.0] * len(truth.labels)
    overlaps = iou(truth.boxes, found.boxes).astype(np.float64)
    quality = found.scores.astype(np.float64) ** SCORE_SHARE * overlaps ** (1 - SCORE_SHARE)
    same = truth.labels[:, None] == found.labels[None, :]
    return np.where(same, quality, 0.0).max(axis=1).tolist()  # type: ignore[no-any-return]
