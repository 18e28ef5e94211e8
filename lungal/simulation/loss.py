"""What a detector gets wrong on a film: what nobody knows who has not read it."""

import numpy as np

from lungal.boxes import iou
from lungal.records import Detections, GroundTruth


def film_loss(truth: GroundTruth, found: Detections, overlap: float) -> float:
    """Return how wrong a film's detections are, in [0, 1).

    Each true box adds 1 - p, p the score of the surest detection of its class that overlaps it
    enough; each detection that overlaps no true box of its class enough adds its score. The sum s
    becomes s / (1 + s).

    Args:
        truth: of the film.
        found: on it, calibrated.
        overlap: IoU that is enough.
    """
    right = (iou(truth.boxes, found.boxes) >= overlap) & (
        truth.labels[:, None] == found.labels[None, :]
    )  # (T, N)
    scores = found.scores.astype(np.float64)
    surest = np.where(right, scores, 0.0).max(axis=1, initial=0.0)
    wrong = float((1 - surest).sum() + scores[~right.any(axis=0)].sum())
    return wrong / (1 + wrong)
