"""Uncertainty of a film, made of the uncertainty of its boxes."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungal.acquisition.aggregation import Aggregation, Doubt
from lungal.acquisition.evidence import Evidence
from lungal.records import CLASSES, Detections

Measure = Callable[[Evidence], list[Doubt]]
"""The doubts about a film, of which low scores have been removed."""


@dataclass(frozen=True, slots=True)
class BoxUncertainty:
    """A measure of doubt about each box, aggregated to the film: an Acquisition."""

    measure: Measure
    name: str  # of the measure, for the reader
    aggregation: Aggregation

    def __call__(self, evidence: Evidence) -> float:
        """Return the film's uncertainty in [0, 1]; higher is read sooner."""
        return self.aggregation.score(self._doubts(evidence))

    def explain(self, evidence: Evidence) -> str:
        """Say how many boxes there were, the aggregate of their doubts, and the surest of them."""
        doubts, how = self._doubts(evidence), self.aggregation
        if not doubts:
            return f"no detection from score {how.score_threshold:g}: {how.without_detections}"
        boxes = "1 detection" if len(doubts) == 1 else f"{len(doubts)} detections"
        name = self.name if how.weights is None else f"weighted {self.name}"
        total = f"{how.aggregate} of {name} over {boxes} = {how.total(doubts):.2f}"
        return f"{total}; surest: {surest(evidence.detections)}"

    def _doubts(self, evidence: Evidence) -> list[Doubt]:
        return self.measure(evidence.above(self.aggregation.score_threshold))


def surest(detections: Detections) -> str:
    """Return finding and score of the surest detection, whatever its score."""
    if not len(detections):
        return "none"
    best = int(detections.scores.argmax())
    return f"{CLASSES[detections.labels[best]]} {detections.scores[best]:.2f}"


def least_confidence(evidence: Evidence) -> list[Doubt]:
    """Return 1 - p of each detection.

    Lewis & Gale 1994, "A sequential algorithm for training text classifiers"; Settles 2009,
    "Active learning literature survey", section 3.1.
    """
    found = evidence.detections
    return _doubts(found, [1.0 - float(score) for score in found.scores])


def entropy(evidence: Evidence) -> list[Doubt]:
    """Return the entropy in bits of the class of each detection that is most in doubt.

    Each class of the detector is a question of its own, answered with yes by p, so that a box has
    an entropy h(p) = -p log2 p - (1 - p) log2 (1 - p) for each class; the largest counts, as a
    doubt about its class. Where the scores of the other classes are not known, the box's own
    counts. Binary entropy of a box: Yang, Huang & Crowley 2024, "Plug and Play Active Learning for
    Object Detection" (PPAL), who ask for the box's own class alone.
    """
    found = evidence.detections
    if found.class_scores is None or not len(found):
        return _doubts(found, binary_entropy(found.scores).tolist())
    bits = binary_entropy(found.class_scores)
    most = bits.argmax(axis=1)
    return [Doubt(float(row[label]), int(label)) for row, label in zip(bits, most, strict=True)]


def margin(evidence: Evidence) -> list[Doubt]:
    """Return 1 - (p1 - p2) of each detection, of its two likeliest classes.

    Scheffer, Decomain & Wrobel 2001, "Active hidden Markov models for information extraction";
    for detections Brust, Käding & Denzler 2019 ("1-vs-2"), who square it. Where the scores of the
    other classes are not known, p2 is 0 and it is least confidence.
    """
    found = evidence.detections
    if found.class_scores is None:
        return least_confidence(evidence)
    best = -np.sort(-found.class_scores.astype(np.float64), axis=1)[:, :2]
    return _doubts(found, (1.0 - (best[:, 0] - best[:, 1])).tolist())


def binary_entropy(p: ArrayLike) -> NDArray[np.float64]:
    """Return -p log2 p - (1 - p) log2 (1 - p), which is 0 for 0 and 1, of any shape."""
    yes = np.asarray(p, np.float64)
    no = 1.0 - yes
    bits = -sum(x * np.log2(x, out=np.zeros_like(x), where=x > 0) for x in (yes, no))
    return np.asarray(bits)


def _doubts(found: Detections, values: list[float]) -> list[Doubt]:
    return [Doubt(value, int(label)) for value, label in zip(values, found.labels, strict=True)]
