"""Stage detect: the model's detections to data/detections/{val,test,pool,train}.parquet.

Detections are kept, not scores: another strategy, budget or metric never runs the model again. One
process looks at all four parts: to start TensorFlow and load the model takes longer than to look
at a few hundred films. Each is a file of its own, so that what comes after runs again only if the
part that it reads has changed.

`train` is what the model sees on training films that were read already, for known cases and for
films that are read again. It has been trained on most of them, so these detections are surer and
better than on films that it has not seen: they judge neither the model nor the labels (`crossfit`
makes those that do).
"""

import logging
from collections.abc import Sequence

import pandas as pd

from lungal.data.detections import write_detections
from lungal.data.films import film_paths, read_films
from lungal.data.labels import films, pool, read_labels
from lungal.detectors.tfod.infer import load_detector
from lungal.params import Params
from pipelines.stage import PATHS, run, track

logger = logging.getLogger(__name__)


def detect(params: Params) -> None:
    """Let the model look at the labelled films of each split, and at the pool."""
    parts = choose(read_labels(PATHS.labels))
    stored = film_paths(PATHS.manifest)
    detector = load_detector(PATHS.model, params.detect)
    for part, names in parts.items():
        # Part by part, as the films of a batch change each other's last digits.
        found = detector.detect(read_films(stored, names))
        seen = track(found, len(names), f"detect {part}")
        write_detections(PATHS.detections / f"{part}.parquet", seen)
    logger.info("looked at %s", ", ".join(f"{len(names)} {part}" for part, names in parts.items()))


def choose(labels: pd.DataFrame) -> dict[str, list[str]]:
    """Return the image_ids that are examined for each part."""
    return {
        "val": films(labels, "val", "labelled"),
        "test": films(labels, "test", "labelled"),
        "pool": pool(labels),
        "train": films(labels, "train", "labelled") + films(labels, "train", "disputed"),
    }


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("detect", detect)


if __name__ == "__main__":
    raise SystemExit(main())
