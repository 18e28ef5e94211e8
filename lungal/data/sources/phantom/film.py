"""One film: anatomy and lesions drawn as opacity, and developed to grey values."""

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.images import Pixels, enlarge
from lungal.data.sources.phantom import devices, lesions, skeleton, soft_tissue
from lungal.data.sources.phantom.anatomy import build
from lungal.data.sources.phantom.canvas import SIDE, clouds, coordinates, filled, softened
from lungal.data.sources.phantom.population import Case
from lungal.records import Image, LabelledBox


def draw(case: Case) -> tuple[Image, tuple[LabelledBox, ...]]:
    """Return the (1024, 1024) film of a case and the boxes of its findings.

    The same case gives the same pixels, whatever else was drawn before.
    """
    anatomy = build(case)
    lungs = (soft_tissue.air(anatomy.lung(-1)), soft_tissue.air(anatomy.lung(1)))
    found = [lesions.draw(name, anatomy, lungs, case.lesion_stream(name)) for name in case.findings]
    air = lungs[0] + lungs[1]
    markings = np.minimum(air * np.float32(2), 1) * (1 - np.float32(0.7) * filled(anatomy.heart, 8))
    for lesion in found:
        markings *= 1 - lesion.shadow.hidden_markings
    inside = soft_tissue.vessels(anatomy, case.stream("vessels"))
    opacity = (
        soft_tissue.body(anatomy)
        + soft_tissue.breasts(anatomy)
        - soft_tissue.stomach_bubble(anatomy, case.stream("stomach"))
        + soft_tissue.centre(anatomy)
        + skeleton.draw(anatomy)
        - air
        + inside * markings
        + soft_tissue.parenchyma(air, case.stream("parenchyma")) * markings
        + sum(lesion.shadow.opacity for lesion in found)
    )
    opacity += devices.draw(anatomy, case.stream("devices"))
    pixels = _develop(np.asarray(opacity, np.float32), case)
    return Image(case.image_id, pixels), tuple(lesion.box for lesion in found)


def _develop(opacity: FloatArray, case: Case) -> Pixels:
    rng = case.stream("exposure")
    spread = 1.7 if case.view == "AP" else 1.0
    gain = np.float32(np.exp(rng.normal(0.30, 0.10 * spread)))
    gamma = np.float32(np.exp(rng.normal(0.30, 0.10 * spread)))
    white = np.float32(rng.uniform(232, 252))
    _, y = coordinates()
    uneven = 1 + np.float32(rng.normal(0, 0.05)) * (y / SIDE - 0.5)
    if case.view == "AP":
        opacity = softened(opacity, float(rng.uniform(0.3, 1.8)))
    opacity = opacity + clouds(rng, 7, octaves=1) * np.float32(rng.uniform(0.002, 0.005))
    film = white * (1 - np.exp(-gain * uneven * np.maximum(opacity, 0))) ** gamma
    grain = rng.standard_normal((SIDE, SIDE), np.float32) * np.float32(rng.uniform(0.5, 0.95))
    return (
        np.clip(enlarge(np.asarray(film, np.float32), SIDE) + grain, 0, 255)
        .round()
        .astype(np.uint8)
    )
