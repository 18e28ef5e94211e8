"""Stage detect@{val,test,pool,train}: the model's detections to data/detections/<films>.parquet.

Detections are kept, not scores: another strategy, budget or metric never runs the model again.

`train` is what the model sees on training films that were read already, for known cases and for
films that are read again. It has been trained on most of them, so these detections are surer and
better than on films that it has not seen: they judge neither the model nor the labels (`crossfit`
makes those that do).
"""

import argparse
import logging
from collections.abc import Sequence
from functools import partial

import pandas as pd

from lungal.data.detections import write_detections
from lungal.data.films import film_paths, read_films
from lungal.data.labels import films, pool, read_labels
from lungal.params import Params
from pipelines.stage import PATHS, run, track

logger = logging.getLogger(__name__)


def detect(which: str, params: Params) -> None:
    """Let the model look at the labelled films of a split, or at the pool."""
    names = _choose(read_labels(PATHS.labels), which)
    out = PATHS.detections / f"{which}.parquet"
    if not names:
        logger.info("detect %s: no film to look at", which)
        write_detections(out, [])
        return
    from lungal.detectors.tfod.infer import SavedModelDetector

    detector = SavedModelDetector(PATHS.model, params.detect)
    found = detector.detect(read_films(film_paths(PATHS.manifest), names))
    write_detections(out, track(found, len(names), f"detect {which}"))


def _choose(labels: pd.DataFrame, which: str) -> list[str]:
    if which == "pool":
        return pool(labels)
    if which == "train":
        return films(labels, "train", "labelled") + films(labels, "train", "disputed")
    return films(labels, "val" if which == "val" else "test", "labelled")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the stage for the films named by the argument; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m pipelines.detect", description=__doc__)
    parser.add_argument("films", choices=["val", "test", "pool", "train"])
    return run("detect", partial(detect, parser.parse_args(argv).films))


if __name__ == "__main__":
    raise SystemExit(main())
