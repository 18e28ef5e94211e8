"""A frozen MobileNetV2 as a source of features, for who learns in seconds on top of it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.network import as_batch
from lungal.detectors.tfod.weights import hash_initial, keras_backbone
from lungal.params import ModelParams

FINE, COARSE = "block_13_expand_relu", "out_relu"
"""Layers of stride 16 and 32: the last of their size, where an SSD's feature maps begin."""
BATCH = 16
SEED = 0
"""Of the weights that are not learnt."""

Maps = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Of a film: (S/16, S/16, D) and (S/32, S/32, E)."""


@dataclass(frozen=True, slots=True)
class Backbone:
    """A network that is never trained.

    Args:
        weights: `imagenet` (keras.applications fetches its file), the path of such a file without
            top, or `scratch`: random, always the same.
        size: side of the square that it sees, pixels; a multiple of 32.
    """

    weights: str
    size: int

    @property
    def key(self) -> str:
        """A hash of all that its features depend on: the weights, not where they lie.

        Raises:
            DetectorError: if the weights are missing or fit another network.
        """
        model = ModelParams(
            architecture="ssd_mobilenet_v2", depth_multiplier=1.0, initial_weights=self.weights
        )
        return f"{hash_initial(model)}-{self.size}"

    def look(self, squares: Iterable[NDArray[np.uint8]]) -> Iterator[Maps]:
        """Yield the feature maps of prepared films, (S, S) uint8, in order.

        Raises:
            DetectorError: if the weights are missing or fit another network.
        """
        network = self._build()
        batch: list[NDArray[np.uint8]] = []
        for square in squares:
            batch.append(square)
            if len(batch) == BATCH:
                yield from _run(network, batch)
                batch = []
        if batch:
            yield from _run(network, batch)

    def _build(self) -> Any:
        compat.install()
        import tensorflow as tf

        tf.keras.utils.set_random_seed(SEED)
        weights = None if self.weights == "scratch" else self.weights
        shape = (self.size, self.size, 3)
        model = keras_backbone("MobileNetV2", weights, input_shape=shape)
        maps = [model.get_layer(name).output for name in (FINE, COARSE)]
        return tf.function(tf.keras.Model(model.input, maps), reduce_retracing=True)


def _run(network: Any, squares: list[NDArray[np.uint8]]) -> Iterator[Maps]:
    scaled = as_batch(squares).astype(np.float32) / 127.5 - 1  # as keras.applications feeds it
    fine, coarse = (np.asarray(maps, np.float32) for maps in network(scaled, training=False))
    yield from zip(fine, coarse, strict=True)
