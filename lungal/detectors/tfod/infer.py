"""A trained model looking at films, exported or not, once or in several ways."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lungal.data.images import Pixels, prepare
from lungal.data.model_run import ServedModel
from lungal.data.threads import map_in_order
from lungal.detectors.fused import FusedDetector
from lungal.detectors.tfod import compat
from lungal.detectors.tfod.architectures import MAX_DETECTIONS
from lungal.detectors.tfod.network import as_batch, read_output
from lungal.detectors.views import VIEWS
from lungal.errors import DetectorError
from lungal.params import DetectParams
from lungal.records import Detections, Image


class Prepared(NamedTuple):
    """A film as the network sees it."""

    image_id: str
    width: int  # of the film, pixels
    height: int  # of the film, pixels
    square: Pixels  # (S, S) uint8, of `lungal.data.images.prepare`


def prepare_film(size: int, image: Image) -> Prepared:
    """Return a film as a network of this input size sees it."""
    return Prepared(image.image_id, image.width, image.height, prepare(image.pixels, size))


class ServedDetector:
    """A `Detector` on a function that `network.make_server` made.

    Args:
        serve: called with `input_tensor`.
        classes: what it finds.
        input_size: side of the square that it takes, pixels.
        params: batch size, and which detections are kept.
    """

    def __init__(
        self, serve: Any, classes: tuple[str, ...], input_size: int, params: DetectParams
    ) -> None:
        self.params, self.classes, self.input_size = params, classes, input_size
        self._serve = serve

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        """See `Detector.detect`. Films of any size; each is prepared as training prepared it."""
        return self.detect_prepared(map_in_order(partial(prepare_film, self.input_size), images))

    def detect_prepared(self, films: Iterable[Prepared]) -> Iterator[Detections]:
        """Yield what is on films that were prepared for its `input_size`, in their order."""
        batch: list[Prepared] = []
        for film in films:
            batch.append(film)
            if len(batch) == self.params.batch_size:
                yield from self._look(batch)
                batch = []
        if batch:
            yield from self._look(batch)

    def _look(self, films: list[Prepared]) -> Iterator[Detections]:
        import tensorflow as tf

        output = self._serve(input_tensor=tf.constant(as_batch([film.square for film in films])))
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in output.items()}
        for row, film in enumerate(films):
            shape = (film.image_id, film.width, film.height)
            keep = (self.params.score_threshold, self.params.max_detections)
            yield read_output(arrays, row, *shape, *keep)


class SavedModelDetector(ServedDetector):
    """A `Detector` on a model folder written by `TfodTrainer.export` and the train stage.

    It looks once; `load_detector` returns one that looks in all the ways of `DetectParams.fused`.

    Args:
        folder: with `saved_model/` and `run.json`.
        params: batch size, and which detections are kept.

    Raises:
        DetectorError: if the folder holds no such model.
    """

    def __init__(self, folder: Path, params: DetectParams) -> None:
        model = ServedModel.read(folder)
        self.model_version = model.model_version
        compat.install()
        import tensorflow as tf

        try:
            self._model = tf.saved_model.load(str(folder / "saved_model"))
        except OSError as error:
            raise DetectorError(f"{folder}: {str(error).splitlines()[0]}") from None
        serve = self._model.signatures["serving_default"]
        super().__init__(serve, model.classes, model.input_size, params)


class FusedModelDetector(FusedDetector):
    """A model folder's `Detector` that looks at each film as it is and in `params.fused` views.

    Args:
        folder: see `SavedModelDetector`.
        params: batch size, views, and which detections are kept.

    Raises:
        DetectorError: if the folder holds no such model.
    """

    def __init__(self, folder: Path, params: DetectParams) -> None:
        everything = {"score_threshold": 0.0, "max_detections": MAX_DETECTIONS}
        once = SavedModelDetector(folder, params.model_copy(update=everything))
        views = [VIEWS[name] for name in params.fused]
        super().__init__(once, views, threshold=params.score_threshold, limit=params.max_detections)
        self.model_version, self.input_size = once.model_version, once.input_size


def load_detector(folder: Path, params: DetectParams) -> SavedModelDetector | FusedModelDetector:
    """Return the detector of a model folder, which looks as often as `params.fused` says.

    Raises:
        DetectorError: if the folder holds no such model.
    """
    return (FusedModelDetector if params.fused else SavedModelDetector)(folder, params)
