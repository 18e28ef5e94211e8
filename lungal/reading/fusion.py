"""Weighted box fusion: one box where several readers drew one each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.reading.pairing import pair
from lungal.records import LabelledBox, to_arrays


@dataclass(frozen=True, slots=True)
class FusedBox:
    """A box that one or more readers drew.

    Attributes:
        box: the average of their boxes.
        heaviest: the box as the reader of the most weight drew it.
        support: the share of all readers' weight that drew it, in (0, 1].
    """

    box: LabelledBox
    heaviest: LabelledBox
    support: float


@dataclass(slots=True)
class _Cluster:
    heaviest: LabelledBox
    corners: NDArray[np.float64]  # (4,) pixels, xyxy: the average so far
    weight: float

    def add(self, box: LabelledBox, weight: float) -> None:
        # In this form (West 1979) the average of equal boxes is that box to the last bit.
        self.weight += weight
        self.corners = self.corners + (np.array(box.xyxy) - self.corners) * (weight / self.weight)


def fuse(
    readings: Sequence[Sequence[LabelledBox]], weights: Sequence[float], iou: float
) -> list[FusedBox]:
    """Fuse the boxes of several readings of one film.

    Weighted boxes fusion (Solovyev, Wang & Gabruseva 2021, "Weighted boxes fusion: Ensembling boxes
    from different object detection models", Image and Vision Computing 107, 104117): boxes join the
    fused box that they overlap, surest first, whose corners are the average of its members,
    X = sum(w_i * X_i) / sum(w_i) (equations 2 and 3). Two things differ, since readers are not
    detectors. A reader's weight stands for the score that readers do not give, so that what the
    paper makes of scores is here the share of weight that drew the box, sum(w_i) / sum of all w
    (its T / N for equal weights). And a reader, whose two boxes are two findings, has at most one
    box in each: the boxes of a reader are paired with the fused ones by `pairing.pair`.

    Readings are taken by falling weight, those of equal weight by what they say: their order does
    not matter. What a single reader said of a box, its origin, confidence and comment, is not said
    of the fused one.

    Args:
        readings: the boxes of each reading; an empty reading counts, against all boxes.
        weights: of each reading, above 0.
        iou: least overlap of a box with the fused box that it joins.

    Returns:
        The fused boxes, in the order in which the readings first name them.

    Raises:
        ValueError: if there are not as many weights as readings.
        UnknownNameError: if a label is not one of the eight.
    """
    total = sum(sorted(weights))  # in any order the same sum
    clusters: list[_Cluster] = []
    for weight, boxes in sorted(zip(weights, map(_plain, readings), strict=True), key=_precedence):
        fused = to_arrays(map(_average, clusters))
        joined = dict(pair(*to_arrays(boxes), *fused, iou))
        for index, box in enumerate(boxes):
            if index in joined:
                clusters[joined[index]].add(box, weight)
            else:
                clusters.append(_Cluster(box, np.array(box.xyxy, np.float64), weight))
    return [FusedBox(_average(c), c.heaviest, min(c.weight / total, 1.0)) for c in clusters]


def _plain(boxes: Sequence[LabelledBox]) -> list[LabelledBox]:
    return [LabelledBox(box.label, *box.xyxy) for box in boxes]


def _precedence(reading: tuple[float, list[LabelledBox]]) -> tuple[float, list[tuple[object, ...]]]:
    weight, boxes = reading
    return -weight, [(box.label, *box.xyxy) for box in boxes]


def _average(cluster: _Cluster) -> LabelledBox:
    return LabelledBox(cluster.heaviest.label, *cluster.corners.tolist())
