"""How well two looks at one film agree on a box: on where it is, and on what it is.

The measure is that of Yu, Zhu, Yang & Chen 2022, "Consistency-based Active Learning for Object
Detection" (CALD):

    m = IoU + 1/2 (1 - JS(P, Q)) (p + q)        in [0, 2]

of a box and its counterpart, the box of the other look that overlaps it most. P and Q are the
two class distributions, JS their Jensen-Shannon divergence, p and q the two scores. A box that
m shows to be the same in both looks (2) teaches nothing; one that has nothing to do with the
other look (0) is as a rule no finding at all. What teaches most lies near BETA between the two.

Ours differs in two points. JS is taken in bits, so that it reaches 1. And the doubt is turned
round, 1 - |m - BETA| / BETA, so that higher is read sooner.
"""

import numpy as np

from lungal.boxes import Float64Array, iou
from lungal.records import CLASSES, Detections

BETA = 1.3
"""The agreement that teaches most: CALD's base point, which its authors set to this."""


def agreements(boxes: Detections, other: Detections) -> Float64Array:
    """Return the (N,) agreement m of each box with its counterpart in another look, in [0, 2].

    A box that nothing overlaps has no counterpart, and 0.
    """
    if not len(boxes) or not len(other):
        return np.zeros(len(boxes))
    overlaps = iou(boxes.boxes, other.boxes).astype(np.float64)
    nearest = overlaps.argmax(axis=1)
    overlap = overlaps[np.arange(len(boxes)), nearest]
    same = 1.0 - divergence(distributions(boxes), distributions(other)[nearest])
    scores = boxes.scores.astype(np.float64) + other.scores[nearest]
    return np.where(overlap > 0, overlap + same * scores / 2, 0.0)


def doubt(agreement: Float64Array) -> Float64Array:
    """Return how much is to be learned from boxes of mean agreement m, in [0, 1], any shape."""
    return 1.0 - np.abs(agreement - BETA) / BETA


def distributions(boxes: Detections) -> Float64Array:
    """Return the (N, C) distribution over the classes of each box; rows sum to 1.

    Where the scores of the other classes are not known, the box's own class has it all.
    """
    if boxes.class_scores is None:
        return np.eye(len(CLASSES))[boxes.labels]
    scores = boxes.class_scores.astype(np.float64) + np.finfo(np.float64).tiny
    return np.asarray(scores / scores.sum(axis=1, keepdims=True))


def divergence(p: Float64Array, q: Float64Array) -> Float64Array:
    """Return the (N,) Jensen-Shannon divergence in bits of rows of (N, C) distributions."""
    middle = (p + q) / 2
    bits = _relative_entropy(p, middle) / 2 + _relative_entropy(q, middle) / 2
    return np.clip(bits, 0.0, 1.0)


def _relative_entropy(p: Float64Array, q: Float64Array) -> Float64Array:
    there = p > 0
    ratio = np.divide(p, q, out=np.ones_like(p), where=there)
    return np.asarray((p * np.log2(ratio)).sum(axis=1))
