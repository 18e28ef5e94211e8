"""The values that travel between modules: films, boxes, detections, readings, tasks."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, IntArray
from lungal.errors import UnknownNameError

CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltrate",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
)
"""The eight findings, in the order of every class axis. NIH's box file spells them so."""

CLASS_COLOURS = (
    "#E69F00",
    "#56B4E9",
    "#009E73",
    "#F0E442",
    "#2A8BDB",
    "#D55E00",
    "#CC79A7",
    "#785EF0",
)
"""A colour for each class, sRGB: Okabe and Ito's palette for all colour vision (2008), its blue
made lighter and its black, which a film would hide, made violet. Always beside a name."""

Split = Literal["train", "val", "test"]
Verdict = Literal["finding", "no_finding", "unreadable", "skipped"]
"""What a reader said of a whole film. `no_finding` is a label: zero boxes, trains as background."""


def class_index(name: str) -> int:
    """Return the index of a finding in CLASSES.

    Raises:
        UnknownNameError: if it is not one of the eight.
    """
    try:
        return CLASSES.index(name)
    except ValueError:
        raise UnknownNameError("finding", name, CLASSES) from None


@dataclass(frozen=True, slots=True, eq=False)
class Image:
    """One film. pixels: (H, W) uint8, grey, bright is dense."""

    image_id: str
    pixels: NDArray[np.uint8]

    @property
    def width(self) -> int:
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        return int(self.pixels.shape[0])


@dataclass(frozen=True, slots=True)
class LabelledBox:
    """One finding drawn on a film: pixels, xyxy."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)


@dataclass(frozen=True, slots=True, eq=False)
class GroundTruth:
    """What is known to be on one film. No boxes means "nothing there", never "not read"."""

    image_id: str
    boxes: FloatArray  # (N, 4) float32, pixels, xyxy
    labels: IntArray  # (N,) int32, index into CLASSES

    @classmethod
    def of(cls, image_id: str, boxes: Sequence[LabelledBox]) -> "GroundTruth":
        """Build from labelled boxes.

        Raises:
            UnknownNameError: if a label is not one of the eight.
        """
        return cls(
            image_id,
            np.array([box.xyxy for box in boxes], np.float32).reshape(-1, 4),
            np.array([class_index(box.label) for box in boxes], np.int32),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector sees on one film, most confident first."""

    image_id: str
    boxes: FloatArray  # (N, 4) float32, pixels of the film, xyxy
    scores: FloatArray  # (N,) float32 in [0, 1]
    labels: IntArray  # (N,) int32, index into the detector's classes
    class_scores: FloatArray | None = None  # (N, C) float32, no background column

    def __len__(self) -> int:
        return len(self.scores)

    def above(self, threshold: float) -> "Detections":
        """Return the detections with score >= threshold."""
        keep = self.scores >= threshold
        per_class = None if self.class_scores is None else self.class_scores[keep]
        return Detections(
            self.image_id, self.boxes[keep], self.scores[keep], self.labels[keep], per_class
        )


@dataclass(frozen=True, slots=True)
class Annotation:
    """One reading of one film by one reader: a line of data/annotations.jsonl.

    source_id names the reading for good: two lines with the same source_id are the same reading.
    An edit made later is a new line with another source_id and a later `at`.
    """

    source_id: str
    image_id: str
    round: int
    reader: str
    verdict: Verdict
    boxes: tuple[LabelledBox, ...]
    at: str  # when the reading was last saved: ISO 8601, UTC
    seconds: float | None = None  # time the reader spent on it
    model_version: str | None = None  # whose boxes were pre-drawn


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """One film on its way to a reader, with what the model saw and why it was chosen."""

    round: int
    image_id: str
    rank: int  # 1 is read first
    uncertainty: float  # in [0, 1], the acquisition score that put it there
    reason: str
    model_version: str
    width: int  # pixels
    height: int  # pixels
    detections: Detections = field(repr=False)
