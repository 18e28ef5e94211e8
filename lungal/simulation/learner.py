"""The seam between a campaign and whatever learns to find boxes in it."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lungal.records import Detections, GroundTruth

Look = Callable[[Sequence[str]], Iterator[Detections]]
"""Yields what a trained detector sees on the films of these image_ids, in this order, with an
embedding of each."""

OnStep = Callable[[int, int], None]
"""Called with (done, total)."""


class Learner(Protocol):
    """Trains a detector on labelled films. It has the films of a campaign, but not their truth.

    Pure: the same films, truth and seed give the same detections.
    """

    name: str
    """What it is called in reports: `tfod`, `proxy`."""

    def learn(
        self,
        labelled: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        *,
        seed: int,
        work: Path,
        on_step: OnStep,
    ) -> Look:
        """Train with a fixed number of optimisation steps; the best checkpoint by `val` looks.

        Args:
            labelled: the truth of the films to learn from, sorted by image_id.
            val: of the films that choose the checkpoint.
            seed: of the initial weights and of all chance in the training.
            work: a folder that outlives a kill; what is found there of the same training is used.
            on_step: told of the progress.

        Raises:
            DetectorError: if it cannot learn from these films.
        """
        ...
