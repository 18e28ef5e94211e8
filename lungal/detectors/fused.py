"""A detector that looks at each film in several ways, and says what it saw in all of them."""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, aligned_iou, as_boxes
from lungal.detectors.protocol import Detector
from lungal.detectors.views import View, detect_views
from lungal.records import Detections, Image

FUSING_IOU = 0.5
"""Overlap from which boxes of a finding in two looks are the same box."""
CROWDING_IOU = 0.3
"""Overlap above which the less sure of two boxes of a finding is dropped, as within a look."""
RIM = 0.01
"""An edge so near to the edge of a look's frame, as a share of the film's side, was cut by it."""

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


class FusedDetector:
    """A `Detector` on another one: test-time augmentation, fused box by box (`fuse`).

    Args:
        detector: what looks. It should keep whatever it sees: what one look hardly sees still
            counts for what another sees there.
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
            yield fuse(
                looks, self._views, *sizes.popleft(), least=self._threshold, limit=self._limit
            )


def fuse(
    looks: Sequence[Detections],
    views: Sequence[View],
    width: int,
    height: int,
    *,
    least: float = 0.0,
    limit: int | None = None,
) -> Detections:
    """Fuse what was seen of a film in several views, boxes in the film's own pixels.

    After weighted boxes fusion (Solovyev, Wang & Gabruseva 2021, Image and Vision Computing 107,
    104117). Boxes of a finding that overlap the surest of them by FUSING_IOU are one box: the mean
    of them, weighted with their scores. Its score is the mean of each look's highest, 0 of a look
    that saw nothing there. What overlaps the surest by more than CROWDING_IOU and is not part of it
    is dropped, since a finding has one box on a film.

    An enlarged view cuts off the rim of the film, where costophrenic angles lie. So boxes of two
    looks are compared in what both frames show; an edge at which a frame has cut a box says nothing
    about where the box ends; and a look whose frame does not show the middle of a box has no say
    in its score, unless it saw some of it.

    Args:
        looks: one of each view, of the same film.
        views: in the order of the looks.
        width: of the film, pixels.
        height: of the film, pixels.
        least: score from which fused boxes are returned.
        limit: at most so many are.

    Returns:
        Most confident first, those of equal score in the order of their surest part; with the
        embedding of the first look, and class scores, averaged like the score, if all looks have
        them.
    """
    seen = _Seen.of(looks, views, width, height)
    free = np.ones(len(seen.scores), bool)
    parts: list[Flags] = []
    for surest in np.argsort(-seen.scores, kind="stable"):
        if seen.scores[surest] < least:
            break  # a mean is no more than the largest that goes into it
        if not free[surest]:
            continue
        overlaps = seen.overlaps(surest)
        alike = free & (seen.labels == seen.labels[surest])
        part = alike & (overlaps >= FUSING_IOU)
        part[surest] = True  # an empty box does not even overlap itself
        free &= ~(part | (alike & (overlaps > CROWDING_IOU)))
        parts.append(part)
    boxes = as_boxes([seen.mean_box(part) for part in parts])
    shares = [seen.shares(part, box) for part, box in zip(parts, boxes, strict=True)]
    scores = np.array([seen.scores @ share for share in shares], np.float32)
    labels = np.array([seen.labels[part][0] for part in parts], np.int32)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= least][:limit]
    per_class = None
    if seen.class_scores is not None:
        rows = [share @ seen.class_scores for share in shares]
        per_class = np.array(rows, np.float32).reshape(-1, seen.class_scores.shape[1])[order]
    return Detections(
        looks[0].image_id, boxes[order], scores[order], labels[order], per_class, looks[0].embedding
    )


@dataclass(frozen=True, slots=True)
class _Seen:
    """The detections of all looks, one after the other.

    Attributes:
        look: (N,) which look each is of.
        frames: (L, 4) float32, what each look shows of the film, pixels, xyxy.
        cut: (N, 4) which edges are where a frame ends and the film does not.
    """

    look: Indices
    boxes: FloatArray
    scores: FloatArray
    labels: NDArray[np.int32]
    class_scores: FloatArray | None
    frames: FloatArray
    cut: Flags

    @classmethod
    def of(
        cls, looks: Sequence[Detections], views: Sequence[View], width: int, height: int
    ) -> "_Seen":
        per_class = [look.class_scores for look in looks if look.class_scores is not None]
        look = np.repeat(np.arange(len(looks)), [len(look) for look in looks])
        boxes = np.concatenate([as_boxes(look.boxes) for look in looks])
        frames = as_boxes([view.frame(width, height) for view in views])
        film = np.array([0, 0, width, height], np.float32)
        near = np.abs(boxes - frames[look]) <= RIM * np.array([width, height, width, height])
        return cls(
            look,
            boxes,
            np.concatenate([look.scores for look in looks]),
            np.concatenate([look.labels for look in looks]),
            np.concatenate(per_class) if len(per_class) == len(looks) else None,
            frames,
            near & (frames[look] != film),
        )

    def overlaps(self, one: int) -> FloatArray:
        """Return the (N,) IoU of one box with each, within what both of their looks show."""
        ours, theirs = self.frames[self.look[one]], self.frames[self.look]
        low, high = np.maximum(ours[:2], theirs[:, :2]), np.minimum(ours[2:], theirs[:, 2:])
        limits = np.hstack([low, low]), np.hstack([high, high])
        mine, others = (np.clip(boxes, *limits) for boxes in (self.boxes[one], self.boxes))
        return aligned_iou(mine, others)

    def mean_box(self, part: Flags) -> FloatArray:
        """Return the mean of some boxes by their scores, of each edge those that are not cut."""
        # A box may have score 0, if all boxes are asked for.
        scores = np.maximum(self.scores[part], 1e-12)[:, None]
        whole = np.where(self.cut[part], 0, scores)
        weights = np.where(whole.any(axis=0), whole, scores)
        return np.asarray(np.average(self.boxes[part], axis=0, weights=weights), np.float32)

    def shares(self, part: Flags, box: FloatArray) -> FloatArray:
        """Return the (N,) weight of each score in that of a box: one over its witnesses, or 0."""
        order = np.flatnonzero(part)
        order = order[np.argsort(-self.scores[order], kind="stable")]
        found_by, at = np.unique(self.look[order], return_index=True)
        middle = (box[:2] + box[2:]) / 2
        shown = (middle >= self.frames[:, :2]) & (middle <= self.frames[:, 2:])
        witnesses = set(found_by.tolist()) | set(np.flatnonzero(shown.all(axis=1)).tolist())
        share = np.zeros(len(part), np.float32)
        share[order[at]] = 1 / len(witnesses)
        return share
