"""What a detector starts from: nothing, an ImageNet backbone, or a whole detector."""

import functools
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungal.detectors.tfod.devices import make_strategy
from lungal.detectors.tfod.weight_files import fetch, files_of, find_checkpoint, unpack
from lungal.errors import DetectorError
from lungal.params import ModelParams

Weights = NDArray[np.float32]
KERNEL_AND_BIAS, BATCH_NORM = 2, 4
"""How many arrays such layers hold; a batch normalisation's are gamma, beta, mean and variance."""

KERAS_SUFFIXES = {".h5", ".hdf5"}
KERAS_BACKBONES = {
    "ssd_mobilenet_v2": "MobileNetV2",
    "ssd_mobilenet_v2_fpnlite": "MobileNetV2",
    "ssd_resnet50_fpn": "ResNet50",
    "efficientdet_d0": "EfficientNetB0",
    "efficientdet_d1": "EfficientNetB1",
    "efficientdet_d2": "EfficientNetB2",
    "centernet_mobilenet_v2_fpn": "MobileNetV2",
    "centernet_resnet50_v2": "ResNet50V2",
}
BLUE_FIRST = {"ResNet50"}
"""Backbones that keras.applications trained on blue, green, red; the API feeds red, green, blue."""


def load_initial(network: Any, model: ModelParams) -> str:
    """Give a built OD API model its initial weights, in place; return what they are, for a log.

    `model.initial_weights` is `scratch`; `imagenet` (keras.applications fetches its own file); a
    path or URL of a keras.applications `.h5` without top; or a path or URL of a TF2 model-zoo
    detector (folder, `.tar.gz` or checkpoint prefix), of which the feature extractor is taken.

    Raises:
        DetectorError: if the file is missing, has another SHA-256 or fits another network.
    """
    if model.initial_weights == "scratch":
        return "scratch"
    if model.initial_weights == "imagenet":
        _copy_backbone(network, model, "imagenet")
        return "imagenet"
    path = fetch(model.initial_weights, model.initial_weights_sha256)
    if path.suffix in KERAS_SUFFIXES:
        _copy_backbone(network, model, str(path))
    else:
        _restore_detector(network, path)
    return path.name


def hash_initial(model: ModelParams) -> str:
    """Return a hash of the initial weights themselves, wherever they lie; `scratch` for none.

    So that `imagenet` here and the path of the same file elsewhere are the same.

    Raises:
        DetectorError: if the file is missing, has another SHA-256 or fits another network.
    """
    shape = (model.architecture, model.depth_multiplier)
    return _hash_initial(model.initial_weights, model.initial_weights_sha256, *shape)


@functools.cache
def _hash_initial(where: str, sha256: str | None, architecture: str, depth: float) -> str:
    if where == "scratch":
        return where
    make_strategy()  # before any other op: of several workers none could make it afterwards
    digest = hashlib.sha256()
    path = None if where == "imagenet" else fetch(where, sha256)
    if path is None or path.suffix in KERAS_SUFFIXES:
        for layer in _weighted(_keras_source(architecture, depth, str(path or where))):
            for values in layer.get_weights():
                digest.update(values.tobytes())
    else:
        for file in files_of(path):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def keras_backbone(name: str, weights: str | None, **shape: Any) -> Any:
    """Return a network of keras.applications without its top.

    Args:
        name: of the function there.
        weights: `imagenet`, a path, or None for random ones.
        shape: its other arguments.

    Raises:
        DetectorError: if the weights are not there, cannot be fetched, or fit another network.
    """
    import tensorflow as tf

    try:
        return getattr(tf.keras.applications, name)(include_top=False, weights=weights, **shape)
    except Exception as error:  # noqa: BLE001  Keras raises a bare one where there is no network
        line = (str(error).strip() or repr(error)).splitlines()[0]
        raise DetectorError(
            f"initial_weights {weights!r} does not fit {name} (or cannot be fetched; a path to "
            f"the .h5 works offline): {line}"
        ) from None


def _copy_backbone(network: Any, model: ModelParams, weights: str) -> None:
    source = _keras_source(model.architecture, model.depth_multiplier, weights)
    # The API's backbones are keras.applications' own, layer for layer, cut at the last feature map:
    # pairing layers in order and comparing every shape is exact, whatever the layers are called.
    pairs = list(zip(_weighted(source), _weighted(_backbone(network)), strict=False))
    values = _without_lost_biases(pairs)
    if KERAS_BACKBONES[model.architecture] in BLUE_FIRST:
        kernel, *rest = values[0]
        values[0] = [kernel[:, :, ::-1], *rest]
    for (theirs, ours), weights_of_layer in zip(pairs, values, strict=True):
        if [w.shape for w in weights_of_layer] != [tuple(w.shape) for w in ours.weights]:
            raise DetectorError(
                f"model.initial_weights: layer {theirs.name} of {weights} does not fit layer "
                f"{ours.name} of {model.architecture} at depth {model.depth_multiplier}"
            )
    for (_, ours), weights_of_layer in zip(pairs, values, strict=True):
        ours.set_weights(weights_of_layer)


def _keras_source(architecture: str, depth: float, weights: str) -> Any:
    shape: dict[str, Any] = {"input_shape": (None, None, 3)}
    if "mobilenet" in architecture:
        shape["alpha"] = depth
    return keras_backbone(KERAS_BACKBONES[architecture], weights, **shape)


def _without_lost_biases(pairs: list[tuple[Any, Any]]) -> list[list[Weights]]:
    """Return each source layer's weights as its partner holds them.

    The API's ResNets have no bias where a batch normalisation follows; keras.applications' do.
    Taking it off the moving mean of that normalisation gives the same network.
    """
    values: list[list[Weights]] = []
    bias: Weights | None = None
    for theirs, ours in pairs:
        weights = theirs.get_weights()
        if len(weights) == KERNEL_AND_BIAS and len(ours.weights) == 1:
            *weights, bias = weights
        elif bias is not None and len(weights) == BATCH_NORM:
            gamma, beta, mean, variance = weights
            weights, bias = [gamma, beta, mean - bias, variance], None
        values.append(weights)
    return values


def _backbone(network: Any) -> Any:
    extractor = network._feature_extractor  # noqa: SLF001  the API has no public way to it
    if hasattr(extractor, "classification_backbone"):
        return extractor.classification_backbone
    return extractor._base_model  # noqa: SLF001


def _weighted(model: Any) -> list[Any]:
    import tensorflow as tf

    leaves = (layer for layer in model._flatten_layers(include_self=False, recursive=True))  # noqa: SLF001
    scaling = tf.keras.layers.Normalization
    return [
        leaf
        for leaf in leaves
        if leaf.weights
        and not isinstance(leaf, scaling)
        and not list(leaf._flatten_layers(include_self=False, recursive=True))  # noqa: SLF001
    ]


def _restore_detector(network: Any, path: Path) -> None:
    import tensorflow as tf

    checkpoint = find_checkpoint(unpack(path))
    try:
        parts = network.restore_from_objects("detection")
        status = tf.train.Checkpoint(**parts).restore(checkpoint)
        status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        line = str(error).strip().splitlines()[0]
        raise DetectorError(f"model.initial_weights: {path} does not fit: {line}") from None
