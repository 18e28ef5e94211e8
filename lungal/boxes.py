"""Boxes: (N, 4) float32, pixels, xyxy, origin at the top left corner of the film.

One convention inside. NIH (xywh pixels), TF OD (normalised yxyx) and Label Studio (percent xywh)
are converted only in the adapter that meets them, with the functions here.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungal.errors import BoxError

FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]
IntArray = NDArray[np.int32]


def as_boxes(boxes: ArrayLike) -> FloatArray:
    """Return boxes as a (N, 4) float32 array; an empty sequence becomes (0, 4).

    Raises:
        BoxError: if the last axis is not four long.
    """
    array = np.asarray(boxes, dtype=np.float32)
    if array.size == 0:
        return np.zeros((0, 4), np.float32)
    if array.ndim != 2 or array.shape[1] != 4:
        raise BoxError(f"boxes must be (N, 4), got {array.shape}")
    return array


def from_xywh(xywh: ArrayLike) -> FloatArray:
    """Convert (N, 4) x, y, width, height in pixels to xyxy."""
    boxes = as_boxes(xywh).copy()
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def to_xywh(boxes: FloatArray) -> FloatArray:
    """Convert (N, 4) xyxy to x, y, width, height in pixels."""
    xywh = as_boxes(boxes).copy()
    xywh[:, 2:] -= xywh[:, :2]
    return xywh


def from_percent(xywh: ArrayLike, width: int, height: int) -> FloatArray:
    """Convert Label Studio's (N, 4) x, y, width, height in percent of the film to xyxy pixels."""
    scale = np.array([width, height, width, height], np.float64) / 100
    return from_xywh(np.asarray(xywh, np.float64).reshape(-1, 4) * scale)


def to_percent(boxes: FloatArray, width: int, height: int) -> Float64Array:
    """Convert xyxy pixels to Label Studio's (N, 4) x, y, width, height in percent of the film."""
    xywh = to_xywh(boxes).astype(np.float64)
    return xywh * 100 / np.array([width, height, width, height], np.float64)


def from_normalised(yxyx: ArrayLike, width: int, height: int) -> FloatArray:
    """Convert the OD API's (N, 4) ymin, xmin, ymax, xmax in [0, 1] to xyxy pixels."""
    y1, x1, y2, x2 = np.asarray(yxyx, np.float32).reshape(-1, 4).T
    return as_boxes(np.stack([x1 * width, y1 * height, x2 * width, y2 * height], axis=1))


def to_normalised(boxes: FloatArray, width: int, height: int) -> FloatArray:
    """Convert xyxy pixels to the OD API's (N, 4) ymin, xmin, ymax, xmax in [0, 1]."""
    x1, y1, x2, y2 = as_boxes(boxes).T
    return as_boxes(np.stack([y1 / height, x1 / width, y2 / height, x2 / width], axis=1))


def area(boxes: FloatArray) -> FloatArray:
    """Return the (N,) areas in square pixels; a box turned inside out has area 0."""
    sides = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None)
    return np.asarray(sides[:, 0] * sides[:, 1], np.float32)


def intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the (N, M) pairwise intersection areas of boxes a (N, 4) and b (M, 4)."""
    return aligned_intersection(a[:, None], b[None, :])


def aligned_intersection(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the intersection areas of boxes a (..., 4), each with its partner in b (..., 4)."""
    top_left = np.maximum(a[..., :2], b[..., :2])
    bottom_right = np.minimum(a[..., 2:], b[..., 2:])
    sides = np.clip(bottom_right - top_left, 0, None)
    return np.asarray(sides[..., 0] * sides[..., 1], np.float32)


def iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the (N, M) pairwise intersection over union in [0, 1]; 0 where both are empty."""
    return _over_union(intersection(a, b), area(a)[:, None], area(b)[None, :])


def aligned_iou(a: FloatArray, b: FloatArray) -> FloatArray:
    """Return the (N,) intersection over union of boxes a (N, 4), each with its partner in b.

    The same to the last bit as `iou` gives for the pair.
    """
    return _over_union(aligned_intersection(a, b), area(a), area(b))


def _over_union(shared: FloatArray, area_a: FloatArray, area_b: FloatArray) -> FloatArray:
    union = area_a + area_b - shared
    overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.asarray(overlap, np.float32)


def clip(boxes: FloatArray, width: int, height: int) -> FloatArray:
    """Return boxes cut to the film."""
    limits = np.array([width, height, width, height], np.float32)
    return np.asarray(np.clip(as_boxes(boxes), 0, limits), np.float32)


def why_impossible(box: ArrayLike, width: int, height: int, slack: float = 1.0) -> str | None:
    """Say why a single xyxy box cannot be a finding on this film, or None if it can.

    Args:
        box: (4,) pixels, xyxy.
        width: of the film, pixels.
        height: of the film, pixels.
        slack: how many pixels beyond the edge count as rounding, not as an error.
    """
    if reason := why_no_box(box):
        return reason
    x1, y1, x2, y2 = (float(v) for v in np.asarray(box, np.float64).reshape(4))
    if x1 < -slack or y1 < -slack or x2 > width + slack or y2 > height + slack:
        return f"lies outside the {width}x{height} film"
    if not area(clip(np.reshape(box, (1, 4)), width, height))[0]:
        return f"has no area on the {width}x{height} film"
    return None


def why_no_box(box: ArrayLike) -> str | None:
    """Say why four numbers are no box, wherever a film's edges may be, or None if they are one.

    Args:
        box: (4,) any unit, xyxy.
    """
    x1, y1, x2, y2 = (float(v) for v in np.asarray(box, np.float64).reshape(4))
    if not np.isfinite([x1, y1, x2, y2]).all():
        return "a coordinate is not a finite number"
    if x2 <= x1 or y2 <= y1:
        return "has no area"
    return None
