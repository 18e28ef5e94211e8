"""What a chest without bones adds to the opacity of a film: body, air, heart, vessels.

Opacity is attenuation times path length, so that parts simply add up (Beer and Lambert's law); air
is what the lungs take away from the body around them.
"""

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.sources.phantom.anatomy import SIDES, Anatomy, Lung
from lungal.data.sources.phantom.canvas import (
    GRID,
    SIDE,
    Points,
    closed_curve,
    clouds,
    coordinates,
    curve,
    filled,
    softened,
    stroked,
)

_AIR = 0.86
_STEP = 25.0  # of a growing vessel, film pixels
_THINNEST = 1.7  # width of a vessel that can still be seen, film pixels


def body(anatomy: Anatomy) -> FloatArray:
    """Return the opacity of trunk, neck, shoulders and arms, thicker towards the abdomen."""
    fat, width = anatomy.patient.habitus, anatomy.half_width
    flank = width + 78 + 44 * fat
    border = [
        (112 + 16 * fat, -60), (118 + 16 * fat, 10), (168 + 18 * fat, 52), (290, 70 - 12 * fat),
        (430, 92 - 14 * fat), (560, 140), (560, 300), (flank + 6, 400), (flank - 4, 600),
        (flank + 14 + 22 * fat, 830), (flank + 24 + 40 * fat, 1120),
    ]  # fmt: skip
    right = curve(np.array(border, np.float64))
    flesh = filled(anatomy.pose.place(np.vstack([right, right[::-1] * (-1, 1)])))
    for side in SIDES:
        flesh = np.maximum(flesh, filled(_arm(anatomy, side, flank)))
    flesh = softened(flesh, 5)
    x, y = coordinates()
    midline = SIDE / 2 + anatomy.pose.shift[0]
    chest = np.exp(-(((x - midline) / (width * 1.15)) ** 4))
    belly = 1 / (1 + np.exp((np.mean(anatomy.domes) + 70 - y) / 62))
    thickness = 0.70 + 0.08 * fat + chest * (0.42 + (0.95 + 0.2 * fat) * belly)
    return np.asarray(softened(flesh, 22) * flesh * thickness, np.float32)


def breasts(anatomy: Anatomy) -> FloatArray:
    """Return the opacity of a woman's breasts over the lower lungs; nothing for a man."""
    total = np.zeros((GRID, GRID), np.float32)
    if anatomy.patient.sex == "M":
        return total
    size = 1 + 0.22 * anatomy.patient.habitus
    low = anatomy.domes[0] + 84
    for side in SIDES:
        outline = closed_curve(
            [
                (side * 96, low - 150), (side * 250, low - 290 * size),
                (side * (anatomy.half_width + 20), low - 200),
                (side * (anatomy.half_width + 38), low - 70),
                (side * 318, low + 30 * size), (side * 165, low - 14),
            ]
        )  # fmt: skip
        mask = filled(anatomy.pose.place(outline), 3)
        total += mask * softened(mask, 90) * np.float32(0.15 * size)
    return total


def air(lung: Lung) -> FloatArray:
    """Return what a lung takes away from the opacity: deepest in its middle, sharp at its dome."""
    mask = filled(lung.outline, 3)
    depth = np.float32(0.30) + np.float32(0.70) * softened(mask, 46)
    # Towards the spine it thins out: its border there is drawn by heart and vessels, not by itself.
    x, _ = coordinates()
    inner = np.median(lung.medial[:, 0])
    thinning = 1 / (1 + np.exp(-(lung.side * (x - inner) - 20) / 15))
    return np.asarray(mask * depth * thinning * np.float32(_AIR), np.float32)


