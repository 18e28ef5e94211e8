"""The seam between lungal and whatever finds boxes on films."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from lungal.params import ModelParams, TrainParams
from lungal.records import Detections, Image

OnStep = Callable[[int, Mapping[str, float]], None]
"""Called with the step and what was measured there. May raise, to end a training that is not worth
finishing: what it raises leaves `Trainer.fit` as it is."""


class Detector(Protocol):
    """Finds boxes. Pure: the same film gives the same detections."""

    classes: tuple[str, ...]

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        """Yield one Detections for each image, in order, boxes in that image's own pixels."""
        ...


class Trainer(Protocol):
    """Fits a detector in a working folder that outlives a kill."""

    def fit(
        self,
        train: Path,
        val: Path,
        model: ModelParams,
        params: TrainParams,
        *,
        work: Path,
        on_step: OnStep,
    ) -> dict[str, float]:
        """Train on folders of TFRecord shards; the best checkpoint by validation stays in `work`.

        Picks up where it was killed if `work` holds an unfinished training of the same parameters.
        Calls on_step with training losses and, after each validation, with `val/...` metrics.

        Returns:
            The `val/...` metrics of the best checkpoint, and `best_step`.

        Raises:
            DetectorError: if the records or the initial weights cannot be used.
        """
        ...

    def export(self, work: Path, out: Path) -> str:
        """Write the best checkpoint of `work` as a servable model into the new folder `out`.

        Returns:
            The SHA-256 of the weights.
        """
        ...
