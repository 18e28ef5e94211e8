"""The networks, each as the `model` part of the OD API's pipeline.config.

Shapes and constants follow the TF2 Detection Model Zoo's configs of the same names; what differs
is said where it stands. All are plain dictionaries in the message's own field names, so that the
proto definition is the reference for every key.
"""

from typing import Any

from lungal.params import ModelParams, TrainParams
from lungal.records import CLASSES

Message = dict[str, Any]

EFFICIENTDET = {  # BiFPN filters and repeats, box predictor depth: Tan et al. 2020, table 1
    "efficientdet_d0": ("b0", 64, 3, 3),
    "efficientdet_d1": ("b1", 88, 4, 3),
    "efficientdet_d2": ("b2", 112, 5, 3),
}
SAME_FINDING_IOU = 0.3
"""Overlap from which the weaker of two detections of a finding is dropped. The zoo's 0.6 is for
crowded streets; on a chest film two boxes of a finding that overlap are one finding."""
MAX_DETECTIONS = 100


def _resizer(model: ModelParams) -> Message:
    # Films that are validated or served are this size already (lungal.data.images.prepare): for
    # them it changes nothing. It brings to size what a random crop has cut from a larger one.
    return {"fixed_shape_resizer": {"height": model.input_size, "width": model.input_size}}


def _convolution(train: TrainParams, activation: str, deviation: float) -> Message:
    return {
        "regularizer": {"l2_regularizer": {"weight": train.weight_decay}},
        "initializer": {"truncated_normal_initializer": {"mean": 0.0, "stddev": deviation}},
        "activation": activation,
        "batch_norm": {
            # The zoo's 0.997 needs thousands of steps before inference sees trained statistics.
            "decay": train.batch_norm_decay,
            "scale": True,
            "epsilon": 0.001,
        },
    }


def _ssd(model: ModelParams, train: TrainParams, parts: Message) -> Message:
    focal = {"alpha": train.focal_alpha, "gamma": train.focal_gamma}
    scaled = {"y_scale": 10.0, "x_scale": 10.0, "height_scale": 5.0, "width_scale": 5.0}
    matcher = {
        "matched_threshold": 0.5,
        "unmatched_threshold": 0.5,
        "ignore_thresholds": False,
        "negatives_lower_than_unmatched": True,
        "force_match_for_each_row": True,
        "use_matmul_gather": True,
    }
    return {
        "ssd": {
            "num_classes": len(CLASSES),
            "image_resizer": _resizer(model),
            "box_coder": {"faster_rcnn_box_coder": scaled},
            "matcher": {"argmax_matcher": matcher},
            "similarity_calculator": {"iou_similarity": {}},
            "encode_background_as_zeros": True,
            "normalize_loss_by_num_matches": True,
            "normalize_loc_loss_by_codesize": True,
            "freeze_batchnorm": False,
            "loss": {
                "classification_loss": {"weighted_sigmoid_focal": focal},
                "localization_loss": {"weighted_smooth_l1": {}},
                "classification_weight": 1.0,
                "localization_weight": train.localisation_weight,
            },
            "post_processing": {
                "batch_non_max_suppression": {
                    "score_threshold": 1e-8,
                    "iou_threshold": SAME_FINDING_IOU,
                    "max_detections_per_class": MAX_DETECTIONS,
                    "max_total_detections": MAX_DETECTIONS,
                },
                "score_converter": "SIGMOID",
            },
            **parts,
        }
    }


def _pyramid_anchors(train: TrainParams, scales_per_octave: int) -> Message:
    return {
        "multiscale_anchor_generator": {
            "min_level": 3,
            "max_level": 7,
            "anchor_scale": train.anchors.scale,
            "aspect_ratios": list(train.anchors.aspect_ratios),
            "scales_per_octave": scales_per_octave,
        }
    }


def _shared_predictor(convolution: Message, depth: int, layers: int, **extra: Any) -> Message:
    return {
        "weight_shared_convolutional_box_predictor": {
            "conv_hyperparams": convolution,
            "depth": depth,
            "num_layers_before_predictor": layers,
            "kernel_size": 3,
            "class_prediction_bias_init": -4.6,
            **extra,
        }
    }


def _ssd_mobilenet_v2(model: ModelParams, train: TrainParams) -> Message:
    convolution = _convolution(train, "RELU_6", 0.03)
    ratios = list(train.anchors.aspect_ratios)
    # The zoo's smallest anchor, 0.2 of the side at scale 4, is too large for a nodule.
    smallest = 0.2 * train.anchors.scale / 4
    parts = {
        "feature_extractor": {
            "type": "ssd_mobilenet_v2_keras",
            "depth_multiplier": model.depth_multiplier,
            "min_depth": 16,
            "conv_hyperparams": convolution,
            "override_base_feature_extractor_hyperparams": True,
        },
        "box_predictor": {
            "convolutional_box_predictor": {
                "conv_hyperparams": convolution,
                "min_depth": 0,
                "max_depth": 0,
                "num_layers_before_predictor": 0,
                "kernel_size": 1,
                "box_code_size": 4,
                "apply_sigmoid_to_scores": False,
                "class_prediction_bias_init": -4.6,
            }
        },
        "anchor_generator": {
            "ssd_anchor_generator": {
                "num_layers": 6,
                "min_scale": min(smallest, 0.9),
                "max_scale": 0.95,
                "aspect_ratios": ratios,
            }
        },
    }
    return _ssd(model, train, parts)