def stomach_bubble(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    """Return the air under the left dome: to be taken away, as a lung's is."""
    width, height = rng.uniform(55, 115), rng.uniform(18, 40)
    middle = np.array([rng.uniform(170, 250), anatomy.domes[1] + 62 + height])
    angles = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    ring = middle + np.stack([width * np.cos(angles), height * np.sin(angles)], axis=1)
    wobble = 1 + 0.08 * np.sin(3 * angles + rng.uniform(0, 6))[:, None]
    outline = middle + (ring - middle) * wobble
    return filled(anatomy.pose.place(outline), 9) * np.float32(rng.uniform(0.1, 0.45))


def centre(anatomy: Anatomy) -> FloatArray:
    """Return the opacity of heart and great vessels, less the trachea's air."""
    _, y = coordinates()
    above = 1 / (1 + np.exp((y - np.mean(anatomy.domes) - 34) / 13))  # the belly swallows the rest
    organs = np.maximum(_heart(anatomy), _great_vessels(anatomy)) * above
    return np.asarray(organs - _trachea(anatomy), np.float32)


def _heart(anatomy: Anatomy) -> FloatArray:
    mask = filled(anatomy.heart, 4)
    return mask * (np.float32(0.34) + np.float32(0.42) * softened(mask, 46))


def _great_vessels(anatomy: Anatomy) -> FloatArray:
    apex, top, knob = anatomy.apex, anatomy.heart_top, anatomy.patient.knob
    arch = apex + 168
    outline = [
        (-50, -60), (-48, apex - 20), (-58, apex + 60), (-68, arch), (-72, arch + 60),
        (-84, top + 40),
        (-60, anatomy.domes[0] + 80), (70, anatomy.domes[0] + 80), (92, top + 70), (74, top - 20),
        (64 + 0.5 * knob, arch + 0.75 * knob), (62 + 0.9 * knob, arch),
        (58 + 0.5 * knob, arch - 0.72 * knob), (54, arch - knob - 16), (48, apex), (50, -60),
    ]  # fmt: skip
    mask = filled(anatomy.pose.place(closed_curve(outline)), 5)
    return mask * (np.float32(0.18) + np.float32(0.40) * softened(mask, 40))


def _trachea(anatomy: Anatomy) -> FloatArray:
    carina = anatomy.apex + 208
    throat = [
        (-17, -60), (19, -60), (17, carina - 20), (64, carina + 62), (50, carina + 72),
        (2, carina + 18), (-42, carina + 66), (-54, carina + 56), (-16, carina - 20),
    ]  # fmt: skip
    return filled(anatomy.pose.place(throat), 8) * np.float32(0.20)


def vessels(anatomy: Anatomy, rng: np.random.Generator) -> FloatArray:
    """Return the opacity of the hila and of the vascular markings that fan out from them."""
    lines = [line for side in SIDES for line in _tree(anatomy, side, rng)]
    lines.sort(key=lambda line: line[2])  # a thick vessel covers the thin ones behind it
    crisp = stroked(lines, 1.6)
    return np.float32(0.17) * crisp + np.float32(0.32) * softened(crisp, 12)


def parenchyma(lungs: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Return the fine unevenness of lung tissue.

    Args:
        lungs: (GRID, GRID) float32, the air of both lungs.
        rng: where the unevenness comes from.
    """
    return clouds(rng, 34, octaves=3) * lungs * np.float32(0.034)


def _arm(anatomy: Anatomy, side: int, flank: float) -> Points:
    spread = 14 if anatomy.view == "AP" else 66
    outline = [
        (flank + 4, 330), (flank + spread + 8, 520), (flank + spread + 34, 800),
        (flank + spread + 60, 1120), (760, 1120), (760, 230),
    ]  # fmt: skip
    return anatomy.pose.place(np.array(outline) * (side, 1))


def _tree(
    anatomy: Anatomy, side: int, rng: np.random.Generator
) -> list[tuple[Points, float, float]]:
    """Return one lung's vessels: points in film pixels, width, and how dense they are."""
    # Degrees from straight up; the lower lobes have more and wider vessels than the upper ones.
    mains = np.array([10, 28, 48, 68, 88, 106, 122, 138, 152, 165]) + rng.normal(0, 7, 10)
    hilum = np.array([side * 84.0, anatomy.apex + (282 if side < 0 else 262)])
    spread = np.stack([side * rng.uniform(0, 30, 10), 0.9 * (mains - 90) + rng.normal(0, 9, 10)], 1)
    start, heading, width = hilum + spread, np.radians(mains), 6.5 + mains / 40
    lines: list[tuple[Points, float, float]] = []
    while len(start):  # one generation of branches after the other
        turns = heading[:, None] + np.cumsum(rng.normal(0, 0.16, (len(start), 4)), axis=1)
        steps = np.stack([side * np.sin(turns), -np.cos(turns)], axis=2) * _STEP
        paths = start[:, None] + np.cumsum(np.pad(steps, ((0, 0), (1, 0), (0, 0))), axis=1)
        placed = anatomy.pose.place(paths.reshape(-1, 2)).reshape(paths.shape)
        lines += zip(placed, width, np.minimum(1.0, (width / 10) ** 1.2), strict=True)
        node = rng.integers(1, 4, len(start))
        branch = np.arange(len(start))
        fork = rng.choice((-1, 1), len(start)) * rng.uniform(0.4, 0.9, len(start))
        start = np.concatenate([paths[:, -1], paths[branch, node + 1]])
        heading = np.concatenate([turns[:, -1], turns[branch, node] + fork])
        width = np.concatenate([0.76 * width, 0.56 * width])
        grows = width > _THINNEST
        start, heading, width = start[grows], heading[grows], width[grows]
    return lines
