"""A few films with one bright square each, and a tiny detector trained on them, once per session.

What they are good for is that a real network runs on them in seconds.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lungal.data.tfrecords import write_records
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import AugmentParams, ModelParams, TrainParams
from lungal.records import CLASSES, GroundTruth, Image

SIZE = 96
TINY = ModelParams(architecture="ssd_mobilenet_v2", input_size=SIZE, depth_multiplier=0.35)


@dataclass(frozen=True)
class Trained:
    """A training that ran to its end: its folder, what on_step saw, what `fit` returned."""

    work: Path
    seen: list[tuple[int, Mapping[str, float]]]
    best: Mapping[str, float]


def film(number: int) -> tuple[Image, GroundTruth]:
    """Return a 192 px film: noise, and a square whose size and place are its class's."""
    random = np.random.default_rng(number)
    label = number % 8
    pixels = random.integers(30, 60, (192, 192), np.uint8)
    x, y = 20 + 10 * (label % 4), 20 + 40 * (label // 4)
    side = 40 + 5 * label
    pixels[y : y + side, x : x + side] = 220
    boxes = np.array([[x, y, x + side, y + side]], np.float32)
    image = Image(f"{number:08d}_000", pixels)
    return image, GroundTruth(image.image_id, boxes, np.array([label], np.int32))


@pytest.fixture(scope="session")
def tiny_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the records `train`, in two shards, and `val`."""
    folder = tmp_path_factory.mktemp("records")
    write_records(folder / "train", map(film, range(16)), input_size=SIZE, shards=2)
    write_records(folder / "val", map(film, range(16, 24)), input_size=SIZE, shards=1)
    return folder


@pytest.fixture(scope="session")
def tiny_model() -> ModelParams:
    return TINY


@pytest.fixture(scope="session")
def tiny_train() -> TrainParams:
    return TrainParams(
        steps=30,
        batch_size=4,
        learning_rate=0.01,
        warmup_steps=5,
        batch_norm_decay=0.8,
        validate_every=10,
        augment=AugmentParams(crop=False),
    )


@pytest.fixture(scope="session")
def tiny_trained(
    tiny_records: Path,
    tiny_model: ModelParams,
    tiny_train: TrainParams,
    tmp_path_factory: pytest.TempPathFactory,
) -> Trained:
    work = tmp_path_factory.mktemp("work") / "training"
    seen: list[tuple[int, Mapping[str, float]]] = []
    best = TfodTrainer().fit(
        tiny_records / "train",
        tiny_records / "val",
        tiny_model,
        tiny_train,
        work=work,
        on_step=lambda step, metrics: seen.append((step, dict(metrics))),
    )
    return Trained(work, seen, best)


@pytest.fixture(scope="session")
def tiny_exported(tiny_trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the model folder of that training, as the stage `train` leaves it."""
    out = tmp_path_factory.mktemp("model") / "detector"
    weights = TfodTrainer().export(tiny_trained.work, out)
    run = {"model_version": f"r1-{weights[:8]}", "classes": list(CLASSES), "input_size": SIZE}
    (out / "run.json").write_text(json.dumps(run))
    return out