def _ssd_mobilenet_v2_fpnlite(model: ModelParams, train: TrainParams) -> Message:
    convolution = _convolution(train, "RELU_6", 0.01)
    depth = max(32, int(128 * min(model.depth_multiplier, 1.0)) // 8 * 8)
    parts = {
        "feature_extractor": {
            "type": "ssd_mobilenet_v2_fpn_keras",
            "depth_multiplier": model.depth_multiplier,
            "min_depth": 16,
            "use_depthwise": True,
            "conv_hyperparams": convolution,
            "override_base_feature_extractor_hyperparams": True,
            # Undivided: the API itself multiplies it by depth_multiplier, but not the predictor's.
            "fpn": {"min_level": 3, "max_level": 7, "additional_layer_depth": 128},
        },
        "box_predictor": _shared_predictor(
            convolution, depth, 4, share_prediction_tower=True, use_depthwise=True
        ),
        "anchor_generator": _pyramid_anchors(train, train.anchors.scales_per_octave),
    }
    return _ssd(model, train, parts)


def _ssd_resnet50_fpn(model: ModelParams, train: TrainParams) -> Message:
    convolution = _convolution(train, "RELU_6", 0.01)
    parts = {
        "feature_extractor": {
            "type": "ssd_resnet50_v1_fpn_keras",
            "depth_multiplier": 1.0,
            "min_depth": 16,
            "conv_hyperparams": convolution,
            "override_base_feature_extractor_hyperparams": True,
            "fpn": {"min_level": 3, "max_level": 7},
        },
        "box_predictor": _shared_predictor(convolution, 256, 4),
        "anchor_generator": _pyramid_anchors(train, train.anchors.scales_per_octave),
    }
    return _ssd(model, train, parts)


def _efficientdet(model: ModelParams, train: TrainParams) -> Message:
    backbone, filters, repeats, layers = EFFICIENTDET[model.architecture]
    convolution = _convolution(train, "SWISH", 0.03)
    parts = {
        "feature_extractor": {
            "type": f"ssd_efficientnet-{backbone}_bifpn_keras",
            "conv_hyperparams": convolution,
            "bifpn": {
                "min_level": 3,
                "max_level": 7,
                "num_iterations": repeats,
                "num_filters": filters,
            },
        },
        "box_predictor": _shared_predictor(
            convolution, filters, layers, use_depthwise=True, share_prediction_tower=False
        ),
        "anchor_generator": _pyramid_anchors(train, train.anchors.scales_per_octave),
    }
    return _ssd(model, train, parts)


def _centernet(model: ModelParams, train: TrainParams) -> Message:
    # No channel_means: both extractors scale greys to [-1, 1] themselves, as keras.applications do.
    extractor: Message = {"type": "resnet_v2_50"}
    if model.architecture == "centernet_mobilenet_v2_fpn":
        # At exactly 1.0 the API downloads ImageNet weights, whatever the config says.
        width = model.depth_multiplier if model.depth_multiplier != 1.0 else 1.0 + 1e-6
        extractor |= {"type": "mobilenet_v2_fpn", "depth_multiplier": width}
    heatmap = {"alpha": 2.0, "beta": 4.0}  # Zhou et al. 2019, equation 1
    return {
        "center_net": {
            "num_classes": len(CLASSES),
            "feature_extractor": extractor,
            "image_resizer": _resizer(model),
            "object_detection_task": {
                "task_loss_weight": 1.0,
                "offset_loss_weight": train.localisation_weight,
                "scale_loss_weight": 0.1 * train.localisation_weight,
                "localization_loss": {"l1_localization_loss": {}},
            },
            "object_center_params": {
                "object_center_loss_weight": 1.0,
                "min_box_overlap_iou": 0.7,
                "max_box_predictions": MAX_DETECTIONS,
                "classification_loss": {"penalty_reduced_logistic_focal_loss": heatmap},
            },
        }
    }


ARCHITECTURES = {
    "ssd_mobilenet_v2": _ssd_mobilenet_v2,
    "ssd_mobilenet_v2_fpnlite": _ssd_mobilenet_v2_fpnlite,
    "ssd_resnet50_fpn": _ssd_resnet50_fpn,
    "efficientdet_d0": _efficientdet,
    "efficientdet_d1": _efficientdet,
    "efficientdet_d2": _efficientdet,
    "centernet_mobilenet_v2_fpn": _centernet,
    "centernet_resnet50_v2": _centernet,
}
"""Architecture to a function of the parameters that returns its message."""
