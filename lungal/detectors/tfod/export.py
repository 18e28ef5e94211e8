"""A finished training as a servable model folder, laid out as the OD API's exporter does."""

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from lungal.data.files import whole_folder
from lungal.data.tfrecords import write_label_map
from lungal.detectors.tfod import compat
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.network import build_network, make_server, make_variables, save_server
from lungal.detectors.tfod.progress import Progress
from lungal.errors import DetectorError


class Restored(NamedTuple):
    """A finished training in memory, as TensorFlow's and the OD API's objects."""

    config: Any
    network: Any
    server: Any  # `make_server`
    checkpoint: Any
    input_size: int


def export_model(work: Path, out: Path) -> str:
    """Write `pipeline.config`, `label_map.pbtxt`, `checkpoint/` and `saved_model/` into `out`.

    Returns:
        The SHA-256 of the weights: the same weights always have the same one.

    Raises:
        DetectorError: if `work` holds no validated training.
    """
    best = restore_best(work)
    compat.install()
    from object_detection.utils import config_util

    with whole_folder(out) as part:
        save_server(best.server, part / "saved_model")
        best.checkpoint.write(str(part / "checkpoint" / "ckpt-0"))
        config_util.save_pipeline_config(best.config, str(part))
        write_label_map(part / "label_map.pbtxt")
    return _hash_weights(best.network)


def restore_best(work: Path) -> Restored:
    """Return the best checkpoint of a training as a network that serves.

    Raises:
        DetectorError: if `work` holds no validated training.
    """
    progress = Progress.load(work)
    config = build_config(progress.model, progress.params)
    network = build_network(config, training=False)
    make_variables(network, progress.model.input_size)
    server = make_server(network, progress.model.input_size)
    checkpoint, status = restore_weights(network, work)
    status.expect_partial().assert_existing_objects_matched()
    return Restored(config, network, server, checkpoint, progress.model.input_size)


def restore_weights(network: Any, work: Path) -> tuple[Any, Any]:
    """Give a network the weights of the best checkpoint of a training.

    Returns:
        TensorFlow's checkpoint of the network, and the status of loading it.

    Raises:
        DetectorError: if `work` holds no validated training.
    """
    import tensorflow as tf

    best = work / "best" / f"ckpt-{Progress.load(work).best_step}"
    if not best.with_suffix(".index").exists():
        raise DetectorError(f"{work} holds no validated training to export")
    checkpoint = tf.train.Checkpoint(model=network)
    return checkpoint, checkpoint.restore(str(best))


def _hash_weights(network: Any) -> str:
    digest = hashlib.sha256()
    for variable in network.variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()
