"""Lesions between lung and chest wall: effusion, pneumothorax."""

import numpy as np

from lungal.data.sources.phantom.canvas import Points, curve, filled, softened, stroked
from lungal.data.sources.phantom.shadow import Shadow, Site


def effusion(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw fluid that fills the costophrenic angle and climbs the chest wall in a meniscus."""
    width = site.anatomy.half_width
    angle = site.dome + 118
    depth = rng.triangular(110, 240, 540)  # of the fluid at the chest wall
    inner = width * np.interp(depth, (110, 400), (0.66, 0.24))  # where the meniscus ends
    slack = np.interp(depth, (110, 540), (0.15, 0.62))  # how high it still is there
    level = angle - depth
    meniscus = curve(
        [
            (width * 1.04, level), (width * 0.94, level + 0.20 * depth),
            (0.6 * width + 0.4 * inner, level + (1 - slack) * 0.62 * depth),
            (inner, level + (1 - slack) * 0.80 * depth),
        ]
    )  # fmt: skip
    floor = [(inner, angle + 60), (width * 1.1, angle + 60), (width * 1.1, level)]
    fluid = filled(site.place([*map(tuple, meniscus), *floor]), 7)
    share = fluid * np.float32(rng.uniform(0.62, 1.0))
    return Shadow(site.air * share, share)


def pneumothorax(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw a rim of air without markings, and the pleural line of the lung that fell away."""
    reach = rng.uniform(80, 190) if rng.random() < 0.68 else rng.uniform(220, 560)
    collapsed, edge = _fallen_lung(site, rng, reach)
    rim = np.clip(filled(site.lung.outline, 2) - filled(collapsed, 2), 0, 1)
    free = np.clip(softened(rim, 8) * 3, 0, 1)  # there is a pleural line only where the lung fell
    line = stroked([(edge, 5, 1.0)], 1.5) * free
    darkening = rim * np.float32(rng.uniform(0.07, 0.17))
    brightening = line * np.float32(rng.uniform(0.08, 0.20))
    return Shadow(brightening - darkening, rim)


def _fallen_lung(site: Site, rng: np.random.Generator, reach: float) -> tuple[Points, Points]:
    """Return the outline of the collapsed lung and its free edge.

    The lung falls from the chest wall towards its hilum: most at the apex, not at all `reach` film
    pixels below it.
    """
    lung, apex = site.lung, site.lung.lateral[0]
    hilum = site.place([(120, site.anatomy.apex + 300)])[0]
    fall = rng.uniform(0.12, 0.34)

    def fallen(border: Points, reach: float) -> Points:
        below = np.clip((border[:, 1] - apex[1]) / reach, 0, 1)
        share = 1 - fall * (1 - below**1.5)
        return np.asarray(hilum + (border - hilum) * share[:, None], np.float64)

    edge = fallen(lung.lateral, reach)
    return np.vstack([edge, lung.dome, fallen(lung.medial, 0.35 * reach)]), edge
