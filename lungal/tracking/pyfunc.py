"""The detector as MLflow serves it. MLflow runs this file itself: it is the model's code.

Input: a data frame with the column `image`: bytes of a PNG or JPEG (base64 over HTTP).
Output: one row per detection, with the columns of `COLUMNS`; a film without detections has none.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc.model import PythonModel

from lungal.data.images import decode
from lungal.params import DetectParams
from lungal.records import CLASSES, Detections, Image

COLUMNS = ("image", "label", "score", "x1", "y1", "x2", "y2")
"""image: the position in the input, from 0; score in [0, 1]; x, y: pixels of that film."""


Loader = Callable[[Path, DetectParams], Any]
"""Makes a lungal Detector of an exported folder."""


def load_by_name(dotted: str) -> Loader:
    """Return what `package.module:name` names."""
    module, _, name = dotted.partition(":")
    loader: Loader = getattr(import_module(module), name)
    return loader


class LungalDetector(PythonModel):
    """Wraps any lungal Detector; the model's config says which (`loader`), and how it looks.

    By name, because the tracking layer must not know the detectors.
    """

    def load_context(self, context: Any) -> None:
        """Remember where the detector is; it is loaded at the first film."""
        self._folder = Path(context.artifacts["detector"])
        self._config = dict(context.model_config)
        self._detector: Any = None

    def predict(
        self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Detect on each film of the column `image`.

        Raises:
            ImageError: naming the row, if its bytes are no whole PNG or JPEG.
        """
        del context, params
        if self._detector is None:
            look = DetectParams.model_validate(self._config["detect"])
            self._detector = load_by_name(self._config["loader"])(self._folder, look)
        films = (
            Image(str(row), decode(bytes(encoded), f"image {row}"))
            for row, encoded in enumerate(model_input["image"])
        )
        rows = [row for found in self._detector.detect(films) for row in _rows(found)]
        frame = pd.DataFrame(rows, columns=list(COLUMNS))
        return frame.astype({"image": "int64"} | dict.fromkeys(COLUMNS[2:], "float64"))


def _rows(found: Detections) -> list[tuple[Any, ...]]:
    return [
        (int(found.image_id), CLASSES[label], float(score), *map(float, box))
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    ]


mlflow.models.set_model(LungalDetector())
