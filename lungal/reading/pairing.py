"""Which box of one reading is which box of another."""

import numpy as np
from scipy.optimize import linear_sum_assignment

from lungal.boxes import FloatArray, IntArray
from lungal.boxes import iou as pairwise_iou

SAME_PIXELS = 1.0
"""How far an edge of a box that nobody touched may lie from where it was: percent and back."""

MORE_PAIRS = 1e-6
"""What a pair is worth beyond its overlap: of assignments with the same total overlap the one
with more pairs is taken, whichever reading is named first."""


def pair(
    a_boxes: FloatArray, a_labels: IntArray, b_boxes: FloatArray, b_labels: IntArray, iou: float
) -> list[tuple[int, int]]:
    """Pair boxes of the same finding that overlap enough, one to one, for the most overlap.

    Other than COCO's greedy rule (`lungal.evaluation.matching`), this treats both sides alike:
    neither reader is the truth and no box is surer than another. The assignment is optimal
    (Kuhn 1955, "The Hungarian method for the assignment problem"; scipy's implementation is
    Crouse 2016).

    Args:
        a_boxes: (N, 4) float32, pixels, xyxy.
        a_labels: (N,) int32.
        b_boxes: (M, 4) float32, pixels, xyxy.
        b_labels: (M,) int32.
        iou: least overlap of a pair, in (0, 1]; compared in float32, so that 3/10 is at least 0.3.

    Returns:
        (index in a, index in b) of each pair, ascending.
    """
    overlaps = pairwise_iou(a_boxes, b_boxes)
    fits = (a_labels[:, None] == b_labels[None, :]) & (overlaps >= np.float32(iou))
    worth = np.where(fits, overlaps.astype(np.float64) + MORE_PAIRS, 0.0)
    rows, columns = linear_sum_assignment(worth, maximize=True)
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if fits[i, j]]
