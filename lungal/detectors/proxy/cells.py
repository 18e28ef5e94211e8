"""The cells of a grid on a film, which of them stand for a box, and boxes back from cells.

Coordinates are shares of the side of the square that a film is padded to, x and y, as
`lungal.data.images.prepare` pads it: below and to the right.
"""

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray
from lungal.records import CLASSES, GroundTruth

CORE = 0.5
"""Cells in this inner share of a box, by side, stand for it; those in the rest of it do not count.

FCOS's centre sampling (Tian, Shen, Chen & He 2022), with a share in the place of a stride.
"""


def centres(grid: int) -> FloatArray:
    """Return the (G * G, 2) centre of each cell, x and y in (0, 1), row by row."""
    at = (np.arange(grid, dtype=np.float32) + 0.5) / grid
    return np.stack([np.tile(at, grid), np.repeat(at, grid)], axis=1)


def assign_targets(
    truth: GroundTruth, side: float, grid: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Assign a film's boxes to cells of a grid: what a head should answer there.

    Args:
        truth: boxes in pixels of the film.
        side: of the square that it is padded to, pixels.
        grid: G.

    Returns:
        hits: (G * G, C) 1 where a cell stands for a box of the class.
        weights: (G * G, C) the cells that stand for a box share 1 between them; cells that are in
            a box and stand for none have 0, all others 1.
        reach: (G * G, C, 4) natural logarithm of the distances from the cell's centre to the
            box's left, top, right and bottom edge; 0 where there is no box.
    """
    at = centres(grid)
    hits = np.zeros((len(at), len(CLASSES)), np.float32)
    weights = np.ones_like(hits)
    reach = np.zeros((*hits.shape, 4), np.float32)
    # The smallest comes last, and so is not hidden by one that it lies in.
    order = np.argsort([-(box[2] - box[0]) * (box[3] - box[1]) for box in truth.boxes])
    for number in order:
        box, label = truth.boxes[number] / side, int(truth.labels[number])
        edges = np.concatenate([at - box[:2], box[2:] - at], axis=1)  # (G * G, 4)
        middle, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
        core = (np.abs(at - middle) <= CORE * half).all(axis=1) & (edges > 0).all(axis=1)
        if not core.any():  # a box smaller than a cell
            core[np.abs(at - middle).sum(axis=1).argmin()] = True
        inside = (edges > 0).all(axis=1) & (hits[:, label] == 0)
        weights[inside, label] = 0
        hits[core, label] = 1
        weights[core, label] = 1 / core.sum()
        reach[core, label] = np.log(np.maximum(edges[core], 0.5 / grid))
    return hits, weights, reach


def boxes_of(cells: NDArray[np.intp], reach: FloatArray, grid: int) -> FloatArray:
    """Return the (N, 4) boxes, xyxy, of N cells and their log distances (N, 4)."""
    at = centres(grid)[cells]
    edges = np.exp(reach)
    return np.concatenate([at - edges[:, :2], at + edges[:, 2:]], axis=1)
