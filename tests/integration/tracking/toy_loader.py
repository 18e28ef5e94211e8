"""A detector that MLflow can be told to load: sees one Mass, as large as the film."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from lungal.params import DetectParams
from lungal.records import Detections, Image, class_index


class ToyDetector:
    def __init__(self, folder: Path, params: DetectParams) -> None:
        self.score = float((folder / "score.txt").read_text())
        self.threshold = params.score_threshold

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        for image in images:
            found = Detections(
                image.image_id,
                np.array([[0, 0, image.width, image.height]], np.float32),
                np.array([self.score], np.float32),
                np.array([class_index("Mass")], np.int32),
            )
            yield found.above(self.threshold)
