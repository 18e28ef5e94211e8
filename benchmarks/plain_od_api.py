"""The yardstick: a plain, hand-written OD API training on the films and labels of a workspace.

What an engineer of the TF2 Object Detection API does without lungal: a zoo-style pipeline.config,
512 px records, `train_loop`, `exporter_lib_v2`, the SavedModel's `image_tensor`. Only the import
mending (compat) and the scoring of the result are lungal's.

    uv run python -m benchmarks.plain_od_api WORKSPACE OUT --imagenet H5 [--steps 1500] [--seed 0]

WORKSPACE is a project folder after `dvc repro label` (data/labels.parquet, data/images). OUT gets
the model and detections of the test films, served 512 px and 1024 px pictures.
"""

import argparse
import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from lungal.detectors.tfod import compat

compat.install()

import tensorflow as tf  # noqa: E402
from google.protobuf import text_format  # noqa: E402
from object_detection import exporter_lib_v2, model_lib_v2  # noqa: E402
from object_detection.protos import pipeline_pb2  # noqa: E402

NAMES = [
    "Atelectasis",
    "Cardiomegaly",
    "Effusion",
    "Infiltrate",
    "Mass",
    "Nodule",
    "Pneumonia",
    "Pneumothorax",
]

CONFIG = """
model { ssd {
  num_classes: 8
  image_resizer { fixed_shape_resizer { height: 320 width: 320 } }
  feature_extractor {
    type: "ssd_mobilenet_v2_fpn_keras" depth_multiplier: 1.0 min_depth: 16
    use_depthwise: true override_base_feature_extractor_hyperparams: true
    conv_hyperparams {
      regularizer { l2_regularizer { weight: 4e-05 } }
      initializer { random_normal_initializer { mean: 0.0 stddev: 0.01 } }
      activation: RELU_6
      batch_norm { decay: 0.97 scale: true epsilon: 0.001 }
    }
    fpn { min_level: 3 max_level: 7 additional_layer_depth: 128 }
  }
  box_coder { faster_rcnn_box_coder { y_scale: 10 x_scale: 10 height_scale: 5 width_scale: 5 } }
  matcher { argmax_matcher {
    matched_threshold: 0.5 unmatched_threshold: 0.5 ignore_thresholds: false
    negatives_lower_than_unmatched: true force_match_for_each_row: true
    use_matmul_gather: true } }
  similarity_calculator { iou_similarity {} }
  box_predictor { weight_shared_convolutional_box_predictor {
    conv_hyperparams {
      regularizer { l2_regularizer { weight: 4e-05 } }
      initializer { random_normal_initializer { mean: 0.0 stddev: 0.01 } }
      activation: RELU_6
      batch_norm { decay: 0.97 scale: true epsilon: 0.001 }
    }
    depth: 128 num_layers_before_predictor: 4 kernel_size: 3
    class_prediction_bias_init: -4.6 share_prediction_tower: true use_depthwise: true } }
  anchor_generator { multiscale_anchor_generator {
    min_level: 3 max_level: 7 anchor_scale: 4.0
    aspect_ratios: [1.0, 2.0, 0.5] scales_per_octave: 2 } }
  post_processing {
    batch_non_max_suppression {
      score_threshold: 1e-8 iou_threshold: 0.6
      max_detections_per_class: 100 max_total_detections: 100 }
    score_converter: SIGMOID }
  normalize_loss_by_num_matches: true
  loss {
    localization_loss { weighted_smooth_l1 {} }
    classification_loss { weighted_sigmoid_focal { gamma: 2.0 alpha: 0.25 } }
    classification_weight: 1.0 localization_weight: 1.0 }
  encode_background_as_zeros: true normalize_loc_loss_by_codesize: true
  inplace_batchnorm_update: true freeze_batchnorm: false
} }
train_config {
  batch_size: 8 sync_replicas: false num_steps: %(steps)d
  data_augmentation_options { random_crop_image {
    min_object_covered: 0.0 min_aspect_ratio: 0.75 max_aspect_ratio: 3.0
    min_area: 0.75 max_area: 1.0 overlap_thresh: 0.0 } }
  optimizer { adam_optimizer { learning_rate { cosine_decay_learning_rate {
    learning_rate_base: 0.001 total_steps: %(steps)d
    warmup_learning_rate: 0.0001 warmup_steps: 100 } } } use_moving_average: false }
  fine_tune_checkpoint: "%(checkpoint)s" fine_tune_checkpoint_type: "classification"
  fine_tune_checkpoint_version: V2
  max_number_of_boxes: 100 unpad_groundtruth_tensors: false
}
train_input_reader {
  label_map_path: "%(out)s/label_map.pbtxt"
  tf_record_input_reader { input_path: "%(out)s/train.tfrecord" } }
"""


