"""The OD API's pipeline.config, built from typed parameters."""

from pathlib import Path
from typing import Any

from lungal.detectors.tfod import compat
from lungal.detectors.tfod.architectures import ARCHITECTURES, Message
from lungal.params import AugmentParams, ModelParams, TrainParams


def build_config(
    model: ModelParams,
    train: TrainParams,
    *,
    records: Path | None = None,
    label_map: Path | None = None,
    bfloat16: bool = False,
) -> Any:
    """Return a `TrainEvalPipelineConfig` message.

    Args:
        model: the shape of the network.
        train: loss, anchors, optimiser and augmentation.
        records: folder of `*.tfrecord` shards to train on; None for inference.
        label_map: the label map's path; None for inference.
        bfloat16: whether the network computes in bfloat16.
    """
    compat.install()
    from google.protobuf import json_format
    from object_detection.protos import pipeline_pb2

    message: Message = {
        "model": ARCHITECTURES[model.architecture](model, train),
        "train_config": _train_config(model, train, bfloat16=bfloat16),
    }
    if records is not None:
        message["train_input_reader"] = {
            "label_map_path": str(label_map),
            "tf_record_input_reader": {"input_path": [str(records / "*.tfrecord")]},
            "shuffle_buffer_size": 512,
        }
    return json_format.ParseDict(message, pipeline_pb2.TrainEvalPipelineConfig())


def _train_config(model: ModelParams, train: TrainParams, *, bfloat16: bool) -> Message:
    schedule = {
        "learning_rate_base": train.learning_rate,
        "total_steps": train.steps,
        "warmup_learning_rate": train.learning_rate / 10,
        # The API divides by the steps that are left after it.
        "warmup_steps": min(train.warmup_steps, train.steps - 1),
    }
    return {
        "batch_size": train.batch_size,
        "num_steps": train.steps,
        "data_augmentation_options": _augmentations(train.augment, model.input_size),
        "optimizer": {
            "adam_optimizer": {"learning_rate": {"cosine_decay_learning_rate": schedule}},
            # The API's own, in official.modeling.optimization.ema_optimizer. While training is
            # young its decay is (1 + step) / (10 + step), so that short runs are served too.
            "use_moving_average": train.average_decay > 0,
            "moving_average_decay": train.average_decay,
        },
        "gradient_clipping_by_norm": 10.0,
        "max_number_of_boxes": 100,
        "unpad_groundtruth_tensors": model.architecture.startswith("centernet"),
        "fine_tune_checkpoint_version": "V2",
        "use_bfloat16": bfloat16,
    }


def _augmentations(augment: AugmentParams, size: int) -> list[Message]:
    # No left-right flip in any of them: it would move the heart to the right.
    options: list[Message] = []
    if augment.brightness:
        options.append({"random_adjust_brightness": {"max_delta": augment.brightness}})
    if augment.contrast:
        low, high = 1 - augment.contrast, 1 + augment.contrast
        options.append({"random_adjust_contrast": {"min_delta": low, "max_delta": high}})
    if augment.box_jitter:
        options.append({"random_jitter_boxes": {"ratio": augment.box_jitter}})
    if augment.crop:
        crop = {
            "min_object_covered": 0.0,
            "min_aspect_ratio": 0.75,
            "max_aspect_ratio": 3.0,
            "min_area": 0.75,
            "max_area": 1.0,
            "overlap_thresh": 0.0,
        }
        options.append({"random_crop_image": crop})
    if augment.scale:
        low, high = 1 - augment.scale, 1 + augment.scale
        square = {"output_size": size, "scale_min": low, "scale_max": high}
        options.append({"random_scale_crop_and_pad_to_square": square})
    return options
