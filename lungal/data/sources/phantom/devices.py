"""What lies on or in the patient and is no finding: leads, tubes, lines, a pacemaker, markers."""

import numpy as np
from numpy.typing import ArrayLike

from lungal.boxes import FloatArray
from lungal.data.sources.phantom.anatomy import Anatomy
from lungal.data.sources.phantom.canvas import GRID, SIDE, curve, filled, stroked

_GLYPHS: dict[str, list[list[tuple[float, float]]]] = {
    "L": [[(0, 0), (0, 1), (0.6, 1)]],
    "R": [
        [(0, 1), (0, 0), (0.5, 0.04), (0.6, 0.25), (0.5, 0.46), (0, 0.5)],
        [(0.3, 0.5), (0.65, 1)],
    ],
    "A": [[(0, 1), (0.33, 0), (0.66, 1)], [(0.13, 0.62), (0.53, 0.62)]],
    "P": [[(0, 1), (0, 0), (0.5, 0.04), (0.6, 0.27), (0.5, 0.5), (0, 0.54)]],
}
"""Lead letters as strokes, in units of their height."""

_WEARERS = {
    # device: share of (PA, AP) films that show it
    "leads": (0.08, 0.45),
    "central_line": (0.06, 0.32),
    "breathing_tube": (0.0, 0.22),
    "feeding_tube": (0.02, 0.24),
    "pacemaker": (0.05, 0.06),
}


def draw(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    """Return the (GRID, GRID) float32 opacity of a film's markers and devices."""
    is_ap = anatomy.view == "AP"
    worn = {name: rng.random() < shares[is_ap] for name, shares in _WEARERS.items()}
    total = _markers(rng, is_ap=is_ap)
    if worn["leads"]:
        total += _leads(anatomy, rng)
    if worn["central_line"]:
        total += _tube(anatomy, _central_line(anatomy, rng), 5, 0.24)
    if worn["breathing_tube"]:
        tip = anatomy.apex + rng.uniform(90, 170)
        path = [(rng.normal(6, 5), -60), (rng.normal(2, 4), tip - 110), (rng.normal(0, 4), tip)]
        total += _tube(anatomy, path, 15, 0.16, wall=4)
    if worn["feeding_tube"]:
        low = anatomy.domes[1]
        path = [(10, -60), (14, 200), (8, 480), (24, low), (120, low + 110), (60, low + 220)]
        total += _tube(anatomy, path, 9, 0.20, wall=3)
    if worn["pacemaker"]:
        total += _pacemaker(anatomy, rng)
    return total


def _markers(rng: np.random.Generator, *, is_ap: bool) -> FloatArray:
    total = np.zeros((GRID, GRID), np.float32)
    if rng.random() < 0.75:
        side = rng.choice((-1, 1), p=(0.3, 0.7))
        corner = (SIDE / 2 + side * rng.uniform(390, 460) - 16, rng.uniform(40, 130))
        total += _letter("L" if side > 0 else "R", corner, rng.uniform(34, 50))
    if is_ap and rng.random() < 0.6:
        x, y, height = rng.uniform(40, 110), rng.uniform(190, 250), rng.uniform(22, 28)
        total += _letter("A", (x, y), height) + _letter("P", (x + height, y), height)
    return total


def _letter(name: str, corner: tuple[float, float], height: float) -> FloatArray:
    strokes = [np.array(stroke) * height + corner for stroke in _GLYPHS[name]]
    return stroked(((stroke, height / 6, 1.0) for stroke in strokes), 1) * np.float32(3)


def _tube(
    anatomy: Anatomy, path: ArrayLike, width: float, opacity: float, wall: float = 0.0
) -> FloatArray:
    line = anatomy.pose.place(curve(path))
    lumen = [(line, width - 2 * wall, 0.45)] if wall else []
    return stroked([(line, width, 1.0), *lumen], 1.2) * np.float32(opacity)


def _central_line(anatomy: Anatomy, rng: np.random.Generator) -> list[tuple[float, float]]:
    apex, side = anatomy.apex, rng.choice((-1, 1))
    tip = anatomy.heart_top + rng.uniform(-60, 90)
    return [
        (side * 330, apex + rng.uniform(150, 260)), (side * 270, apex + 66),
        (side * 120, apex + 62), (side * 30 - 20, apex + 110), (-52, apex + 190), (-54, tip),
    ]  # fmt: skip


def _leads(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    total = np.zeros((GRID, GRID), np.float32)
    spots = [(-300, 190), (300, 190), (-290, 640), (310, 640)]
    for spot in spots[: rng.integers(2, 5)]:
        x, y = np.array(spot) + rng.normal(0, 34, 2)
        out = (np.sign(x) * rng.uniform(420, 560), y + rng.uniform(240, 420))
        bends = [(x + rng.normal(0, 60), y + 90), (x + rng.normal(0, 120), y + 220)]
        total += _tube(anatomy, [(x, y), *bends, out], 5, 0.22)
        pad = anatomy.pose.place([(x, y)])
        dot = np.vstack([pad, pad + 0.5])
        total += stroked([(dot, 34, 0.35), (dot, 12, 1.0)], 1.5) * np.float32(0.30)
    return total


def _pacemaker(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    x, y = 250 + rng.normal(0, 16), anatomy.apex + 120 + rng.normal(0, 14)
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    # A superellipse: a box with round corners, as the cans of pacemakers are.
    round_box = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    can = np.sign(round_box) * np.abs(round_box) ** 0.6 * (50, 40) + (x, y)
    inner = (can - (x, y)) * 0.72 + (x, y)
    total = filled(anatomy.pose.place(can), 1.5) * np.float32(0.55)
    total += filled(anatomy.pose.place(inner), 2) * np.float32(0.35)
    low = float(np.mean(anatomy.domes))
    lead = [(x - 40, y - 26), (150, y - 84), (30, y - 60), (-46, y + 60), (-58, low - 190),
            (-10, low - 60), (120, low - 36)]  # fmt: skip
    return total + _tube(anatomy, lead, 5, 0.34)
