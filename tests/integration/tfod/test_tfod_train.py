import numpy as np
import pytest

from lungal.data.images import encode_png, prepare, read_pixels
from lungal.data.tfrecords import read_records
from lungal.detectors.tfod.infer import (
    FusedModelDetector,
    SavedModelDetector,
    load_detector,
)
from lungal.detectors.tfod.progress import Progress
from lungal.detectors.tfod.train import TfodTrainer
from lungal.errors import DetectorError
from lungal.params import DetectParams, TrainParams
from lungal.records import Image
from lungal.testing import DetectorContract

pytestmark = pytest.mark.slow


def test_training_reports_losses_and_validations_and_learns(tiny_trained):
    seen, best = tiny_trained.seen, tiny_trained.best
    losses = {step: m["train/total_loss"] for step, m in seen if "train/total_loss" in m}
    validations = {step: m for step, m in seen if "val/macro_ap40" in m}
    assert sorted(losses) == [10, 20, 30]
    assert sorted(validations) == [10, 20, 30]
    assert losses[30] < losses[10]
    assert all(name in best for name in ("val/weighted_ap", "val/behind_leader"))
    assert best["best_step"] == latest_not_surely_worse(validations)


def latest_not_surely_worse(validations):
    leader = max(validations, key=lambda step: (validations[step]["val/weighted_ap"], -step))
    return max(
        step
        for step, metrics in validations.items()
        if step == leader or (step > leader and metrics["val/behind_leader"] <= 0)
    )


def test_a_finished_training_is_not_run_again(tiny_trained, tiny_records, tiny_model, tiny_train):
    again = TfodTrainer().fit(
        tiny_records / "train",
        tiny_records / "val",
        tiny_model,
        tiny_train,
        work=tiny_trained.work,
        on_step=lambda step, _: pytest.fail(f"step {step} ran again"),
    )
    assert again == tiny_trained.best


class KilledError(Exception):
    pass


def test_a_training_that_was_killed_goes_on(tiny_records, tiny_model, tiny_train, tmp_path):
    def die_at_15(step, metrics):
        if step >= 20:
            raise KilledError

    arguments = (tiny_records / "train", tiny_records / "val", tiny_model, tiny_train)
    with pytest.raises(KilledError):
        TfodTrainer().fit(*arguments, work=tmp_path / "w", on_step=die_at_15)
    steps = []
    TfodTrainer().fit(*arguments, work=tmp_path / "w", on_step=lambda s, _: steps.append(s))
    assert min(steps) > 10, "went back to before the last checkpoint"
    assert max(steps) == 30
    assert sorted(Progress.load(tmp_path / "w").validations) == [10, 20, 30]


def test_the_served_weights_are_the_moving_average(tiny_records, tiny_model, tiny_train, tmp_path):
    import tensorflow as tf

    once = tiny_train.model_copy(update={"steps": 10, "average_decay": 0.9})
    records = (tiny_records / "train", tiny_records / "val")
    TfodTrainer().fit(*records, tiny_model, once, work=tmp_path / "w", on_step=lambda *_: None)
    best, latest = (
        tf.train.load_checkpoint(tf.train.latest_checkpoint(str(tmp_path / "w" / name)))
        for name in ("best", "latest")
    )
    value, slot = "/.ATTRIBUTES/VARIABLE_VALUE", "/.OPTIMIZER_SLOT/optimizer/average"
    averaged = [
        key.removesuffix(slot + value) for key in latest.get_variable_to_shape_map() if slot in key
    ]
    assert len(averaged) > 100
    moved = 0
    for name in averaged:
        served, average = best.get_tensor(name + value), latest.get_tensor(name + slot + value)
        np.testing.assert_allclose(served, average, rtol=1e-5, atol=1e-6, err_msg=name)
        moved += not np.allclose(served, latest.get_tensor(name + value), rtol=1e-5, atol=1e-6)
    assert moved > len(averaged) / 2, "the last weights were served"


