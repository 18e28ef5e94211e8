"""Contradiction: whether a film's report and the detector say the same."""

from collections.abc import Mapping
from dataclasses import dataclass

from lungal.acquisition.aggregation import Aggregation, between
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.uncertainty import surest
from lungal.records import CLASSES, Detections, class_index

TEXT_PRECISION: Mapping[str, float] = {
    "Atelectasis": 0.887,
    "Cardiomegaly": 1.0,
    "Effusion": 0.966,
    "Infiltrate": 0.81,  # "Infiltration" there
    "Mass": 1.0,
    "Nodule": 0.824,
    "Pneumonia": 0.444,
    "Pneumothorax": 0.8,
}
"""How often NIH's text mining is right that a report names a finding: Wang et al. 2017,
"ChestX-ray8", their evaluation of the labels on OpenI's reports. Pneumonia rests on few reports."""

SHORTFALL = 0.2
"""How much less often the finding is on the film. A radiologist who re-read some 700 images of
two public sets found precisions "mostly between 10% and 30% lower" than documented
(Oakden-Rayner 2020, "Exploring large-scale public medical image datasets"); this is the middle."""

PRECISION: Mapping[str, float] = {
    name: round(precision - SHORTFALL, 3) for name, precision in TEXT_PRECISION.items()
}
"""The chance that a finding which NIH's label names is on the film."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """How strongly report and detector contradict each other: an Acquisition.

    With p the score of the surest detection of a class (0 without one) and w the label's
    precision for it, the contradiction about the class is w (1 - p) if the report names it and
    w p if it does not. The film's score is that of the class they contradict each other most
    about: one finding that was overlooked is enough. The label's no is weighed like its yes, as a
    class that readers disagree about makes both unsure.

    Of a film without report nothing can be said: it comes with those whose report and detector
    agree to the full, or, without detections as well, where `without_detections` says.
    """

    aggregation: Aggregation  # its threshold, policy and class weights; not its aggregate
    precision: Mapping[str, float]  # a number in [0, 1] for each of CLASSES

    def __call__(self, evidence: Evidence) -> float:
        """Return the film's score in [0, 1]; higher is read sooner."""
        found = self.aggregation.counted(evidence.detections)
        if evidence.findings is None:
            return between(0.0) if len(found) else self.aggregation.score([])
        return between(self._greatest(found, evidence.findings)[0])

    def explain(self, evidence: Evidence) -> str:
        """Say about which finding they contradict each other most, and who says what."""
        found = self.aggregation.counted(evidence.detections)
        if evidence.findings is None:
            return f"no report to compare with; surest: {surest(evidence.detections)}"
        worth, name = self._greatest(found, evidence.findings)
        says = "names" if name in evidence.findings else "does not name"
        seen = peaks(found)[class_index(name)]
        return f"contradiction {worth:.2f}: the report {says} {name}, detected with {seen:.2f}"

    def _greatest(self, found: Detections, findings: frozenset[str]) -> tuple[float, str]:
        weights = self.aggregation.weights or (1.0,) * len(CLASSES)
        worth = {
            name: weight * self.precision[name] * (1.0 - p if name in findings else p)
            for name, weight, p in zip(CLASSES, weights, peaks(found), strict=True)
        }
        name = max(worth, key=lambda name: worth[name])  # of equals the first of CLASSES
        return worth[name], name


def peaks(found: Detections) -> list[float]:
    """Return the score of the surest detection of each class, 0 where there is none."""
    highest = [0.0] * len(CLASSES)
    for label, score in zip(found.labels.tolist(), found.scores.tolist(), strict=True):
        highest[label] = max(highest[label], score)
    return highest
