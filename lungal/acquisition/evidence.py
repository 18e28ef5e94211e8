"""What may be known of a film before a radiologist has read it. Never its truth."""

from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from lungal.records import CLASSES, Detections


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """One film of the pool, as those see it who decide whether it is to be read."""

    detections: Detections  # calibrated, where the caller calibrates
    views: tuple[Detections, ...] = ()  # the same film seen differently; boxes in its own pixels
    committee: tuple[Detections, ...] = ()  # the same film seen by others
    findings: frozenset[str] | None = None
    """What its report names, as lungal spells it; empty is "No Finding", None is no report."""

    @property
    def image_id(self) -> str:
        """The film's name."""
        return self.detections.image_id

    def above(self, threshold: float) -> "Evidence":
        """Return the same without detections that score below a threshold, whoever sees them."""
        return Evidence(
            self.detections.above(threshold),
            tuple(view.above(threshold) for view in self.views),
            tuple(member.above(threshold) for member in self.committee),
            self.findings,
        )

    def of_class(self, label: int) -> "Evidence":
        """Return the same as if there were one finding alone, an index into CLASSES."""
        named = None if self.findings is None else self.findings & {CLASSES[label]}
        return Evidence(
            _kept(self.detections, self.detections.labels == label),
            tuple(_kept(view, view.labels == label) for view in self.views),
            tuple(_kept(member, member.labels == label) for member in self.committee),
            named,
        )


def _kept(detections: Detections, keep: NDArray[Any]) -> Detections:
    per_class = detections.class_scores
    return replace(
        detections,
        boxes=detections.boxes[keep],
        scores=detections.scores[keep],
        labels=detections.labels[keep],
        class_scores=None if per_class is None else per_class[keep],
    )
