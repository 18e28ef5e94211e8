"""The seam between a campaign and whatever learns to find boxes in it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lungal.params import ViewName
from lungal.records import Detections, GroundTruth

Look = Callable[[Sequence[str], ViewName | None], Iterator[Detections]]
"""Yields what a trained detector sees on the films of these image_ids, in this order, with an
embedding of each; or what it sees of them in another view, in the films' own pixels."""


class Learner(Protocol):
    """Trains a detector on labelled films. It has the films of a campaign, but not their truth.

    Its detections depend on films, truth and seed alone, and with the real trainer on chance: the
    OD API reads its records in no fixed order. So a training that was done is kept, not repeated.
    """

    @property
    def name(self) -> str:
        """What it is called in reports: `tfod`, `proxy`."""
        ...

    @property
    def key(self) -> str:
        """A hash of all that its detections depend on but films and arguments of `learn`."""
        ...

    def learn(
        self,
        labelled: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        *,
        seed: int,
        work: Path,
    ) -> Look:
        """Train with a fixed number of optimisation steps; the best checkpoint by `val` looks.

        What is returned may look until the next training.

        Args:
            labelled: the truth of the films to learn from, sorted by image_id.
            val: of the films that choose the checkpoint.
            seed: of the initial weights and of all chance in the training.
            work: a folder that outlives a kill; what is found there of the same training is used.

        Raises:
            DetectorError: if it cannot learn from these films.
        """
        ...
