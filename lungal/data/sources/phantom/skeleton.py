"""What bones add to the opacity of a film: spine, ribs, clavicles, shoulder blades."""

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.sources.phantom.anatomy import SIDES, Anatomy
from lungal.data.sources.phantom.canvas import (
    GRID,
    SIDE,
    Points,
    curve,
    filled,
    softened,
    stroked,
)

_RIBS = 11
_BORDER = 2.4  # softness of a bone's border, film pixels


def draw(anatomy: Anatomy) -> FloatArray:
    """Return the (GRID, GRID) float32 opacity of all bones."""
    bones = _spine(anatomy) + _ribs(anatomy) + _clavicles(anatomy) + _shoulders(anatomy)
    return softened(bones, _BORDER)


def _spine(anatomy: Anatomy) -> FloatArray:
    """Vertebrae with dark discs between them, and spinous processes on top."""
    spacing, place = anatomy.patient.rib_spacing, anatomy.pose.place
    bodies, processes = [], []
    for y in np.arange(-30.0, 1100.0, spacing).tolist():
        half = 36 + 14 * y / SIDE
        bodies.append((place([(-half, y), (half, y)]), spacing - 9, 0.85))
        bodies.append((place([(-half - 6, y), (half + 6, y)]), 14, 1.0))
        processes.append((place([(0, y - 10), (0, y + 12)]), 12, 1.0))
    return stroked(bodies) * np.float32(0.15) + stroked(processes) * np.float32(0.08)


def _ribs(anatomy: Anatomy) -> FloatArray:
    behind = [_rib(anatomy, side, i) for side in SIDES for i in range(_RIBS)]
    before = [_cartilage_end(anatomy, side, i) for side in SIDES for i in range(1, 6)]
    return _bands(anatomy, behind, 24, 0.225) + _bands(anatomy, before, 26, 0.150)


def _clavicles(anatomy: Anatomy) -> FloatArray:
    y = anatomy.apex + 78
    rise = 0.8 if anatomy.view == "AP" else 1.0  # a patient who lies shrugs his shoulders
    shape = curve(
        [
            (44, y + 18), (120, y + 2), (210, y - 34 * rise), (300, y - 62 * rise),
            (400, y - 70 * rise),
        ]
    )  # fmt: skip
    return _bands(anatomy, [shape * (side, 1) for side in SIDES], 30, 0.255)


def _shoulders(anatomy: Anatomy) -> FloatArray:
    """Shoulder blades, and the upper ends of the arms."""
    inwards = -34 if anatomy.view == "AP" else 12  # turned out of the lungs on a PA film
    edge, top, place = anatomy.half_width + inwards, anatomy.apex + 10, anatomy.pose.place
    blade = np.array(
        [
            (edge - 96, top), (edge + 60, top - 8), (edge + 64, top + 90), (edge + 20, top + 240),
            (edge - 8, top + 320), (edge - 34, top + 230), (edge - 74, top + 90),
        ]
    )  # fmt: skip
    border = curve(blade[[0, 6, 5, 4, 3, 2]])
    total = np.zeros((GRID, GRID), np.float32)
    for side in SIDES:
        total += filled(place(blade * (side, 1))) * np.float32(0.05)
        total += stroked([(place(border * (side, 1)), 6, 1.0)]) * np.float32(0.06)
        head = place([(side * (edge + 100), top + 40), (side * (edge + 101), top + 41)])
        shaft = place([(side * (edge + 108), top + 40), (side * (edge + 172), 900)])
        total += stroked([(shaft, 52, 0.8), (head, 92, 1.0)]) * np.float32(0.20)
    return total


def _reach(anatomy: Anatomy, y: float) -> float:
    """How far the chest wall is from the midline at a height: a little outside the lung."""
    lateral = anatomy.lung(1).lateral - anatomy.pose.shift - (SIDE / 2, 0)
    return float(np.interp(y, lateral[:, 1], lateral[:, 0])) + 6


def _rib(anatomy: Anatomy, side: int, index: int) -> Points:
    spacing = anatomy.patient.rib_spacing
    root = anatomy.apex + 6 + spacing * index
    drop = 52 + 9 * index
    wide = max(_reach(anatomy, root + drop), 150.0)
    lift = 24 + 2.2 * index
    shape = [
        (42, root), (42 + 0.22 * (wide - 42), root - 0.55 * lift), (0.48 * wide, root - 0.5 * lift),
        (0.74 * wide, root + 0.16 * drop), (0.92 * wide, root + 0.55 * drop),
        (wide, root + 1.15 * drop),
    ]  # fmt: skip
    return curve(np.array(shape) * (side, 1))


def _cartilage_end(anatomy: Anatomy, side: int, index: int) -> Points:
    x, y = _rib(anatomy, 1, index)[-1]
    end = x * (0.46 - 0.008 * index)
    fall = 46 + 8 * index
    shape = [
        (x, y), (x * 0.97, y + 0.30 * fall), (x * 0.86, y + 0.62 * fall),
        (x * 0.68, y + 0.88 * fall), (end, y + fall),
    ]  # fmt: skip
    return curve(np.array(shape) * (side, 1))


def _bands(anatomy: Anatomy, lines: list[Points], width: float, opacity: float) -> FloatArray:
    """Tubular bones: their borders are denser than the marrow between."""
    placed = [anatomy.pose.place(line) for line in lines]
    whole = stroked((line, width, 1.0) for line in placed)
    marrow = stroked((line, width - 9, 1.0) for line in placed)
    return (whole - np.float32(0.42) * marrow) * np.float32(opacity)