def write_records(films: pd.DataFrame, images: Path, path: Path, side: int) -> None:
    """Write one TFRecord file of films resized with cv2's default filter."""

    def feature(values: list) -> tf.train.Feature:
        if isinstance(values[0] if values else 0.0, bytes):
            return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))
        if isinstance(values[0] if values else 0.0, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
        return tf.train.Feature(float_list=tf.train.FloatList(value=values))

    with tf.io.TFRecordWriter(str(path)) as writer:
        for film in films.itertuples():
            pixels = cv2.imread(str(find(images, film.image_id)), cv2.IMREAD_GRAYSCALE)
            small = cv2.resize(pixels, (side, side))
            encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            features = {
                "image/height": feature([side]),
                "image/width": feature([side]),
                "image/filename": feature([film.image_id.encode()]),
                "image/source_id": feature([film.image_id.encode()]),
                "image/encoded": feature([encoded]),
                "image/format": feature([b"jpeg"]),
                "image/object/class/text": feature([b["label"].encode() for b in film.boxes]),
                "image/object/class/label": feature(
                    [NAMES.index(b["label"]) + 1 for b in film.boxes]
                ),
            }
            for key, name, size in (
                ("x1", "xmin", pixels.shape[1]),
                ("x2", "xmax", pixels.shape[1]),
                ("y1", "ymin", pixels.shape[0]),
                ("y2", "ymax", pixels.shape[0]),
            ):
                features[f"image/object/bbox/{name}"] = feature(
                    [float(b[key]) / size for b in film.boxes]
                )
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())


def find(images: Path, image_id: str) -> Path:
    """Return the film's file, .png or .jpg."""
    return next(p for s in (".png", ".jpg") if (p := images / f"{image_id}{s}").exists())


def detect(model: Path, films: pd.DataFrame, images: Path, side: int | None) -> list[dict]:
    """Serve each film through the SavedModel's image_tensor; boxes in pixels, xyxy."""
    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    found = []
    for film in films.itertuples():
        pixels = cv2.imread(str(find(images, film.image_id)), cv2.IMREAD_GRAYSCALE)
        height, width = pixels.shape
        seen = pixels if side is None else cv2.resize(pixels, (side, side))
        out = serve(tf.constant(np.repeat(seen[None, :, :, None], 3, axis=3)))
        y1, x1, y2, x2 = out["detection_boxes"][0].numpy().T
        found.append(
            {
                "image_id": film.image_id,
                "boxes": np.stack([x1 * width, y1 * height, x2 * width, y2 * height], 1).tolist(),
                "scores": out["detection_scores"][0].numpy().tolist(),
                "labels": (out["detection_classes"][0].numpy().astype(int) - 1).tolist(),
            }
        )
    return found


def main() -> None:
    """Train, export, detect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--imagenet", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    out = args.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    tf.keras.utils.set_random_seed(args.seed)
    images = args.workspace / "data/images"
    labels = pd.read_parquet(args.workspace / "data/labels.parquet")
    labels = labels[labels.state == "labelled"]
    write_records(labels[labels.split == "train"], images, out / "train.tfrecord", 512)
    items = "".join(f"item {{ id: {i + 1} name: '{n}' }}\n" for i, n in enumerate(NAMES))
    (out / "label_map.pbtxt").write_text(items)
    backbone = tf.keras.applications.MobileNetV2(include_top=False, weights=str(args.imagenet))
    checkpoint = tf.train.Checkpoint(feature_extractor=backbone).save(str(out / "imagenet/ckpt"))
    values = {"steps": args.steps, "checkpoint": checkpoint, "out": out}
    (out / "pipeline.config").write_text(CONFIG % values)
    if not (out / "saved_model/saved_model.pb").exists():
        model_lib_v2.train_loop(
            str(out / "pipeline.config"), str(out / "checkpoints"), train_steps=args.steps,
            checkpoint_every_n=500, record_summaries=False,
        )  # fmt: skip
        config = text_format.Parse(CONFIG % values, pipeline_pb2.TrainEvalPipelineConfig())
        exporter_lib_v2.export_inference_graph(
            "image_tensor", config, str(out / "checkpoints"), str(out)
        )
    test = labels[labels.split == "test"]
    for name, side in (("512", 512), ("1024", None)):
        rows = detect(out / "saved_model", test, images, side)
        (out / f"test_{name}.json").write_text(json.dumps(rows))
        print(f"{out}/test_{name}.json: {len(rows)} films")


if __name__ == "__main__":
    main()
