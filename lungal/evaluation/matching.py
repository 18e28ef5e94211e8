"""Which detection found which truth: COCO's greedy rule, once per film.

Everything that is measured later (precision, recall, confusion, bootstrap) reads `Matches`; no
film is matched twice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, IntArray, aligned_iou
from lungal.boxes import iou as pairwise_iou
from lungal.evaluation.pairs import Pairs, pair_boxes
from lungal.records import Detections, GroundTruth


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


def match_films(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], iou: float
) -> Matches:
    """Match every film, class by class, highest score first, each truth at most once.

    Per film and class the MAX_DETECTIONS surest count. The order of the arguments' films does not
    matter.

    Raises:
        EvaluationError: if a film comes twice.
    """
    return match_films_at(truths, detections, [iou])[0]


def match_films_at(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], ious: Sequence[float]
) -> list[Matches]:
    """Match every film at each of several overlaps; see `match_films`.

    What `match` says of each film, for all films at once.
    """
    pairs = pair_boxes(truths, detections)
    overlaps = aligned_iou(pairs.boxes[pairs.detection], pairs.truth_boxes[pairs.truth])
    counts = pairs.truths
    return [
        Matches(
            pairs.image_ids,
            pairs.film,
            pairs.labels,
            pairs.scores,
            find_hits(pairs, overlaps, iou),
            counts,
        )
        for iou in ious
    ]


def find_hits(pairs: Pairs, overlaps: FloatArray, iou: float) -> NDArray[np.bool_]:
    """Return (D,) which detections find a truth, each truth being found once; see `match`.

    Args:
        pairs: D detections, P pairs.
        overlaps: (P,) float32 of the pairs.
        iou: least overlap of a hit.
    """
    hits = np.zeros(len(pairs.scores), np.bool_)
    enough = np.flatnonzero(overlaps >= np.float32(iou))
    detection, truth = pairs.detection[enough], pairs.truth[enough]
    # The truths of a class on a film stand side by side: where there is one only, the surest of
    # the detections that overlap it enough finds it. Sorting by detection is sorting by score.
    rivals = pairs.truths[pairs.truth_film, pairs.truth_labels][truth]
    _, first = np.unique(truth[rivals == 1], return_index=True)
    hits[detection[rivals == 1][first]] = True
    several = np.flatnonzero(rivals > 1)
    taken: set[int] = set()
    rows = zip(
        detection[several].tolist(),
        truth[several].tolist(),
        overlaps[enough[several]].tolist(),
        strict=True,
    )
    for number, candidates in groupby(rows, key=lambda row: row[0]):
        free = [(overlap, one) for _, one, overlap in candidates if one not in taken]
        if free:
            taken.add(max(free)[1])  # of equal overlaps the last truth
            hits[number] = True
    return hits
