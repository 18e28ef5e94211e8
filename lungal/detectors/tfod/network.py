"""An OD API model as a module: images in, detections out. Validated, exported and served as one."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, area, clip, from_normalised
from lungal.detectors.tfod import compat
from lungal.detectors.tfod.voting import vote
from lungal.records import CLASSES, Detections

EMBEDDING_STRIDE = 16
"""The embedding is made of feature maps whose cells span so many pixels of the input at most."""


def build_network(config: Any, *, training: bool) -> Any:
    """Return the OD API's DetectionModel for a pipeline config, its variables not yet made."""
    compat.install()
    from object_detection.builders import model_builder

    return model_builder.build(config.model, is_training=training)


def serve_mode(network: Any) -> None:
    """Let what is traced next see the statistics of the training, not those of its own batch.

    Training leaves the opposite behind for the whole process: a model exported after it without
    this would judge a film by its company.
    """
    import tensorflow as tf

    network._is_training = False  # noqa: SLF001  as the API's own eval loop does
    tf.keras.backend.set_learning_phase(0)


def make_variables(network: Any, size: int) -> None:
    """Give a network its variables, in serving mode (`serve_mode`).

    What TensorFlow traces of a function that makes variables it traces twice, so that this is
    done outside of any.

    Args:
        network: of `build_network`.
        size: side of the square that it sees, pixels.
    """
    import tensorflow as tf

    serve_mode(network)
    network.predict(*network.preprocess(tf.zeros([1, size, size, 3])))


def make_server(network: Any, size: int) -> Any:
    """Return a `tf.Module` with one tf.function: uint8 (N, size, size, 3) to the API's outputs.

    Its output names are those of every exported OD API model: detection_boxes (N, M, 4) float32
    normalised yxyx, detection_scores (N, M) float32, detection_classes (N, M) float32 counted
    from 1, and more, among it `embedding` (N, E) float32, which the API's exporter has not
    (`embed`). Boxes are voted on (`voting.vote`). Unlike the API's own `image_tensor` it takes
    whole batches.
    """
    compat.install()
    import tensorflow as tf
    from object_detection import exporter_lib_v2
    from object_detection.utils import ops

    class Server(exporter_lib_v2.DetectionInferenceModule):  # type: ignore[misc]
        @tf.function(  # type: ignore[untyped-decorator]
            input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8, "input_tensor")],
            autograph=False,
        )
        def __call__(self, input_tensor: Any) -> Any:
            serve_mode(self._model)  # when this is traced, be it in the midst of a training
            images, shapes = self._model.preprocess(tf.cast(input_tensor, tf.float32))
            predictions = self._model.predict(images, shapes)
            # As the API's training does; its exporter leaves it out, so that decoding boxes fails.
            predictions = ops.bfloat16_to_float32_nested(predictions)
            output = vote(self._model.postprocess(predictions, shapes), len(CLASSES))
            output = {name: tf.cast(value, tf.float32) for name, value in output.items()}
            classes = output["detection_classes"] + 1
            return output | {"detection_classes": classes, "embedding": embed(predictions, size)}

    return Server(network)


def embed(predictions: Any, size: int) -> Any:
    """Return films as the network sees them: (N, E) float32, each of length 1.

    The largest value of each channel of the feature maps of stride 16 and finer: the first two
    levels of a pyramid (FPN, BiFPN), the first map of `ssd_mobilenet_v2`, and CenterNet's only map,
    of stride 4, which is what its heads see. These levels tell the findings of films apart better
    than the coarser ones, and largest values do so better than means, in which a small finding
    drowns (docs/detector.md). The length is 1 because the gain of a film's contrast is no finding.

    Args:
        predictions: what the network's `predict` returned for N films.
        size: side of the square that the network sees, pixels.
    """
    import tensorflow as tf

    maps = predictions.get("feature_maps") or predictions["extracted_features"][-1:]
    fine = [features for features in maps if size / features.shape[1] <= EMBEDDING_STRIDE]
    largest = [tf.reduce_max(tf.cast(features, tf.float32), [1, 2]) for features in fine]
    return tf.math.l2_normalize(tf.concat(largest, axis=1), axis=1)


def save_server(server: Any, folder: Path) -> None:
    """Write a server as a SavedModel whose default signature is its only function."""
    import tensorflow as tf

    function = server.__call__.get_concrete_function()
    tf.saved_model.save(server, str(folder), signatures=function)


def as_batch(squares: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Stack prepared (S, S) grey squares to (N, S, S, 3): the backbones were born for colour."""
    return np.repeat(np.stack(squares)[..., None], 3, axis=3)


def read_output(
    output: Any, row: int, image_id: str, width: int, height: int, threshold: float, limit: int
) -> Detections:
    """Turn one row of a server's output into Detections in the film's own pixels.

    Args:
        output: of numpy arrays, as `make_server` names them. Models that other versions exported
            have no `embedding`.
        row: which image of the batch.
        image_id: its film.
        width: of the film, pixels.
        height: of the film, pixels.
        threshold: detections with a lower score are dropped, as are boxes beyond the film.
        limit: at most so many detections are kept.
    """
    scores = np.asarray(output["detection_scores"][row], np.float32)
    side = max(width, height)  # `prepare` pads to a square of this side
    boxes = clip(from_normalised(output["detection_boxes"][row], side, side), width, height)
    order = np.argsort(-scores, kind="stable")
    # A box in the padding has nothing left of it.
    keep = order[(scores[order] >= threshold) & (area(boxes[order]) > 0)][:limit]
    labels = np.asarray(output["detection_classes"][row][keep], np.int32) - 1
    sure = np.clip(scores[keep], 0, 1)
    per_class = _class_scores(output, row, keep)
    return Detections(image_id, boxes[keep], sure, labels, per_class, _embedding(output, row))


def _embedding(output: Any, row: int) -> FloatArray | None:
    if "embedding" not in output:
        return None
    return np.array(output["embedding"][row], np.float32)


def _class_scores(output: Any, row: int, keep: NDArray[np.intp]) -> FloatArray | None:
    if "detection_multiclass_scores" not in output:
        return None
    scores = np.asarray(output["detection_multiclass_scores"][row][keep], np.float32)
    # The SSD family puts a background column first.
    return scores[:, -len(CLASSES) :].reshape(-1, len(CLASSES))
