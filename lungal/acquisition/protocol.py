"""The seam between lungal and whatever says how much a film is worth reading."""

from typing import Protocol

from lungal.records import Detections


class Acquisition(Protocol):
    """Scores one film. Pure: the same detections give the same score, whatever was scored before.

    Choosing a batch is another matter: see `selection`.
    """

    def __call__(self, detections: Detections) -> float:
        """Return a finite number in [0, 1]; higher is read sooner. No detections is legal input."""
        ...

    def explain(self, detections: Detections) -> str:
        """Say in plain words, for the reader, what the score of this film was made of."""
        ...
