"""What may be known of a film before a radiologist has read it. Never its truth."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lungal.records import CLASSES, Detections


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What a strategy may know of one film of the pool."""

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
        """Return the same as if there were one finding alone, an index into CLASSES.

        A box of it is then in doubt for its score as this finding, not for what else it may be.
        """
        named = None if self.findings is None else self.findings & {CLASSES[label]}
        return Evidence(
            _only(self.detections, label),
            tuple(_only(view, label) for view in self.views),
            tuple(_only(member, label) for member in self.committee),
            named,
        )


def _only(detections: Detections, label: int) -> Detections:
    kept = detections.take(detections.labels == label)
    if kept.class_scores is None:
        return kept
    return replace(kept, class_scores=_without_others(kept.class_scores, label))


def _without_others(class_scores: NDArray[np.float32], label: int) -> NDArray[np.float32]:
    alone = np.zeros_like(class_scores)
    alone[:, label] = class_scores[:, label]
    return alone
