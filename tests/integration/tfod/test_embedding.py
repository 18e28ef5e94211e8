"""The film as the network sees it: what is pooled, and models that were exported without it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.infer import SavedModelDetector
from lungal.detectors.tfod.network import embed, save_server
from lungal.params import DetectParams
from lungal.records import Image
from lungal.testing import make_film

pytestmark = pytest.mark.slow


@pytest.fixture
def tf() -> Any:
    compat.install()
    import tensorflow as tf

    return tf


def feature_map(side: int, *peaks: float) -> np.ndarray:
    """Return one film's (1, side, side, channels) map: a channel for each peak, 0 elsewhere."""
    features = np.zeros((1, side, side, len(peaks)), np.float32)
    features[0, side // 2, side - 1] = peaks
    return features


def test_it_is_the_peaks_of_the_fine_maps(tf: Any) -> None:
    maps = [feature_map(8, 2), feature_map(4, 3, 6), feature_map(2, 100), feature_map(1, 100)]
    found = embed({"feature_maps": [tf.constant(m) for m in maps]}, size=64).numpy()
    np.testing.assert_allclose(found, [[2 / 7, 3 / 7, 6 / 7]], rtol=1e-6)


def test_of_centernet_it_is_the_last_map(tf: Any) -> None:
    maps = [tf.constant(feature_map(16, 9, 9)), tf.constant(feature_map(16, 3, 4))]
    found = embed({"extracted_features": maps}, size=64).numpy()
    np.testing.assert_allclose(found, [[0.6, 0.8]], rtol=1e-6)


def test_a_film_that_excites_nothing_has_zeros(tf: Any) -> None:
    found = embed({"feature_maps": [tf.constant(feature_map(4, 0, 0))]}, size=64).numpy()
    np.testing.assert_array_equal(found, [[0, 0]])


def test_films_that_look_alike_lie_together(tiny_exported: Path) -> None:
    one, *others = (make_film(f"{number:08d}_000") for number in range(1, 8))
    pixels = one.pixels.copy()
    pixels[:20, :20] = np.minimum(pixels[:20, :20], 254) + 1
    nearly = Image("00000001_001", pixels)
    detector = SavedModelDetector(tiny_exported, DetectParams())
    a, b, *rest = (found.embedding for found in detector.detect([one, nearly, *others]))
    # How far apart films lie varies with the training.
    assert np.linalg.norm(a - b) < 0.5 * np.mean([np.linalg.norm(a - c) for c in rest])
    assert np.linalg.norm(a) == pytest.approx(1, abs=1e-5)


def test_a_model_exported_without_it_still_serves(
    tf: Any, tiny_exported: Path, tmp_path: Path
) -> None:
    old = tmp_path / "detector"
    shutil.copytree(tiny_exported, old, ignore=shutil.ignore_patterns("saved_model"))
    loaded = tf.saved_model.load(str(tiny_exported / "saved_model"))

    class Server(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loaded = loaded

        @tf.function(input_signature=[tf.TensorSpec([None, 96, 96, 3], tf.uint8, "input_tensor")])
        def __call__(self, input_tensor: Any) -> Any:
            output = self.loaded.signatures["serving_default"](input_tensor=input_tensor)
            return {name: value for name, value in output.items() if name != "embedding"}

    save_server(Server(), old / "saved_model")
    film = make_film("00000001_000")
    (before,) = SavedModelDetector(old, DetectParams()).detect([film])
    (now,) = SavedModelDetector(tiny_exported, DetectParams()).detect([film])
    assert before.embedding is None
    assert now.embedding is not None
    np.testing.assert_allclose(before.boxes, now.boxes, atol=0.05)
    np.testing.assert_allclose(before.scores, now.scores, atol=1e-5)
