from typing import get_args

import pytest

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.config import build_config
from lungal.params import Architecture, AugmentParams, ModelParams, TrainParams

BUSY = AugmentParams(brightness=0.1, contrast=0.2, crop=True, scale=0.2, box_jitter=0.05)


@pytest.mark.parametrize("architecture", get_args(Architecture))
def test_every_architecture_is_a_pipeline_config_that_survives_its_text(architecture):
    model = ModelParams(architecture=architecture, input_size=512)
    config = build_config(model, TrainParams(augment=BUSY))
    from google.protobuf import text_format
    from object_detection.protos import pipeline_pb2

    text = text_format.MessageToString(config)
    assert text_format.Parse(text, pipeline_pb2.TrainEvalPipelineConfig()) == config
    detector = getattr(config.model, config.model.WhichOneof("model"))
    assert detector.num_classes == 8
    assert detector.image_resizer.fixed_shape_resizer.width == 512
    assert "flip" not in text, "a flip would move the heart"


def test_parameters_reach_the_config(tmp_path):
    train = TrainParams(
        steps=77, batch_size=3, learning_rate=0.005, focal_gamma=1.5, focal_alpha=0.4,
        localisation_weight=2.5, batch_norm_decay=0.91, weight_decay=0.001, augment=BUSY,
    )  # fmt: skip
    config = build_config(ModelParams(), train, records=tmp_path, label_map=tmp_path / "l.pbtxt")
    ssd, training = config.model.ssd, config.train_config
    assert ssd.loss.classification_loss.weighted_sigmoid_focal.gamma == pytest.approx(1.5)
    assert ssd.loss.classification_loss.weighted_sigmoid_focal.alpha == pytest.approx(0.4)
    assert ssd.loss.localization_weight == pytest.approx(2.5)
    convolution = ssd.feature_extractor.conv_hyperparams
    assert convolution.batch_norm.decay == pytest.approx(0.91)
    assert convolution.regularizer.l2_regularizer.weight == pytest.approx(0.001)
    assert (training.num_steps, training.batch_size) == (77, 3)
    rate = training.optimizer.adam_optimizer.learning_rate.cosine_decay_learning_rate
    assert rate.learning_rate_base == pytest.approx(0.005)
    steps = [
        option.WhichOneof("preprocessing_step") for option in training.data_augmentation_options
    ]
    assert steps == [
        "random_adjust_brightness", "random_adjust_contrast", "random_jitter_boxes",
        "random_crop_image", "random_scale_crop_and_pad_to_square",
    ]  # fmt: skip
    assert config.train_input_reader.tf_record_input_reader.input_path[0].endswith("*.tfrecord")


@pytest.mark.parametrize(("steps", "warmup"), [(10, 30), (10, 10), (1, 5)])
def test_a_warm_up_as_long_as_the_training_still_has_a_rate(steps, warmup):
    """The API divides by the steps after it: 0 of them is NaN from the first step on."""
    compat.install()
    import numpy as np
    from object_detection.builders import optimizer_builder

    train = TrainParams(steps=steps, warmup_steps=warmup, learning_rate=0.01)
    config = build_config(ModelParams(), train).train_config
    import tensorflow as tf

    step = tf.Variable(0, dtype=tf.int64)
    _, (rate,) = optimizer_builder.build(config.optimizer, global_step=step)
    for now in range(steps + 1):
        step.assign(now)
        assert 0 <= np.asarray(rate()) <= 0.01


def test_augmentation_can_be_switched_off():
    off = AugmentParams(brightness=0, contrast=0, crop=False)
    config = build_config(ModelParams(), TrainParams(augment=off))
    assert len(config.train_config.data_augmentation_options) == 0


def test_compat_is_idempotent_and_changes_nothing_on_disk():
    import sys

    compat.install()
    finders = list(sys.meta_path)
    compat.install()
    assert sys.meta_path == finders
    from object_detection.protos import string_int_label_map_pb2

    message = string_int_label_map_pb2.StringIntLabelMap()
    message.item.add(id=3, name="Effusion")
    assert type(message).FromString(message.SerializeToString()) == message
