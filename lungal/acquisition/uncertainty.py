"""Uncertainty of a film, made of the uncertainty of its detections."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lungal.records import CLASSES, Detections

Aggregate = Literal["max", "mean", "sum", "min"]

AGGREGATES: Mapping[Aggregate, Callable[[Sequence[float]], float]] = {
    "max": max,
    "mean": lambda doubts: math.fsum(doubts) / len(doubts),
    "sum": math.fsum,
    "min": min,
}
"""fsum is exact, so that the order of the detections does not matter."""

MARGIN = 1e-6
"""What keeps a film with detections strictly between films without any, first or last."""


@dataclass(frozen=True, slots=True)
class LeastConfidence:
    """Least confidence, 1 - p of each detection, aggregated to the film.

    Least confidence: Lewis & Gale 1994, "A sequential algorithm for training text classifiers";
    Settles 2009, "Active learning literature survey", section 3.1. Aggregation over the boxes of
    an image: Brust, Käding & Denzler 2019, "Active learning for deep object detection", who take
    the sum, average and maximum of the margin between the two best classes.

    The score lies in [0, 1]. A sum s of doubts can exceed 1 and is reported as s / (1 + s), which
    ranks films as s does. A film without a detection at or above the threshold is scored 1 if it
    is to come first, 0 if last; every other film lies strictly between.
    """

    aggregate: Aggregate
    score_threshold: float
    """Detections below are noise, not doubt."""
    without_detections: Literal["first", "last"] = "last"

    def __call__(self, detections: Detections) -> float:
        """Return the film's uncertainty in [0, 1]; higher is read sooner."""
        doubts = self._doubts(detections)
        if not doubts:
            return 1.0 if self.without_detections == "first" else 0.0
        total = AGGREGATES[self.aggregate](doubts)
        score = total / (1 + total) if self.aggregate == "sum" else total
        return min(max(score, MARGIN), 1 - MARGIN)

    def explain(self, detections: Detections) -> str:
        """Say how many detections there were, their aggregate, and the surest of them."""
        doubts = self._doubts(detections)
        if not doubts:
            return f"no detection from score {self.score_threshold:g}: {self.without_detections}"
        total = AGGREGATES[self.aggregate](doubts)
        boxes = "1 detection" if len(doubts) == 1 else f"{len(doubts)} detections"
        surest = int(detections.scores.argmax())
        name, score = CLASSES[detections.labels[surest]], detections.scores[surest]
        return f"{self.aggregate} of 1 - p over {boxes} = {total:.2f}; surest: {name} {score:.2f}"

    def _doubts(self, detections: Detections) -> list[float]:
        kept = detections.above(self.score_threshold).scores
        return [1.0 - float(score) for score in kept]
