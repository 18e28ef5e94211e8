"""A few films with one bright square each, as records: enough for a network to run on."""

import numpy as np
import pytest

from lungal.data.tfrecords import write_records
from lungal.detectors.tfod.train import TfodTrainer
from lungal.params import AugmentParams, ModelParams, TrainParams
from lungal.records import GroundTruth, Image

SIZE = 96


def film(number):
    """A 192 px film: noise, and a square whose size and place are its class's."""
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
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_records(folder / "train", map(film, range(16)), input_size=SIZE, shards=2)
    write_records(folder / "val", map(film, range(16, 24)), input_size=SIZE, shards=1)
    return folder


@pytest.fixture(scope="session")
def model():
    return ModelParams(architecture="ssd_mobilenet_v2", input_size=SIZE, depth_multiplier=0.35)


@pytest.fixture(scope="session")
def train():
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
def trained(records, model, train, tmp_path_factory):
    """A training that ran to its end: its folder, what on_step saw, what it returned."""
    work = tmp_path_factory.mktemp("work") / "training"
    seen = []
    best = TfodTrainer().fit(
        records / "train",
        records / "val",
        model,
        train,
        work=work,
        on_step=lambda step, metrics: seen.append((step, dict(metrics))),
    )
    return work, seen, best
