"""What a detector starts from, and what is said when that cannot be."""

import hashlib
import os
import shutil
import tarfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.backbone import Backbone
from lungal.detectors.tfod.config import build_config
from lungal.detectors.tfod.network import build_network
from lungal.detectors.tfod.weight_files import fetch, find_checkpoint, unpack
from lungal.detectors.tfod.weights import hash_initial, load_initial
from lungal.errors import DetectorError
from lungal.params import ModelParams, TrainParams

H5 = "mobilenet_v2_1.0_224_no_top.h5"


def make_network(model: ModelParams) -> Any:
    """Return the architecture with its variables made, from scratch."""
    compat.install()
    import tensorflow as tf

    tf.keras.backend.clear_session()
    network = build_network(build_config(model, TrainParams()), training=True)
    blank = tf.zeros((1, model.input_size, model.input_size, 3))
    images, shapes = network.preprocess(blank)
    network.provide_groundtruth(
        groundtruth_boxes_list=[tf.zeros((0, 4))], groundtruth_classes_list=[tf.zeros((0, 8))]
    )
    network.predict(images, shapes)
    return network


def extractor(network: Any) -> dict[str, Any]:
    """Return the feature extractor's variables by name."""
    return {v.name: v.numpy() for v in network._feature_extractor.variables}


# fetching


def test_a_path_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"model\.initial_weights: .*gone\.h5 does not exist"):
        fetch(str(tmp_path / "gone.h5"), None)


def test_a_file_is_checked_and_stays_where_it_is(tmp_path: Path) -> None:
    path = tmp_path / "weights.h5"
    path.write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    assert fetch(str(path), right) == path
    assert fetch(str(path), right.upper()) == path
    with pytest.raises(DetectorError, match=f"has SHA-256 {right}, expected {'0' * 64}"):
        fetch(str(path), "0" * 64)


