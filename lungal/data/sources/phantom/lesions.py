"""The eight findings, drawn where and as they lie in a chest, each with its true box."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lungal.boxes import FloatArray
from lungal.data.sources.phantom import airspace, focal, pleural
from lungal.data.sources.phantom.anatomy import SIDES, Anatomy
from lungal.data.sources.phantom.canvas import GRID, SIDE
from lungal.data.sources.phantom.shadow import Shadow, Site
from lungal.errors import UnknownNameError
from lungal.records import CLASSES, LabelledBox


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A finding on a film: the box that it fills, and what it adds to the drawing."""

    box: LabelledBox
    shadow: Shadow


SHADOWS: dict[str, Callable[[Site, np.random.Generator], Shadow]] = {
    "Atelectasis": focal.atelectasis,
    "Effusion": pleural.effusion,
    "Infiltrate": airspace.infiltrate,
    "Mass": focal.mass,
    "Nodule": focal.nodule,
    "Pneumonia": airspace.pneumonia,
    "Pneumothorax": pleural.pneumothorax,
}
"""All findings but Cardiomegaly, which is no shadow on the chest but a wider heart in it."""


def draw(
    label: str,
    anatomy: Anatomy,
    lungs: tuple[FloatArray, FloatArray],
    rng: np.random.Generator,
) -> Lesion:
    """Draw one finding.

    Args:
        label: one of CLASSES.
        anatomy: of the film; for Cardiomegaly its heart must be wide already (`anatomy.build`).
        lungs: (GRID, GRID) float32 each, the air of the right and the left lung.
        rng: where side, place, size and contrast come from.

    Raises:
        UnknownNameError: if the label is none of the eight.
    """
    if label == "Cardiomegaly":
        nothing = np.zeros((GRID, GRID), np.float32)
        corners = np.clip([anatomy.heart.min(axis=0), anatomy.heart.max(axis=0)], 0, SIDE)
        return Lesion(_labelled(label, *corners.ravel()), Shadow(nothing, nothing))
    if label not in SHADOWS:
        raise UnknownNameError("finding", label, CLASSES)
    site = Site(anatomy, lungs, int(rng.choice(SIDES)))
    shadow = SHADOWS[label](site, rng)
    return Lesion(_labelled(label, *shadow.box()), shadow)


def _labelled(label: str, x1: float, y1: float, x2: float, y2: float) -> LabelledBox:
    return LabelledBox(label, float(x1), float(y1), float(x2), float(y2))
