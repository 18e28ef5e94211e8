"""From doubts about boxes to the score of their film."""

import heapq
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lungal.records import Detections

Aggregate = Literal["max", "mean", "sum", "min", "top3"]


def _mean(doubts: Sequence[float]) -> float:
    return math.fsum(doubts) / len(doubts)


AGGREGATES: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "max": max,
    "mean": _mean,
    "sum": math.fsum,
    "min": min,
    "top3": lambda doubts: _mean(heapq.nlargest(3, doubts)),
}
"""fsum is exact, so that the order of the detections does not matter."""

MARGIN = 1e-6
"""What keeps a film with detections strictly between films without any, first or last."""


@dataclass(frozen=True, slots=True)
class Doubt:
    """How little is known of one box."""

    value: float  # in [0, 1]
    label: int  # index into CLASSES


@dataclass(frozen=True, slots=True)
class Aggregation:
    """A film's score from the doubts about its boxes.

    The score lies in [0, 1]. A sum s of doubts can exceed 1 and is reported as s / (1 + s), which
    ranks films as s does. A film without a detection at or above the threshold is scored 1 if it
    is to come first, 0 if last; every other film lies strictly between.

    Aggregation over the boxes of an image: Brust, Käding & Denzler 2019, "Active learning for deep
    object detection", who take the sum, average and maximum. The mean of the top three stands
    between average, which many sure boxes drown, and maximum, which one odd box decides.
    """

    aggregate: Aggregate
    score_threshold: float
    """Detections below are noise, not doubt."""
    without_detections: Literal["first", "last"] = "last"
    weights: tuple[float, ...] | None = None
    """Of the classes, in (0, 1]: how much a doubt about each counts; None: alike."""

    def total(self, doubts: Sequence[Doubt]) -> float:
        """Return the aggregate of at least one doubt: what the score is made of, and is told."""
        weights = self.weights
        if weights is None:
            values = [doubt.value for doubt in doubts]
        else:
            values = [doubt.value * weights[doubt.label] for doubt in doubts]
        return AGGREGATES[self.aggregate](values)

    def score(self, doubts: Sequence[Doubt]) -> float:
        """Return the film's score in [0, 1]; higher is read sooner."""
        if not doubts:
            return 1.0 if self.without_detections == "first" else 0.0
        total = self.total(doubts)
        return between(total / (1 + total) if self.aggregate == "sum" else total)

    def counted(self, detections: Detections) -> Detections:
        """Return the detections that count."""
        return detections.above(self.score_threshold)


def between(score: float) -> float:
    """Return a score strictly between those of films without detections, first or last."""
    return min(max(score, MARGIN), 1 - MARGIN)
