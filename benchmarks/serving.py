"""Films through an exported model: lungal's batches, against one film at a time as in the API."""

from pathlib import Path

import numpy as np

from benchmarks.timing import Ratio, compare
from lungal.params import DetectParams
from lungal.records import Image

FILMS = 64


def run(model: Path = Path("models/detector")) -> Ratio:
    """Time the model of this project on noise films of 1024 px."""
    from lungal.detectors.tfod.infer import SavedModelDetector

    random = np.random.default_rng(0)
    films = [
        Image(f"{number}", random.integers(0, 255, (1024, 1024), np.uint8))
        for number in range(FILMS)
    ]
    batched = SavedModelDetector(model, DetectParams(batch_size=16))
    single = SavedModelDetector(model, DetectParams(batch_size=1))
    return compare(
        lambda: list(batched.detect(films)), lambda: list(single.detect(films)), rounds=3
    )
