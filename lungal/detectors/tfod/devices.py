"""What the machine has decides how training is spread and in which precision it computes."""

import functools
import json
import os
from typing import Any, Literal

from lungal.detectors.tfod import compat
from lungal.errors import ParamsError

BFLOAT16_SINCE = (8, 0)
"""NVIDIA compute capability from which bfloat16 runs on tensor cores (Ampere)."""


@functools.cache  # a process may join a cluster only once
def make_strategy() -> Any:
    """Return the `tf.distribute.Strategy` for this machine; call it before any other TF work.

    TF_CONFIG names a cluster: multi-worker. Several GPUs (or several logical CPU devices and no
    GPU): mirrored. Otherwise the default strategy on one device.
    """
    compat.install()
    import tensorflow as tf

    if "cluster" in json.loads(os.environ.get("TF_CONFIG") or "{}"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def is_chief(strategy: Any) -> bool:
    """Whether this process writes what all workers share."""
    return bool(strategy.extended.should_checkpoint)


def wait_for_all(strategy: Any) -> None:
    """Return when every worker has come this far."""
    import tensorflow as tf

    one = strategy.run(lambda: tf.constant(1.0))
    strategy.reduce(tf.distribute.ReduceOp.SUM, one, axis=None)


def count_workers(strategy: Any) -> int:
    """Return how many processes train together."""
    resolver = strategy.cluster_resolver
    spec = resolver.cluster_spec().as_dict() if resolver else {}
    return max(1, sum(len(addresses) for addresses in spec.values()))


def check_shares(strategy: Any, *, batch_size: int, shards: int) -> None:
    """Make sure that every replica gets as many films a step, and every worker some records.

    Args:
        strategy: how the training is spread.
        batch_size: films a step, of all replicas together.
        shards: files of training records.

    Raises:
        ParamsError: if they cannot be shared out.
    """
    replicas, workers = strategy.num_replicas_in_sync, count_workers(strategy)
    if batch_size % replicas:
        raise ParamsError(
            f"train.batch_size {batch_size} cannot be shared by the {replicas} devices that train: "
            f"it must be a multiple of {replicas}"
        )
    if shards < workers:
        raise ParamsError(
            f"{shards} files of training records cannot be shared by the {workers} workers that "
            f"train: records.shards must be {workers} or more"
        )


def use_bfloat16(mixed_precision: Literal["auto", "on", "off"]) -> bool:
    """Whether to compute in bfloat16; auto: on GPUs that have it, all of them."""
    compat.install()
    import tensorflow as tf

    if mixed_precision != "auto":
        return mixed_precision == "on"
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(details) and all(
        detail.get("compute_capability", (0, 0)) >= BFLOAT16_SINCE for detail in details
    )