def test_other_parameters_start_afresh(tiny_records, tiny_model, tiny_train, tmp_path):
    arguments = (tmp_path / "w", tiny_records / "train", tiny_records / "val", tiny_model)
    first = Progress.open(*arguments, tiny_train)
    first.record(10, {"val/macro_ap40": 0.5})
    first.save()
    assert Progress.open(*arguments, tiny_train).validations == {10: {"val/macro_ap40": 0.5}}
    other = tiny_train.model_copy(update={"learning_rate": 0.5})
    assert Progress.open(*arguments, other).validations == {}


def test_the_exported_folder_is_what_od_api_users_expect(tiny_exported):
    assert (tiny_exported / "pipeline.config").read_text().startswith("model {")
    assert "name: 'Atelectasis'" in (tiny_exported / "label_map.pbtxt").read_text()
    assert (tiny_exported / "checkpoint" / "ckpt-0.index").exists()
    assert (tiny_exported / "saved_model" / "saved_model.pb").exists()


def test_the_served_model_scores_what_validation_measured(
    tiny_exported, tiny_trained, tiny_records
):
    from lungal.evaluation.precision_recall import macro_ap

    detector = SavedModelDetector(tiny_exported, DetectParams(batch_size=3))
    films = list(read_records(tiny_records / "val"))
    found = list(detector.detect(image for image, _ in films))
    ap = macro_ap([truth for _, truth in films], found, 0.4)
    assert ap == pytest.approx(tiny_trained.best["val/macro_ap40"], abs=1e-6)


class TestSavedModelDetector(DetectorContract):
    @pytest.fixture
    def detector(self, tiny_exported):
        return SavedModelDetector(tiny_exported, DetectParams(batch_size=4))


class TestFusedModelDetector(DetectorContract):
    @pytest.fixture
    def detector(self, tiny_exported):
        return load_detector(tiny_exported, DetectParams(batch_size=3, fused=("zoom", "shrink")))


def test_how_often_a_model_looks_is_a_parameter(tiny_exported):
    once = load_detector(tiny_exported, DetectParams(fused=()))
    twice = load_detector(tiny_exported, DetectParams())
    assert isinstance(once, SavedModelDetector)
    assert isinstance(twice, FusedModelDetector)
    assert (twice.model_version, twice.input_size) == (once.model_version, once.input_size)
    film = Image("film", np.random.default_rng(0).integers(0, 255, (192, 192), np.uint8))
    (seen_once,), (seen_twice,) = once.detect([film]), twice.detect([film])
    np.testing.assert_array_equal(seen_once.embedding, seen_twice.embedding)
    assert not np.array_equal(seen_once.scores, seen_twice.scores)


def test_what_is_kept_is_said_of_fused_scores(tiny_exported):
    film = Image("film", np.random.default_rng(0).integers(0, 255, (192, 192), np.uint8))
    (many,) = load_detector(tiny_exported, DetectParams(score_threshold=0.0)).detect([film])
    # In the widest gap, as two loads of a model may differ in the last bit of a score.
    some = 5 + int(np.argmin(np.diff(many.scores[5:])))
    least = float(many.scores[some : some + 2].mean())
    assert many.scores[some] - least > 1e-5
    for params in (DetectParams(score_threshold=least), DetectParams(max_detections=some + 1)):
        (few,) = load_detector(tiny_exported, params).detect([film])
        assert len(few) == some + 1
        np.testing.assert_allclose(few.scores, many.scores[: some + 1], atol=1e-6)


def test_a_film_that_is_not_square_gets_boxes_on_the_film(tiny_exported):
    pixels = np.full((300, 180), 40, np.uint8)
    pixels[200:290, 20:110] = 220
    detector = SavedModelDetector(tiny_exported, DetectParams(score_threshold=0))
    (found,) = detector.detect([Image("tall", pixels)])
    assert len(found) > 0
    assert found.boxes[:, [0, 2]].max() <= 180
    assert found.boxes[:, [1, 3]].max() <= 300


