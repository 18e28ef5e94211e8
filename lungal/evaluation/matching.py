"""Which detection found which truth: COCO's greedy rule, once per film.

Everything that is measured later (precision, recall, confusion, bootstrap) reads `Matches`; no
film is matched twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, IntArray
from lungal.boxes import iou as pairwise_iou
from lungal.errors import EvaluationError
from lungal.records import CLASSES, Detections, GroundTruth

MAX_DETECTIONS = 100
"""Detections that count, per film and class, as in COCO's maxDets."""

Film = TypeVar("Film", GroundTruth, Detections)


@dataclass(frozen=True, slots=True, eq=False)
class Matches:
    """The judged detections of F films, class by class and surest first.

    Detections with equal scores stand by image_id, then in the order their film lists them.
    """

    image_ids: tuple[str, ...]  # F, sorted
    film: IntArray  # (D,) int32, index into image_ids
    labels: IntArray  # (D,) int32, index into CLASSES, ascending
    scores: FloatArray  # (D,) float32, descending within a class
    hits: NDArray[np.bool_]  # (D,) True where a truth of the same class was found
    truths: IntArray  # (F, C) int32, number of true boxes

    def of_class(self, label: int) -> slice:
        """Return where the detections of a class stand."""
        first, last = np.searchsorted(self.labels, [label, label + 1])
        return slice(int(first), int(last))


def match(truths: FloatArray, boxes: FloatArray, iou: float) -> IntArray:
    """Pair boxes with truths: each box in turn takes the free truth that it overlaps most.

    COCO's rule (pycocotools, `COCOeval.evaluateImg`): among truths overlapped equally the last
    one is taken. Overlaps are compared in float32, so that 3/10 is at least 0.3.

    Args:
        truths: (M, 4) float32, pixels, xyxy.
        boxes: (N, 4) float32, pixels, xyxy, surest first.
        iou: least overlap of a pair, in (0, 1].

    Returns:
        (N,) int32, the index of each box's truth, -1 where it found none.
    """
    paired = np.full(len(boxes), -1, np.int32)
    if not len(truths):
        return paired
    overlaps = pairwise_iou(boxes, truths)
    overlaps[overlaps < np.float32(iou)] = -1
    for index, row in enumerate(overlaps):
        best = len(row) - 1 - int(np.argmax(row[::-1]))
        if row[best] >= 0:
            paired[index] = best
            overlaps[:, best] = -1
    return paired


def surest_first(detections: Detections) -> NDArray[np.intp]:
    """Return the (N,) order of falling scores; equal scores keep the order of the film."""
    return np.argsort(-detections.scores, kind="stable")


def pair_films(
    truths: Sequence[GroundTruth], detections: Iterable[Detections]
) -> list[tuple[GroundTruth, Detections]]:
    """Put each film's truth beside its detections, sorted by image_id.

    A film without detections gets an empty value; detections on a film whose truth is unknown are
    left out, as COCOeval does.

    Raises:
        EvaluationError: if a film comes twice.
    """
    seen = _by_film(detections)
    return [
        (truth, seen.get(image_id, nothing_found(image_id)))
        for image_id, truth in sorted(_by_film(truths).items())
    ]


def nothing_found(image_id: str) -> Detections:
    """Return the detections of a film on which the detector saw nothing."""
    return Detections(
        image_id, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
    )


def match_films(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], iou: float
) -> Matches:
    """Match every film, class by class, highest score first, each truth at most once.

    Per film and class the MAX_DETECTIONS surest count. The order of the arguments' films does not
    matter.

    Raises:
        EvaluationError: if a film comes twice.
    """
    pairs = pair_films(truths, detections)
    films: list[IntArray] = [np.zeros(0, np.int32)]
    kept: list[IntArray] = [np.zeros(0, np.int32)]
    scores: list[FloatArray] = [np.zeros(0, np.float32)]
    hits: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    for number, (truth, seen) in enumerate(pairs):
        order = surest_first(seen)
        labels = seen.labels[order]
        for label in np.unique(labels):
            mine = order[labels == label][:MAX_DETECTIONS]
            found = match(truth.boxes[truth.labels == label], seen.boxes[mine], iou) >= 0
            films.append(np.full(len(mine), number, np.int32))
            kept.append(seen.labels[mine])
            scores.append(seen.scores[mine])
            hits.append(found)
    film, label_axis, score, hit = (np.concatenate(part) for part in (films, kept, scores, hits))
    order = np.lexsort(
        (np.negative(score), label_axis)
    )  # stable: what ties keeps the order of the films
    return Matches(
        image_ids=tuple(truth.image_id for truth, _ in pairs),
        film=film[order],
        labels=label_axis[order],
        scores=score[order],
        hits=hit[order],
        truths=_count(truth for truth, _ in pairs),
    )


def _count(truths: Iterable[GroundTruth]) -> IntArray:
    rows = [np.bincount(truth.labels, minlength=len(CLASSES)) for truth in truths]
    return np.array(rows, np.int32).reshape(-1, len(CLASSES))


def _by_film(films: Iterable[Film]) -> dict[str, Film]:
    known: dict[str, Film] = {}
    for film in films:
        if film.image_id in known:
            raise EvaluationError(f"film {film.image_id!r} comes twice; each is judged once")
        known[film.image_id] = film
    return known
