"""Drawing in film pixels on a coarser grid: masks, lines, curves and noise.

Nothing on a chest film but its grain is finer than two pixels, so that everything is drawn on half
the film's side and enlarged once, at the end.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungal.boxes import FloatArray
from lungal.data.images import blur, draw_polyline, enlarge, fill_polygon, shrink

SIDE = 1024
"""Side of a film, pixels; NIH's."""
GRID = 512
"""Side of the grid on which everything but grain is drawn."""

Points = NDArray[np.float64]
"""(K, 2) xy, film pixels."""

_STEP = SIDE / GRID
_WIDE = 6.0  # sigma from which a blur is done on a coarser grid


def coordinates() -> tuple[FloatArray, FloatArray]:
    """Return x (1, GRID) and y (GRID, 1) float32: the grid's cell centres in film pixels."""
    centres = (np.arange(GRID, dtype=np.float32) + 0.5) * np.float32(_STEP)
    return centres[None, :], centres[:, None]


def filled(outline: Points, softness: float = 0.0) -> FloatArray:
    """Return a (GRID, GRID) float32 mask, 1 inside a closed outline.

    Args:
        outline: (K, 2) xy, film pixels.
        softness: sigma of the edge, film pixels; 0 leaves it crisp.
    """
    mask = fill_polygon(GRID, _on_grid(outline)).astype(np.float32) / np.float32(255)
    return softened(mask, softness)


def stroked(lines: Iterable[tuple[Points, float, float]], softness: float = 0.0) -> FloatArray:
    """Return a (GRID, GRID) float32 drawing of lines; a later line covers an earlier one.

    Args:
        lines: each line's points, width in film pixels, and value in [0, 1].
        softness: sigma of a blur over the drawing, film pixels.
    """
    mask = np.zeros((GRID, GRID), np.uint8)
    for points, width, value in lines:
        draw_polyline(mask, _on_grid(points), round(value * 255), max(1, round(width / _STEP)))
    return softened(mask.astype(np.float32) / np.float32(255), softness)


def softened(field: FloatArray, softness: float) -> FloatArray:
    """Return a grid field under a Gaussian of `softness` film pixels."""
    sigma = softness / _STEP
    if sigma <= 0:
        return field
    if sigma < _WIDE:
        return blur(field, sigma)
    # What a wide blur leaves fits on a grid of a quarter of the side, and is done there 16x faster.
    return enlarge(blur(shrink(field, GRID // 4), sigma / 4), GRID)


def curve(points: ArrayLike, per_leg: int = 8) -> Points:
    """Return a smooth open curve through (K, 2) points: Catmull and Rom's (1974) spline."""
    knots = np.asarray(points, np.float64)
    padded = np.vstack([2 * knots[0] - knots[1], knots, 2 * knots[-1] - knots[-2]])
    t = np.linspace(0, 1, per_leg, endpoint=False)[None, :, None]
    before, start, end, after = (padded[i : len(padded) - 3 + i, None] for i in range(4))
    legs = 0.5 * (
        2 * start
        + (end - before) * t
        + (2 * before - 5 * start + 4 * end - after) * t**2
        + (3 * start - before - 3 * end + after) * t**3
    )
    return np.vstack([legs.reshape(-1, 2), knots[-1:]])


def closed_curve(points: ArrayLike, per_leg: int = 8) -> Points:
    """Return a smooth closed curve through (K, 2) points; the first is not repeated."""
    knots = np.asarray(points, np.float64)
    wrapped = np.vstack([knots[-2:], knots, knots[:2]])
    return curve(wrapped, per_leg)[2 * per_leg : (2 + len(knots)) * per_leg]


def clouds(rng: np.random.Generator, coarsest: float, octaves: int = 3) -> FloatArray:
    """Return a (GRID, GRID) float32 field of fractal noise, mean near 0, deviation near 1.

    Args:
        rng: where the noise comes from.
        coarsest: size of the largest cloud, film pixels.
        octaves: how many times a finer, weaker layer is added.
    """
    total = np.zeros((GRID, GRID), np.float32)
    for octave in range(octaves):
        cells = max(2, round(SIDE / coarsest * 2**octave))
        layer = rng.standard_normal((cells, cells), np.float32)
        total += enlarge(layer, GRID) * np.float32(0.6**octave)
    return total


def _on_grid(points: Points) -> Points:
    return points / _STEP - 0.5
