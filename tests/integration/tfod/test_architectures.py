"""Each architecture, eagerly and at its smallest legal input: it learns a step, then it serves."""

from collections.abc import Iterator
from typing import Any, get_args

import numpy as np
import pytest

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.network import as_batch, build_network, make_server, read_output
from lungal.params import Architecture, ModelParams, TrainParams
from lungal.records import CLASSES

pytestmark = pytest.mark.slow

BEHIND_THE_LAST_FEATURE_MAP = ("top_", "post_", "logits", "stack_6/block_1/")
"""Layers of a backbone that the API builds and does not use."""

MASS = CLASSES.index("Mass")

EMBEDDING = {  # channels of the maps of stride 16 and finer
    "ssd_mobilenet_v2": 192,
    "ssd_mobilenet_v2_fpnlite": 2 * 44,  # 128 channels, narrowed once
    "ssd_resnet50_fpn": 2 * 256,
    "efficientdet_d0": 2 * 64,
    "efficientdet_d1": 2 * 88,
    "efficientdet_d2": 2 * 112,
    "centernet_mobilenet_v2_fpn": 24,
    "centernet_resnet50_v2": 64,
}
"""At the depth multiplier of `smallest`."""


def smallest(architecture: str) -> ModelParams:
    """Return the architecture at the smallest size that `ModelParams` allows."""
    for size in range(96, 513, 32):
        try:
            return ModelParams(architecture=architecture, input_size=size, depth_multiplier=0.35)
        except ValueError:
            continue
    raise AssertionError(f"{architecture} allows no size up to 512")


@pytest.fixture
def eager() -> Iterator[Any]:
    """Run without graphs: tracing one costs more than the few operations that are looked at."""
    compat.install()
    import tensorflow as tf

    tf.keras.backend.clear_session()
    tf.keras.utils.set_random_seed(0)  # an untrained CenterNet may see no box with an area
    tf.config.run_functions_eagerly(True)
    try:
        yield tf
    finally:
        tf.config.run_functions_eagerly(False)
        tf.keras.backend.clear_session()  # also puts the learning phase back


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_it_learns_a_step_and_serves(architecture: str, eager: Any) -> None:
    model = smallest(architecture)
    network = build_network(build_config(model, TrainParams()), training=True)
    random = np.random.default_rng(0)
    film = random.integers(0, 256, (model.input_size, model.input_size), np.uint8)
    losses, unreached = learn(network, film, eager)
    assert all(np.isfinite(value) for value in losses.values()), losses
    assert any("class" in name or "center" in name for name in losses)
    assert any("loc" in name or "scale" in name for name in losses)
    assert [name for name in unreached if not name.startswith(BEHIND_THE_LAST_FEATURE_MAP)] == []

    found = serve(network, film, model.input_size, eager)
    assert 0 < len(found) <= 100
    assert found.class_scores is None or found.class_scores.shape == (len(found), len(CLASSES))
    assert found.embedding.shape == (EMBEDDING[architecture],)
    assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("architecture", ["centernet_mobilenet_v2_fpn", "centernet_resnet50_v2"])
def test_centernet_sees_greys_from_minus_one_to_one(architecture: str, eager: Any) -> None:
    model = smallest(architecture)
    network = build_network(build_config(model, TrainParams()), training=True)
    for grey, seen in ((0, -1.0), (255, 1.0)):
        square = np.full((model.input_size, model.input_size), grey, np.uint8)
        images, _ = network.preprocess(eager.cast(as_batch([square]), eager.float32))
        assert images.numpy() == pytest.approx(seen)


def learn(network: Any, film: Any, tf: Any) -> tuple[dict[str, float], list[str]]:
    """Take one step of gradient descent; return the losses and the variables without gradient."""
    tf.keras.backend.set_learning_phase(1)
    network.provide_groundtruth(
        groundtruth_boxes_list=[tf.constant([[0.2, 0.2, 0.7, 0.7]])],
        groundtruth_classes_list=[tf.one_hot([MASS], len(CLASSES))],
        groundtruth_weights_list=[tf.constant([1.0])],
    )
    with tf.GradientTape() as tape:
        images, shapes = network.preprocess(tf.cast(as_batch([film]), tf.float32))
        losses = network.loss(network.predict(images, shapes), shapes)
        total = tf.add_n(list(losses.values()))
    variables = network.trainable_variables
    gradients = tape.gradient(total, variables)
    for variable, gradient in zip(variables, gradients, strict=True):
        if gradient is not None:
            assert np.isfinite(tf.convert_to_tensor(gradient).numpy()).all(), variable.name
            variable.assign_sub(1e-3 * tf.convert_to_tensor(gradient))
    unreached = [v.name for v, g in zip(variables, gradients, strict=True) if g is None]
    return {name: float(value) for name, value in losses.items()}, unreached


def serve(network: Any, film: Any, size: int, tf: Any) -> Any:
    """Return what the served function sees on a film; Detections checks its own ranges."""
    network._is_training = False  # as `train` does before it validates
    tf.keras.backend.set_learning_phase(0)
    output = make_server(network, size)(tf.constant(as_batch([film])))
    arrays = {name: value.numpy() for name, value in output.items()}
    found = read_output(arrays, 0, "film", size, size, threshold=0.0, limit=100)
    assert found.labels.min() >= 0
    assert found.labels.max() < len(CLASSES)
    assert found.boxes.min() >= 0
    assert found.boxes.max() <= size
    assert arrays["detection_scores"].min() >= 0
    assert arrays["detection_scores"].max() <= 1 + 1e-6
    return found
