"""The values that travel between modules: films, boxes, detections, readings, tasks."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, IntArray, as_boxes
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
Verdict = Literal["finding", "no_finding", "unreadable", "skipped", "deleted", "refused"]
"""What a reader said of a whole film. `no_finding` is a label: zero boxes, trains as background.

`deleted`: the reading was taken back on the server. `refused`: it could not be trusted, and the
comment says why; what the reader had said before still stands.
"""
Role = Literal["label", "control", "reread", "adjudicate", "import"]
"""Why a film was read: for its label, as a known case, because its boxes look wrong, because two
readers disagreed, or elsewhere, before its boxes came in from a file."""
BoxOrigin = Literal["accepted", "moved", "drawn"]
"""What a reader did to a box: kept the model's, changed the model's, or drew it."""
Confidence = Literal["low", "medium", "high"]

OnProgress = Callable[[int, int], None]
"""Called with (done, total) while something long is at work."""
"""How sure a reader is of a box."""


def class_index(name: str) -> int:
    """Return the index of a finding in CLASSES.

    Raises:
        UnknownNameError: if it is not one of the eight.
    """
    try:
        return CLASSES.index(name)
    except ValueError:
        raise UnknownNameError("finding", name, CLASSES) from None


class Boxed(Protocol):
    """Anything with a finding's name and four edges: LabelledBox, SeenBox."""

    @property
    def label(self) -> str: ...

    @property
    def xyxy(self) -> tuple[float, float, float, float]: ...


def to_arrays(boxes: Iterable[Boxed]) -> tuple[FloatArray, IntArray]:
    """Return (N, 4) float32 boxes, pixels, xyxy, and their (N,) int32 labels, index into CLASSES.

    Raises:
        UnknownNameError: if a label is not one of the eight.
    """
    listed = list(boxes)
    labels = np.array([class_index(box.label) for box in listed], np.int32)
    return as_boxes([box.xyxy for box in listed]), labels


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
    """One finding drawn on a film: pixels, xyxy. The rest is known of a reader's boxes only."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    origin: BoxOrigin | None = None
    confidence: Confidence | None = None
    comment: str | None = None

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)


Truth = Mapping[str, tuple[LabelledBox, ...]]
"""image_id to boxes in pixels of the stored film; () is known to hold no finding."""


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
        return cls(image_id, *to_arrays(boxes))


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """What a detector sees on one film, most confident first."""

    image_id: str
    boxes: FloatArray  # (N, 4) float32, pixels of the film, xyxy
    scores: FloatArray  # (N,) float32 in [0, 1]
    labels: IntArray  # (N,) int32, index into the detector's classes
    class_scores: FloatArray | None = None  # (N, C) float32, no background column
    embedding: FloatArray | None = None  # (E,) float32, the film as the detector sees it

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def nothing(cls, image_id: str) -> "Detections":
        """Return those of a film on which the detector saw nothing."""
        return cls(
            image_id, np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int32)
        )

    def take(self, index: NDArray[np.bool_] | NDArray[np.intp]) -> "Detections":
        """Return some of the detections; the embedding, which is the film's, stays.

        Args:
            index: (N,) which to keep, or the numbers of those to keep in their new order.
        """
        per_class = None if self.class_scores is None else self.class_scores[index]
        return Detections(
            self.image_id,
            self.boxes[index],
            self.scores[index],
            self.labels[index],
            per_class,
            self.embedding,
        )

    def above(self, threshold: float) -> "Detections":
        """Return the detections with score >= threshold."""
        return self.take(self.scores >= threshold)

    def pre_drawn(self, threshold: float, most: int) -> "Detections":
        """Return those that a reader is shown: the `most` surest of score >= threshold.

        The surest comes first; of equal scores the one that came first.
        """
        sure = self.above(threshold)
        return sure.take(np.argsort(-sure.scores, kind="stable")[:most])


@dataclass(frozen=True, slots=True)
class SeenBox:
    """One detection as it was, or would have been, pre-drawn: pixels, xyxy; score in [0, 1]."""

    label: str
    x1: float
    y1: float
    x2: float
    y2: float
    score: float

    @property
    def xyxy(self) -> tuple[float, float, float, float]:
        return (self.x1, self.y1, self.x2, self.y2)


@dataclass(frozen=True, slots=True)
class Annotation:
    """What became known of one reading of one film: a line of data/annotations.jsonl.

    source_id names the event for good: two lines with the same source_id are the same event. An
    edit or a deletion made later is a new line with another source_id and a later `at`. All
    events of a reading share its `thread`.
    """

    source_id: str  # "<thread>@<what tells this event from the others>"
    image_id: str
    round: int
    reader: str  # a pseudonym
    verdict: Verdict
    boxes: tuple[LabelledBox, ...]
    at: str  # when the reading was last saved: ISO 8601, UTC
    seconds: float | None = None  # time the reader spent on it
    model_version: str | None = None  # whose boxes were pre-drawn, or would have been
    role: Role = "label"
    blind: bool = False  # no boxes were pre-drawn
    deleted: tuple[LabelledBox, ...] = ()  # pre-drawn boxes that the reader removed
    seen: tuple[SeenBox, ...] | None = None  # what the model saw, shown or not; None: not known
    comment: str | None = None

    @property
    def thread(self) -> str:
        """What the events of one reading have in common: first saved, edited, deleted."""
        return self.source_id.partition("@")[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """One film that readers were asked for: a line of data/queue.jsonl.

    What pull needs to know of a task and a reader must not: what it was for. `seen` is what the
    model saw; a blind task does not show it.
    """

    round: int
    image_id: str
    rank: int  # 1 is read first
    uncertainty: float  # in [0, 1]
    reason: str
    model_version: str
    role: Role
    blind: bool
    readers: int  # how many are to read it
    seen: tuple[SeenBox, ...]
    at: str  # when it was queued: ISO 8601, UTC


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
    role: Role = "label"
    blind: bool = False  # show no boxes
    readers: int = 1  # how many are to read it
    prior: str | None = None  # image_id of an earlier film of the same patient
    readings: tuple[tuple[LabelledBox, ...], ...] = field(default=(), repr=False)
    """Of an adjudication: the boxes of each reading that disagrees, without names."""
