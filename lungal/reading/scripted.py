"""A scripted reader: answers from known boxes, as well or as badly as it is told to.

It stands in for radiologists in the demonstration, the tests and simulated campaigns.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungal.boxes import area, clip
from lungal.reading.comparison import compare
from lungal.records import CLASSES, LabelledBox, Verdict

LOOK_SECONDS, BOX_SECONDS, GLANCE_SECONDS = 9.0, 6.0, 1.5
"""For a film, for each box that is drawn, and for each drawn box that is kept or deleted."""

CLOSE = 0.75
"""IoU with the truth from which a pre-drawn box looks right."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader says of one film."""

    verdict: Verdict
    boxes: tuple[LabelledBox, ...]
    seconds: float


@dataclass(frozen=True)
class Reader:
    """Knows the truth of some films and reports it with faults that depend on seed and film alone.

    A pre-drawn box that looks right is taken over as it is, and never overlooked; all others are
    deleted, and what is there is drawn anew.

    Args:
        truth: image_id to boxes in pixels of the film; () is no finding. A film that is not in it
            is skipped, never guessed.
        miss_rate: share of the boxes that are overlooked.
        jitter: standard deviation of each edge, pixels.
        seed: of the faults.
        false_positive_rate: boxes on a film that are not there, on average.
        wrong_class_rate: share of the boxes that are called by another name.
        accept_rate: share of the pre-drawn boxes that look right which are taken over; the others
            are drawn anew.
        pace: how long this reader takes, as a multiple of the usual.
    """

    truth: Mapping[str, Sequence[LabelledBox]]
    miss_rate: float = 0.05
    jitter: float = 4.0
    seed: int = 0
    false_positive_rate: float = 0.0
    wrong_class_rate: float = 0.0
    accept_rate: float = 0.9
    pace: float = 1.0

    def read(
        self, image_id: str, width: int, height: int, shown: Sequence[LabelledBox] = ()
    ) -> Reading:
        """Read a film.

        Args:
            image_id: the film's.
            width: pixels.
            height: pixels.
            shown: the boxes that are drawn on it already.
        """
        random = np.random.default_rng(_entropy(self.seed, image_id))
        pace = self.pace * float(random.lognormal(0.0, 0.35))
        if image_id not in self.truth:
            return Reading("skipped", (), round(LOOK_SECONDS * pace, 1))
        truth = self.truth[image_id]
        kept = self._keep(truth, shown, image_id)
        drawn = [
            *self._see(truth, set(kept), width, height, random),
            *self._imagine(width, height, random),
        ]
        boxes = (*kept.values(), *drawn)
        work = LOOK_SECONDS + BOX_SECONDS * len(drawn) + GLANCE_SECONDS * len(shown)
        return Reading("finding" if boxes else "no_finding", boxes, round(work * pace, 1))

    def _keep(
        self, truth: Sequence[LabelledBox], shown: Sequence[LabelledBox], image_id: str
    ) -> dict[int, LabelledBox]:
        # The chances have a source of their own: boxes on a film change none of the other faults.
        random = np.random.default_rng([*_entropy(self.seed, image_id), 1])
        liked = random.random(len(truth)) < self.accept_rate
        pairs = compare(shown, truth, CLOSE).pairs
        return {there: shown[mine] for mine, there in sorted(pairs) if liked[there]}

    def _see(
        self,
        truth: Sequence[LabelledBox],
        kept: set[int],
        width: int,
        height: int,
        random: np.random.Generator,
    ) -> Iterator[LabelledBox]:
        for number, box in enumerate(truth):
            overlooked = random.random() < self.miss_rate
            drawn = np.array([box.xyxy]) + random.normal(0.0, 1.0, 4) * self.jitter
            mistaken, other = random.random() < self.wrong_class_rate, _another(box.label, random)
            inside = clip(drawn.astype(np.float32), width, height)
            if area(inside)[0] < 1:  # a slip of the hand would turn a tiny box inside out
                inside = clip(np.array([box.xyxy], np.float32), width, height)
            if not overlooked and number not in kept:
                yield rounded_box(other if mistaken else box.label, inside[0])

    def _imagine(
        self, width: int, height: int, random: np.random.Generator
    ) -> Iterator[LabelledBox]:
        side = np.array([width, height, width, height])
        for _ in range(random.poisson(self.false_positive_rate)):
            label = CLASSES[random.integers(len(CLASSES))]
            corner, extent = random.uniform(0.05, 0.65, 2), random.uniform(0.1, 0.3, 2)
            yield rounded_box(label, np.concatenate([corner, corner + extent]) * side)


def rounded_box(label: str, xyxy: Any) -> LabelledBox:
    """Return a box whose edges, pixels, are rounded to what a person can mean."""
    x1, y1, x2, y2 = (round(float(edge), 2) for edge in xyxy)
    return LabelledBox(label, x1, y1, x2, y2)


def _another(label: str, random: np.random.Generator) -> str:
    others = [name for name in CLASSES if name != label]
    return others[int(random.integers(len(others)))]


def _entropy(seed: int, image_id: str) -> list[int]:
    return [seed, *hashlib.sha256(image_id.encode()).digest()]
