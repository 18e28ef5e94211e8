"""Lesions with a border of their own: nodule, mass, atelectasis."""

import numpy as np

from lungal.data.sources.phantom.canvas import SIDE, clouds, curve, filled, softened, stroked
from lungal.data.sources.phantom.shadow import Shadow, Site, blob, mound


def nodule(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw a small round opacity, below about 3 cm."""
    width = rng.triangular(30, 74, 84)
    return _round(site, rng, width, opacity=rng.uniform(0.16, 0.46), roughness=0.05)


def mass(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw a large, lobulated, round opacity, above about 3 cm."""
    width = rng.triangular(94, 108, 186)
    return _round(site, rng, width, opacity=rng.uniform(0.26, 0.66), roughness=0.11)


def _round(
    site: Site, rng: np.random.Generator, width: float, *, opacity: float, roughness: float
) -> Shadow:
    middle = site.spot(rng, width / 2, (0, SIDE))
    stretch = rng.uniform(0.92, 1.09)
    outline = blob(middle, (width / 2 * stretch, width / 2 / stretch), roughness, rng)
    body = mound(outline, rng.uniform(2, 5), width / 5)
    return Shadow(body * np.float32(opacity), 0.6 * body)


def atelectasis(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw collapsed lung: plates above the diaphragm, a wedge on it, or a shrunken upper lobe."""
    shape = rng.choice(3, p=(0.55, 0.33, 0.12))
    return (_plates, _basal_wedge, _upper_lobe)[shape](site, rng)


def _plates(site: Site, rng: np.random.Generator) -> Shadow:
    length, tilt = rng.uniform(110, 250), rng.normal(0, 0.22)
    x, y = rng.uniform(150, 300), site.dome - rng.uniform(36, 190)
    lines = []
    for _ in range(rng.integers(1, 4)):
        reach = length * rng.uniform(0.75, 1.0) / 2
        bend = rng.normal(0, 7)
        path = [(x - reach, y + tilt * reach), (x, y + bend), (x + reach, y - tilt * reach)]
        lines.append((curve(site.place(path)), rng.uniform(12, 22), 1.0))
        y -= rng.uniform(24, 44)
        x += rng.normal(0, 18)
    plates = stroked(lines, 4) * np.minimum(site.air * 4, 1)
    haze = softened(plates, 14)
    body = plates + np.float32(0.35) * haze
    return Shadow(body * np.float32(rng.uniform(0.20, 0.48)), np.clip(plates, 0, 0.7))


def _basal_wedge(site: Site, rng: np.random.Generator) -> Shadow:
    dome, height, width = site.dome, rng.uniform(120, 250), rng.uniform(110, 230)
    inner = rng.uniform(85, 130)
    corners = [
        (inner, dome - height), (inner + 0.30 * width, dome - 0.55 * height),
        (inner + 0.72 * width, dome - 0.12 * height), (inner + width, dome + 60),
        (inner - 20, dome + 90),
    ]  # fmt: skip
    return _collapsed(site, rng, corners)


def _upper_lobe(site: Site, rng: np.random.Generator) -> Shadow:
    apex, width = site.anatomy.apex, rng.uniform(150, 250)
    height = rng.uniform(110, 200)
    # The fissure below a shrunken upper lobe is drawn up, most at its outer end.
    corners = [
        (50, apex - 20), (70 + width, apex - 10), (70 + width, apex + 0.45 * height),
        (70 + 0.6 * width, apex + 0.62 * height), (70 + 0.2 * width, apex + height),
        (50, apex + 1.1 * height),
    ]  # fmt: skip
    return _collapsed(site, rng, corners)


def _collapsed(site: Site, rng: np.random.Generator, corners: list[tuple[float, float]]) -> Shadow:
    airless = filled(site.place(corners), 4) * np.float32(rng.uniform(0.40, 0.85))
    uneven = 1 + np.float32(0.06) * clouds(rng, 90)
    return Shadow(site.air * airless * uneven, airless)
