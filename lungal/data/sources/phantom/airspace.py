"""Lesions that fill airspaces with something else: infiltrate, pneumonia."""

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.sources.phantom.canvas import SIDE, Points, clouds, coordinates, filled, stroked
from lungal.data.sources.phantom.shadow import Shadow, Site, blob


def infiltrate(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw a patchy opacity without a border, now and then in both lungs."""
    both = rng.random() < 0.14
    air = site.lungs[0] + site.lungs[1] if both else site.air
    widths = (rng.uniform(200, 330), rng.uniform(110, 210)) if both else rng.uniform(80, 165, 2)
    middle = site.spot(rng, 80, (site.anatomy.apex + 200, SIDE))
    if both:
        middle = (SIDE / 2 + site.anatomy.pose.shift[0], middle[1])
    zone = filled(blob(middle, (float(widths[0]), float(widths[1])), 0.16, rng), 38)
    patches = 1 / (1 + np.exp(-2.4 * (clouds(rng, 84, octaves=3) + 0.35)))
    share = np.asarray(zone * patches, np.float32) * np.float32(rng.uniform(0.38, 0.85))
    return Shadow(air * share, 0.5 * share)


def pneumonia(site: Site, rng: np.random.Generator) -> Shadow:
    """Draw a confluent opacity that ends sharply at a fissure, often with air bronchograms."""
    middle = site.spot(rng, 90, (site.anatomy.apex + 250, SIDE))
    radii = (rng.uniform(90, 150), rng.uniform(105, 185))
    outline = blob(middle, radii, 0.10, rng)
    zone = filled(outline, 20) * _below_fissure(site, middle, radii[1], rng)
    uneven = 1 + np.float32(0.10) * clouds(rng, 110)
    share = np.clip(zone * uneven, 0, 1) * np.float32(rng.uniform(0.45, 0.90))
    opacity = site.air * share
    if rng.random() < 0.6:
        opacity = opacity * (1 - np.float32(0.45) * _bronchograms(site, middle, radii, rng))
    return Shadow(np.asarray(opacity, np.float32), np.asarray(0.9 * share, np.float32))


def _below_fissure(
    site: Site, middle: tuple[float, float], height: float, rng: np.random.Generator
) -> FloatArray:
    x, y = coordinates()
    # A fissure falls from the middle outwards; the lobe above or below it is the sick one.
    line = middle[1] + site.side * rng.uniform(0.02, 0.30) * (x - middle[0])
    above = bool(rng.random() < 0.4)
    offset = rng.uniform(0.35, 0.75) * height
    distance = (line + offset - y) if above else (y - line + offset)
    return np.asarray(1 / (1 + np.exp(-np.clip(distance, -60, 60) / 3.0)), np.float32)


def _bronchograms(
    site: Site,
    middle: tuple[float, float],
    radii: tuple[float, float],
    rng: np.random.Generator,
) -> FloatArray:
    start = np.array(middle) - (site.side * 0.8 * radii[0], rng.uniform(-0.2, 0.5) * radii[1])
    lines: list[tuple[Points, float, float]] = []
    for heading in np.radians(rng.uniform(-35, 45, 3)):
        stem = np.array([site.side * np.cos(heading), np.sin(heading)]) * radii[0]
        fork = start + 0.55 * stem
        turn = np.array([-stem[1], stem[0]]) * rng.choice((-0.4, 0.4))
        lines.append((np.stack([start, fork, start + 1.2 * stem]), 8, 1.0))
        lines.append((np.stack([fork, fork + 0.5 * stem + turn]), 6, 0.8))
    return stroked(lines, 2.5)
