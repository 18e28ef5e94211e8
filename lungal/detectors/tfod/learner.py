"""The OD API's trainer as a `Learner` of simulated campaigns."""

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungal.data.digests import hash_json
from lungal.data.films import read_films
from lungal.data.images import read_pixels
from lungal.data.tfrecords import shuffled, write_records
from lungal.data.threads import map_in_order
from lungal.detectors.tfod.infer import Prepared, ServedDetector, prepare_film
from lungal.detectors.tfod.train import TfodTrainer
from lungal.detectors.tfod.weights import hash_initial
from lungal.detectors.views import VIEWS, detect_views
from lungal.params import DetectParams, ModelParams, TrainParams, ViewName
from lungal.records import CLASSES, Detections, GroundTruth, Image

KEPT_FILMS = 4096
"""So many prepared films stay in memory: 100 kB each at 320 px."""


@dataclass(frozen=True, slots=True)
class TfodLearner:
    """Trains as the stage `train` does, and looks without the export, which takes long.

    Args:
        films: image_id to the stored film, of all films of the campaign.
        model: the detector's shape and initial weights.
        train: of each training; its seed gives way to that of the campaign, and no training stops
            early, whatever its patience.
        detect: which detections are kept; it looks once, whatever `fused` says.
        detail: of the films to train on, see `lungal.data.tfrecords.stored_side`.
    """

    films: Mapping[str, Path]
    model: ModelParams
    train: TrainParams
    detect: DetectParams
    detail: float

    name = "tfod"

    @property
    def key(self) -> str:
        """See `Learner.key`."""
        where = {"initial_weights", "initial_weights_sha256"}
        could_stop_early = self.train.steps // self.train.validate_every > self.train.patience
        parts: list[object] = [
            self.name,
            hash_initial(self.model),
            self.model.model_dump(mode="json", exclude=where),
            self.train.model_dump(mode="json", exclude={"seed"}),
            self.detect.model_dump(mode="json", exclude={"fused"}),
            self.detail,
        ]
        if could_stop_early:  # as such trainings once did
            parts.append("all steps")
        return hash_json(parts)

    def learn(
        self,
        labelled: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        *,
        seed: int,
        work: Path,
    ) -> "Look":
        """See `lungal.simulation.learner.Learner.learn`.

        Raises:
            SourceError: if there is no film to learn from.
        """
        train, held_out = work / "train", work / "val"
        for folder, truths, detail in ((train, labelled, self.detail), (held_out, val, 1.0)):
            if not folder.exists():
                self._write(folder, truths, detail)
        # Every training takes as many steps: one that stopped early would be judged on fewer.
        params = self.train.model_copy(update={"seed": seed, "patience": self.train.steps})
        trainer = _trainer()
        trainer.fit(train, held_out, self.model, params, work=work / "training", on_step=_ignore)
        server = trainer.serve(work / "training")
        detector = ServedDetector(server, CLASSES, self.model.input_size, self.detect)
        return Look(detector, self.films)

    def _write(self, folder: Path, truths: Sequence[GroundTruth], detail: float) -> None:
        in_order = shuffled(truths)
        images = read_films(self.films, (truth.image_id for truth in in_order))
        pairs = zip(images, in_order, strict=True)
        write_records(folder, pairs, input_size=self.model.input_size, shards=1, detail=detail)


@dataclass(frozen=True, slots=True)
class Look:
    """A trained detector looking at films by name, until the next one is trained."""

    detector: ServedDetector
    films: Mapping[str, Path]

    def __call__(
        self, image_ids: Sequence[str], view: ViewName | None = None
    ) -> Iterator[Detections]:
        """Yield what it sees of each film, or of a view of it, in order."""
        if view is None:
            yield from self.detector.detect_prepared(map_in_order(self._prepare, image_ids))
            return
        images = read_films(self.films, image_ids)
        for (seen,) in detect_views(self.detector, images, [VIEWS[view]]):
            yield seen

    def _prepare(self, image_id: str) -> Prepared:
        return _read_prepared(image_id, self.films[image_id], self.detector.input_size)


@functools.cache
def _trainer() -> TfodTrainer:
    """Return the trainer of this process: it keeps what TensorFlow has built and traced."""
    return TfodTrainer(keep=True)


@functools.lru_cache(maxsize=KEPT_FILMS)
def _read_prepared(image_id: str, path: Path, size: int) -> Prepared:
    # All trainings of a campaign look at the same films: decoding would take longer than looking.
    return prepare_film(size, Image(image_id, read_pixels(path)))


def _ignore(_step: int, _metrics: Mapping[str, float]) -> None:
    """Nobody is told of single steps."""
