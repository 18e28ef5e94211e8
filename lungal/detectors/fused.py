"""A detector that looks at each film in several ways, and says what it saw in all of them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, as_boxes, iou
from lungal.detectors.protocol import Detector
from lungal.detectors.views import View, detect_views
from lungal.records import Detections, Image

FUSING_IOU = 0.5
"""Overlap from which boxes of a finding in two looks are the same box."""
CROWDING_IOU = 0.3
"""Overlap above which the less sure of two boxes of a finding is dropped, as within a look."""

Flags = NDArray[np.bool_]


class FusedDetector:
    """A `Detector` on another one: test-time augmentation, fused box by box (`fuse`).

    Args:
        detector: what looks. It should keep detections that are a look's share of `threshold`.
        views: how it looks besides at the film as it is.
        threshold: least fused score of what is kept.
        limit: at most so many detections are kept.
    """

    def __init__(
        self, detector: Detector, views: Sequence[View], *, threshold: float, limit: int
    ) -> None:
        self.classes = detector.classes
        self._detector, self._views = detector, (View(), *views)
        self._threshold, self._limit = threshold, limit

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        """See `Detector.detect`. The embedding is that of the film as it is."""
        sizes: deque[tuple[int, int]] = deque()

        def measured() -> Iterator[Image]:
            for image in images:
                sizes.append((image.width, image.height))
                yield image

        for looks in detect_views(self._detector, measured(), self._views):
            fused = fuse(looks, self._views, *sizes.popleft())
            yield _first(fused.above(self._threshold), self._limit)


def fuse(looks: Sequence[Detections], views: Sequence[View], width: int, height: int) -> Detections:
    """Fuse what was seen of a film in several views, boxes in the film's own pixels.

    After weighted boxes fusion (Solovyev, Wang & Gabruseva 2021, Image and Vision Computing 107,
    104117). Boxes of a finding that overlap the surest of them by FUSING_IOU are one box: the mean
    of them, weighted with their scores. Its score is the mean of each look's highest, 0 of a look
    that saw nothing there. Two things differ from the paper: what overlaps the surest by more than
    CROWDING_IOU and is not part of it is dropped, since a finding has one box on a film; and a look
    whose frame does not show the middle of the box has no say, so that what lies at the rim of the
    film does not count less because an enlarged view cuts it off.

    Args:
        looks: one of each view, of the same film.
        views: in the order of the looks.
        width: of the film, pixels.
        height: of the film, pixels.

    Returns:
        Most confident first, those of equal score in the order of the looks; with the embedding of
        the first look, and class scores, averaged like the score, if all looks have them.
    """
    seen = _Seen.of(looks)
    overlaps = iou(seen.boxes, seen.boxes)
    free = np.ones(len(seen.scores), bool)
    boxes, firsts, shares = [], [], []
    for surest in np.argsort(-seen.scores, kind="stable"):
        if not free[surest]:
            continue
        alike = free & (seen.labels == seen.labels[surest])
        part = alike & (overlaps[surest] >= FUSING_IOU)
        part[surest] = True  # an empty box does not even overlap itself
        free &= ~(part | (alike & (overlaps[surest] > CROWDING_IOU)))
        # A box may have score 0, if all boxes are asked for.
        box = np.average(seen.boxes[part], axis=0, weights=np.maximum(seen.scores[part], 1e-12))
        best = seen.best_of_each_look(part)
        boxes.append(box)
        firsts.append(best)
        shares.append(_count_witnesses(box, seen.look[best], views, width, height))
    return seen.merge(looks[0], boxes, firsts, shares)


@dataclass(frozen=True, slots=True)
class _Seen:
    """The detections of all looks, one after the other."""

    look: NDArray[np.intp]
    boxes: FloatArray
    scores: FloatArray
    labels: NDArray[np.int32]
    class_scores: FloatArray | None

    @classmethod
    def of(cls, looks: Sequence[Detections]) -> "_Seen":
        per_class = [look.class_scores for look in looks if look.class_scores is not None]
        return cls(
            np.repeat(np.arange(len(looks)), [len(look) for look in looks]),
            np.concatenate([as_boxes(look.boxes) for look in looks]),
            np.concatenate([look.scores for look in looks]),
            np.concatenate([look.labels for look in looks]),
            np.concatenate(per_class) if len(per_class) == len(looks) else None,
        )

    def best_of_each_look(self, part: Flags) -> NDArray[np.intp]:
        """Return the surest detection of each look that has one in `part`."""
        order = np.flatnonzero(part)
        order = order[np.argsort(-self.scores[order], kind="stable")]
        return order[np.unique(self.look[order], return_index=True)[1]]

    def merge(
        self,
        film: Detections,
        boxes: Sequence[FloatArray],
        best: Sequence[NDArray[np.intp]],
        witnesses: Sequence[int],
    ) -> Detections:
        """Return boxes as detections, scores being those of `best` over the witnesses."""
        pairs = list(zip(best, witnesses, strict=True))
        scores = np.array([self.scores[i].sum() / n for i, n in pairs], np.float32)
        labels = np.array([self.labels[i[0]] for i in best], np.int32)
        order = np.argsort(-scores, kind="stable")
        per_class = None
        if self.class_scores is not None:
            rows = [self.class_scores[i].sum(axis=0) / n for i, n in pairs]
            shape = (-1, self.class_scores.shape[1])
            per_class = np.array(rows, np.float32).reshape(shape)[order]
        kept = as_boxes(boxes)[order]
        return Detections(
            film.image_id, kept, scores[order], labels[order], per_class, film.embedding
        )


def _count_witnesses(
    box: FloatArray, found_by: NDArray[np.intp], views: Sequence[View], width: int, height: int
) -> int:
    middle = np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]])
    shown = {at for at, view in enumerate(views) if view.shows(middle, width, height)[0]}
    return len(shown | set(found_by.tolist()))


def _first(found: Detections, limit: int) -> Detections:
    per_class = None if found.class_scores is None else found.class_scores[:limit]
    return Detections(
        found.image_id,
        found.boxes[:limit],
        found.scores[:limit],
        found.labels[:limit],
        per_class,
        found.embedding,
    )