def test_training_and_serving_see_the_same_pixels(tmp_path):
    """What the network is fed: from the record through the API's input pipeline, and in serving."""
    from lungal.detectors.tfod import compat

    compat.install()
    import tensorflow as tf
    from object_detection.builders import dataset_builder
    from object_detection.core import standard_fields

    from lungal.detectors.tfod.config import build_config
    from lungal.detectors.tfod.network import as_batch, build_network
    from lungal.params import ModelParams

    size = 96
    random = np.random.default_rng(0)
    pixels = random.integers(0, 255, (1024, 1024), np.uint8)
    (tmp_path / "film.png").write_bytes(encode_png(pixels))
    served = as_batch([prepare(read_pixels(tmp_path / "film.png"), size)])

    from lungal.data.tfrecords import write_records
    from lungal.records import GroundTruth

    truth = GroundTruth("film", np.array([[10, 10, 500, 500]], np.float32), np.array([0], np.int32))
    write_records(tmp_path / "r", [(Image("film", pixels), truth)], input_size=size, shards=1)
    model = ModelParams(architecture="ssd_mobilenet_v2", input_size=size, depth_multiplier=0.35)
    config = build_config(
        model, TrainParams(), records=tmp_path / "r", label_map=tmp_path / "r/label_map.pbtxt"
    )
    (example,) = dataset_builder.build(config.train_input_reader).take(1)
    decoded = tf.cast(example[standard_fields.InputDataFields.image], tf.float32)
    network = build_network(config, training=False)
    trained_on, _ = network.preprocess(decoded[None])
    seen, _ = network.preprocess(tf.cast(tf.constant(served), tf.float32))
    assert np.array_equal(trained_on.numpy(), seen.numpy())


@pytest.mark.parametrize(("detail", "least", "most"), [(1.0, 0.0, 0.75), (2.0, 0.9, 1.1)])
def test_crops_are_as_sharp_as_what_is_served(tmp_path, detail, least, most):
    """Laplacian of the network's input: crops of the API's pipeline against the served film."""
    from lungal.detectors.tfod import compat

    compat.install()
    import cv2
    import tensorflow as tf
    from object_detection import inputs

    from lungal.data.sources.phantom.film import draw
    from lungal.data.sources.phantom.population import plan
    from lungal.data.tfrecords import write_records
    from lungal.detectors.tfod.config import build_config
    from lungal.detectors.tfod.network import as_batch, build_network
    from lungal.params import AugmentParams, ModelParams, PhantomParams
    from lungal.records import GroundTruth

    size = 160
    model = ModelParams(architecture="ssd_mobilenet_v2", input_size=size, depth_multiplier=0.35)
    film, boxes = draw(plan(PhantomParams(films=20, no_finding=0))[0])
    truth = GroundTruth.of(film.image_id, boxes)
    write_records(tmp_path / "r", [(film, truth)], input_size=size, shards=1, detail=detail)
    train = TrainParams(batch_size=1, augment=AugmentParams(brightness=0, contrast=0, crop=True))
    config = build_config(
        model, train, records=tmp_path / "r", label_map=tmp_path / "r/label_map.pbtxt"
    )
    network = build_network(config, training=True)
    tf.random.set_seed(0)
    batches = inputs.train_input(
        train_config=config.train_config,
        train_input_config=config.train_input_reader,
        model_config=config.model,
        model=network,
    ).repeat()
    seen, _ = network.preprocess(tf.constant(as_batch([prepare(film.pixels, size)]), tf.float32))

    def sharpness(image):
        return cv2.Laplacian(np.ascontiguousarray(image[..., 0]), cv2.CV_32F).std()

    crops = [sharpness(features["image"].numpy()[0]) for features, _ in batches.take(16)]
    assert least < np.mean(crops) / sharpness(seen.numpy()[0]) < most


def test_missing_records_are_one_line(tiny_records, tiny_model, tiny_train, tmp_path):
    with pytest.raises(DetectorError, match=r"no \*\.tfrecord in .*dvc repro records"):
        TfodTrainer().fit(
            tmp_path,
            tiny_records / "val",
            tiny_model,
            tiny_train,
            work=tmp_path / "w",
            on_step=lambda *_: None,
        )


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(DetectorError, match=r"is no model folder .*dvc repro train"):
        SavedModelDetector(tmp_path, DetectParams())
