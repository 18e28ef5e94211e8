"""What a lesion does to a film, and where in the chest it may lie."""

from dataclasses import dataclass

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.sources.phantom.anatomy import SIDES, Anatomy, Lung
from lungal.data.sources.phantom.canvas import (
    GRID,
    SIDE,
    Points,
    closed_curve,
    coordinates,
    filled,
    softened,
)

_EDGE = 0.30
"""Share of its strongest opacity from which a lesion counts as seen: a reader's box ends there."""


@dataclass(frozen=True, slots=True, eq=False)
class Shadow:
    """What a lesion adds. Both (GRID, GRID) float32."""

    opacity: FloatArray  # added to the film's; negative where there is more air
    hidden_markings: FloatArray  # in [0, 1], share of the vessels that cannot be seen

    def box(self) -> tuple[float, float, float, float]:
        """Return the tight xyxy box of what can be seen, film pixels."""
        seen = softened(np.abs(self.opacity), 6)
        inside = seen >= _EDGE * seen.max()
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        step = SIDE / GRID
        return (
            float(columns[0] * step),
            float(rows[0] * step),
            float((columns[-1] + 1) * step),
            float((rows[-1] + 1) * step),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """The chest as a lesion meets it. Fields are (GRID, GRID) float32."""

    anatomy: Anatomy
    lungs: tuple[FloatArray, FloatArray]  # the air of the right and the left lung
    side: int  # where the lesion lies: -1, on the film's left, or 1

    @property
    def dome(self) -> float:
        """The y of the lesion's hemidiaphragm, upright frame."""
        return self.anatomy.domes[SIDES.index(self.side)]

    @property
    def air(self) -> FloatArray:
        """The air of the lesion's lung: a consolidation replaces a share of it."""
        return self.lungs[SIDES.index(self.side)]

    @property
    def lung(self) -> Lung:
        """The border of the lesion's lung."""
        return self.anatomy.lung(self.side)

    def place(self, points: list[tuple[float, float]]) -> Points:
        """Return points given outwards from the midline and down from the top as film pixels."""
        return self.anatomy.pose.place(np.array(points, np.float64) * (self.side, 1))

    def spot(
        self, rng: np.random.Generator, radius: float, between: tuple[float, float]
    ) -> tuple[float, float]:
        """Return a random point in the open lung, xy film pixels, with room around it.

        Args:
            rng: where the choice comes from.
            radius: of the lesion, film pixels: most of it is to lie on air, not on the heart.
            between: lowest and highest y, film pixels; ignored if nothing lies between.
        """
        open_lung = softened(self.air * (1 - filled(self.anatomy.heart)), 0.7 * radius)
        x, y = coordinates()
        zone = open_lung * ((y >= between[0]) & (y <= between[1]))
        if not zone.any():
            zone = open_lung
        rows, columns = np.nonzero(zone >= 0.6 * zone.max())
        i = rng.integers(len(rows))
        return float(x[0, columns[i]]), float(y[rows[i], 0])


def blob(
    middle: tuple[float, float],
    radii: tuple[float, float],
    roughness: float,
    rng: np.random.Generator,
) -> Points:
    """Return an irregular round outline, (24, 2) before smoothing, film pixels."""
    angles = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    waves = sum(
        rng.normal(0, roughness / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
        for k in range(2, 7)
    )
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (1 + waves)[:, None]
    return closed_curve(ring * radii + middle, per_leg=3)


def mound(outline: Points, softness: float, roundness: float) -> FloatArray:
    """Return a (GRID, GRID) float32 body seen through: sharp-edged, thickest in its middle.

    Args:
        outline: (K, 2) xy, film pixels.
        softness: sigma of the edge, film pixels.
        roundness: sigma over which the thickness falls off towards the edge, film pixels.
    """
    mask = filled(outline, softness)
    depth = softened(mask, roundness)
    return mask * (np.float32(0.35) + np.float32(0.65) * depth / max(float(depth.max()), 1e-6))