@dataclass
class Shelf:
    """A web server with one file."""

    url: str
    content: bytes
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    served = Shelf("", b"weights" * 1000)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            found = self.path == "/weights.h5"
            self.send_response(200 if found else 404)
            self.send_header("Content-Length", str(len(served.content) if found else 0))
            self.end_headers()
            if found:
                self.wfile.write(served.content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=partial(server.serve_forever, 0.05), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/weights.h5"
    yield served
    server.shutdown()
    server.server_close()


def test_a_url_is_downloaded_once(shelf: Shelf, tmp_path: Path) -> None:
    right = hashlib.sha256(shelf.content).hexdigest()
    first = fetch(shelf.url, right, tmp_path)
    assert first.name == "weights.h5"
    assert first.read_bytes() == shelf.content
    assert fetch(shelf.url, right, tmp_path) == first
    assert fetch(shelf.url, None, tmp_path) == first
    assert shelf.asked == ["/weights.h5"]
    with pytest.raises(DetectorError, match="expected 1111"):  # what is cached is checked too
        fetch(shelf.url, "1" * 64, tmp_path)


def test_a_download_with_another_checksum_is_not_kept(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=f"{shelf.url} has SHA-256 .*, expected 2222"):
        fetch(shelf.url, "2" * 64, tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_url_that_is_not_there_is_one_line(shelf: Shelf, tmp_path: Path) -> None:
    for url in (shelf.url.replace("weights", "gone"), "http://127.0.0.1:9/weights.h5"):
        with pytest.raises(DetectorError, match=f"model.initial_weights: {url}: ") as refused:
            fetch(url, None, tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
        assert len(str(refused.value).splitlines()) == 1


def test_the_cache_is_where_caches_are(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert fetch(shelf.url, None).is_relative_to(tmp_path / "lungal")


# loading


@pytest.mark.slow
def test_scratch_changes_nothing(tiny_model: ModelParams) -> None:
    network = make_network(tiny_model)
    before = extractor(network)
    assert load_initial(network, tiny_model) == "scratch"
    assert all(np.array_equal(before[name], value) for name, value in extractor(network).items())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["folder", "archive", "prefix"])
def test_a_zoo_detector_gives_its_feature_extractor(
    form: str, tiny_exported: Path, tiny_model: ModelParams, tmp_path: Path
) -> None:
    where = tiny_exported / "checkpoint"
    if form == "archive":
        where = tmp_path / "detector.tar.gz"
        with tarfile.open(where, "w:gz") as archive:
            archive.add(tiny_exported / "checkpoint", "detector/checkpoint")
    elif form == "prefix":
        where /= "ckpt-0"
    network = make_network(tiny_model)
    before = extractor(network)
    model = tiny_model.model_copy(update={"initial_weights": str(where)})
    assert load_initial(network, model) == where.name
    loaded = extractor(network)
    trained = in_checkpoint(tiny_exported / "checkpoint" / "ckpt-0")
    assert loaded
    for name, value in loaded.items():
        assert sum(np.array_equal(value, other) for other in trained.get(value.shape, [])), name
    changed = [name for name in loaded if not np.array_equal(loaded[name], before[name])]
    assert len(changed) > len(loaded) / 2


def in_checkpoint(prefix: Path) -> dict[tuple[int, ...], list[Any]]:
    """Return the feature extractor's arrays of a checkpoint, by shape: it has names of its own."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(str(prefix))
    arrays: dict[tuple[int, ...], list[Any]] = {}
    for key, shape in reader.get_variable_to_shape_map().items():
        if "_feature_extractor" in key:
            arrays.setdefault(tuple(shape), []).append(reader.get_tensor(key))
    return arrays


@pytest.mark.slow
def test_a_detector_of_another_width_does_not_fit(
    tiny_exported: Path, tiny_model: ModelParams
) -> None:
    other = {"depth_multiplier": 0.5, "initial_weights": str(tiny_exported / "checkpoint")}
    model = tiny_model.model_copy(update=other)
    with pytest.raises(DetectorError, match="does not fit") as refused:
        load_initial(make_network(model), model)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("kind", ["archive", "folder"])
def test_what_holds_no_checkpoint_is_one_line(kind: str, tmp_path: Path) -> None:
    where = tmp_path / ("detector.tar.gz" if kind == "archive" else "detector")
    if kind == "archive":
        where.write_bytes(b"no archive")
    else:
        where.mkdir()
    model = ModelParams(initial_weights=str(where))
    with pytest.raises(DetectorError, match=f"model.initial_weights: .*{where.name}"):
        load_initial(None, model)
    assert [path.name for path in tmp_path.iterdir()] == [where.name]


@pytest.mark.parametrize("damage", ["cut", "hole", "page"])
def test_a_damaged_archive_is_one_line(damage: str, tmp_path: Path) -> None:
    archive = tmp_path / "detector.tar.gz"
    (tmp_path / "noise").write_bytes(np.random.default_rng(0).bytes(60_000))
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "noise", "noise")
    whole = archive.read_bytes()
    half = len(whole) // 2
    archive.write_bytes(
        {
            "cut": whole[:half],
            "hole": whole[:half] + bytes(5000) + whole[half + 5000 :],
            "page": b"<html>moved</html>",
        }[damage]
    )
    with pytest.raises(DetectorError, match=r"detector\.tar\.gz is no whole archive: ") as refused:
        unpack(archive)
    assert len(str(refused.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []


@pytest.mark.parametrize("where", ["http://[bad", "https://:a/x.h5"])
def test_an_address_that_is_none_is_one_line(where: str, tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"model\.initial_weights: ") as refused:
        fetch(where, None, tmp_path)
    assert len(str(refused.value).splitlines()) == 1


def test_another_archive_of_the_same_name_is_unpacked_anew(tmp_path: Path) -> None:
    archive = tmp_path / "detector.tar.gz"
    for content in (b"one", b"two"):
        (tmp_path / "ckpt-1.index").write_bytes(content)
        with tarfile.open(archive, "w:gz") as packed:
            packed.add(tmp_path / "ckpt-1.index", "ckpt-1.index")
        assert (unpack(archive) / "ckpt-1.index").read_bytes() == content


def test_the_latest_checkpoint_is_that_of_the_highest_number(tmp_path: Path) -> None:
    for number in (1, 9, 10, 12):
        (tmp_path / f"ckpt-{number}.index").touch()
    assert find_checkpoint(tmp_path) == str(tmp_path / "ckpt-12")


# hashing


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    def written(folder: str, content: bytes) -> ModelParams:
        (tmp_path / folder).mkdir()
        for name in ("ckpt-1.index", "ckpt-1.data-00000-of-00001"):
            (tmp_path / folder / name).write_bytes(content)
        return ModelParams(initial_weights=str(tmp_path / folder))

    first, again, other = written("a", b"one"), written("b", b"one"), written("c", b"two")
    assert hash_initial(first) == hash_initial(again) != hash_initial(other)
    prefix = ModelParams(initial_weights=f"{first.initial_weights}/ckpt-1")
    assert hash_initial(prefix) == hash_initial(first)
    assert hash_initial(ModelParams()) == "scratch"
    with pytest.raises(DetectorError, match="gone does not exist"):
        hash_initial(ModelParams(initial_weights=str(tmp_path / "gone")))


def test_devices_are_set_up_before_weights_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    def set_up() -> None:
        raise InterruptedError

    monkeypatch.setattr("lungal.detectors.tfod.weights.make_strategy", set_up)
    with pytest.raises(InterruptedError):
        hash_initial(ModelParams(initial_weights="weights that nobody asked for before"))


@pytest.mark.nih
@pytest.mark.slow
def test_a_backbone_is_the_same_wherever_it_lies(imagenet: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copy(imagenet, tmp_path / "moved.h5"))
    models = [
        ModelParams(initial_weights=str(path), depth_multiplier=1.0) for path in (imagenet, moved)
    ]
    first, again = map(hash_initial, models)
    assert first == again
    assert Backbone(str(moved), 96).key == Backbone(str(imagenet), 96).key != first


@pytest.fixture(scope="module")
def imagenet() -> Path:
    """Return keras.applications' MobileNetV2 file, which lies beside the real films."""
    root = os.environ.get("LUNGAL_NIH_ROOT")
    path = Path(root).parent / "weights" / H5 if root else None
    if path is None or not path.exists():
        reason = f"LUNGAL_NIH_ROOT/../weights/{H5} is not there"
        if os.environ.get("LUNGAL_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


@pytest.mark.nih
@pytest.mark.slow
@pytest.mark.parametrize(
    "architecture", ["ssd_mobilenet_v2", "ssd_mobilenet_v2_fpnlite", "centernet_mobilenet_v2_fpn"]
)
def test_the_backbone_sees_what_keras_s_own_sees(architecture: str, imagenet: Path) -> None:
    model = ModelParams(architecture=architecture, input_size=96, initial_weights=str(imagenet))
    network = make_network(model)
    assert load_initial(network, model) == H5
    import tensorflow as tf

    theirs = tf.keras.applications.MobileNetV2(
        include_top=False, weights=str(imagenet), input_shape=(96, 96, 3)
    )
    ours = by_shape(network._feature_extractor)
    kernels = [v for v in theirs.variables if "kernel" in v.name]
    assert len(kernels) == 52
    assert [v.name for v in theirs.variables if not is_among(v.numpy(), ours)] == []


def by_shape(module: Any) -> dict[tuple[int, ...], list[Any]]:
    arrays: dict[tuple[int, ...], list[Any]] = {}
    for variable in module.variables:
        arrays.setdefault(tuple(variable.shape), []).append(variable.numpy())
    return arrays


def is_among(value: Any, arrays: dict[tuple[int, ...], list[Any]]) -> bool:
    return any(np.array_equal(value, other) for other in arrays.get(value.shape, []))


@pytest.mark.slow
def test_a_backbone_of_blue_first_sees_the_same_in_red_first(tmp_path: Path) -> None:
    compat.install()
    import tensorflow as tf

    keras = tf.keras.applications
    theirs = keras.ResNet50(include_top=False, weights=None, input_shape=(None, None, 3))
    theirs.save_weights(tmp_path / "resnet50.h5")
    first = theirs.get_layer("conv1_conv").kernel.numpy()
    name, path = "ssd_resnet50_fpn", str(tmp_path / "resnet50.h5")
    model = ModelParams(architecture=name, input_size=160, initial_weights=path)
    network = make_network(model)
    assert load_initial(network, model) == "resnet50.h5"
    ours = network._feature_extractor.classification_backbone.get_layer("conv1_conv").kernel
    colours = np.random.default_rng(0).integers(0, 256, (1, 160, 160, 3)).astype(np.float32)
    expected = tf.nn.conv2d(keras.resnet50.preprocess_input(colours.copy()), first, 2, "SAME")
    found = tf.nn.conv2d(network.preprocess(tf.constant(colours))[0], ours, 2, "SAME")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-2)
    assert np.abs(expected).max() > 10


@pytest.mark.nih
@pytest.mark.slow
def test_weights_of_another_width_do_not_fit(imagenet: Path, tiny_model: ModelParams) -> None:
    model = tiny_model.model_copy(update={"initial_weights": str(imagenet)})
    with pytest.raises(DetectorError, match="does not fit") as refused:
        load_initial(make_network(model), model)
    assert H5 in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1
