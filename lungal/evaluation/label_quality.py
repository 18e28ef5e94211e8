"""Labelled films whose boxes look wrong, as ObjectLab tells them.

ObjectLab: Tkachenko, Thyagarajan & Mueller 2023, "ObjectLab: Automated Diagnosis of Mislabeled
Images in Object Detection Data", arXiv:2309.00832, as implemented in `cleanlab`. It compares each
film's boxes with what a detector saw that was trained without this film:

- overlooked: a confident detection that touches no box at all;
- badly placed: a box that the confident detections of its class meet only in part;
- swapped: a box on which a confident detection of another class lies.

Each box gets a score in [0, 1], low where something is wrong; a film's score of a kind is the
softmin of its boxes' (temperature 0.1), and its quality the geometric mean of its three scores.

The paper trusts a detection from the score 0.95, and from 0.5 where it may bear a box out. Those
are scores that come near to probabilities; a detector of findings on chest films hardly ever says
0.95. Here scores are first put on the scale of how often they are right (isotonic regression on
all films), and a detection is confident if it is right more often than not. A detector that is
hardly ever right accuses nobody.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungal.boxes import Float64Array
from lungal.evaluation.matching import match_films
from lungal.evaluation.pairs import pair_films
from lungal.records import CLASSES, Detections, GroundTruth

CONFIDENT = 0.5
"""How often a detection must be right to speak against a label."""
LENIENT = 0.25
"""The same, to bear out where a box is: about half, as in the paper."""
OVERLAP_WEIGHT = 0.9
"""Weight of the IoU in ObjectLab's similarity of two boxes; their distance has the rest."""
TINY = 1e-100


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """How good the boxes of one film look; each number in [0, 1], 1 being faultless."""

    image_id: str
    quality: float
    overlooked: float
    badly_placed: float
    swapped: float
    suspicious: bool  # worth another reading


def rate_labels(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], iou: float
) -> list[LabelQuality]:
    """Rate each film's boxes, the most suspicious film first.

    A film is suspicious if one of its three scores is below that of two boxes with an overlap of
    `iou`: where detector and label do not mean the same place or finding by the measure that the
    rest of lungal uses. The quality only orders: its scale depends on how many faults of which
    kind there are.

    Args:
        truths: the labelled films.
        detections: of these films, by detectors that were trained without them.
        iou: overlap from which two boxes of a finding are the same, in (0, 1).

    Returns:
        All films, by (quality, image_id).

    Raises:
        EvaluationError: if a film comes twice.
    """
    seen = list(detections)
    pairs = pair_films(truths, seen)
    low, high = (right_from(truths, seen, iou, often) for often in (LENIENT, CONFIDENT))
    scores = _score(pairs, low, high)
    qualities = np.exp(np.log(TINY + scores).mean(axis=1))
    rated = [
        LabelQuality(
            truth.image_id,
            float(quality),
            overlooked=float(kinds[0]),
            badly_placed=float(kinds[1]),
            swapped=float(kinds[2]),
            suspicious=bool(kinds.min() < OVERLAP_WEIGHT * iou),
        )
        for (truth, _), quality, kinds in zip(pairs, qualities, scores, strict=True)
    ]
    return sorted(rated, key=lambda film: (film.quality, film.image_id))


def right_from(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], iou: float, often: float
) -> float | None:
    """Return the score from which detections are right so often; None if they never are.

    Args:
        truths: the labelled films.
        detections: of these films.
        iou: overlap from which a detection found a box of its class.
        often: share of the detections with a score, in (0, 1].
    """
    from sklearn.isotonic import IsotonicRegression

    matches = match_films(truths, detections, iou)
    if not len(matches.scores):
        return None
    scores = matches.scores.astype(np.float64)
    right = IsotonicRegression().fit_transform(scores, matches.hits.astype(np.float64))
    enough = scores[right >= often]
    return float(enough.min()) if len(enough) else None


def _score(
    pairs: Sequence[tuple[GroundTruth, Detections]], low: float | None, confident: float | None
) -> Float64Array:
    """Return (F, 3): overlooked, badly placed, swapped."""
    if low is None or confident is None:
        return np.ones((len(pairs), 3))
    # Imported here, because it takes seconds.
    from cleanlab.object_detection import rank

    high = float(np.nextafter(confident, 0))  # cleanlab's are "above", not "from"
    films: dict[str, Any] = {
        "labels": [{"bboxes": truth.boxes, "labels": truth.labels} for truth, _ in pairs],
        "predictions": [_by_class(found.above(low)) for _, found in pairs],
    }
    boxes = [
        rank.compute_overlooked_box_scores(**films, high_probability_threshold=high),
        rank.compute_badloc_box_scores(**films, low_probability_threshold=low),
        rank.compute_swap_box_scores(**films, high_probability_threshold=high),
    ]
    return np.stack([rank.pool_box_scores_per_image(kind) for kind in boxes], axis=1)


def _by_class(found: Detections) -> list[Float64Array]:
    """Return, for each class, (N, 5): x1, y1, x2, y2, score."""
    rows = np.column_stack([found.boxes, found.scores]).astype(np.float64)
    return [rows[found.labels == label] for label in range(len(CLASSES))]
