"""Box voting: the box of a detection is drawn anew by all boxes that were proposed around it.

Of overlapping proposals for one finding the API keeps the box of the highest score, which is not
the best drawn one: scores say what is there, hardly where its edges are. Gidaris & Komodakis 2015,
"Object detection via a multi-region & semantic segmentation-aware CNN model", section 4.3.
"""

from collections.abc import Mapping
from typing import Any

VOTING_IOU = 0.6
"""Overlap from which a proposal has a vote (docs/results.md)."""
VOTERS = 1000
"""Proposals of a film that may vote: those with the highest scores, as all of them cost memory."""


def vote(output: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """Return the API's outputs with boxes that are means of proposals, by their scores.

    The new box of a detection of class c is the mean of the proposals that overlap its old one by
    VOTING_IOU, each weighted with its score for c. Scores, classes and order stay as they are.

    Args:
        output: of `postprocess`: detection_boxes (N, M, 4) float32 normalised yxyx,
            detection_classes (N, M) float32 counted from 0, raw_detection_boxes (N, A, 4) float32
            and raw_detection_scores (N, A, C or 1 + C) float32, background first. Without the raw
            ones, which CenterNet has not, nothing changes.
        classes: C.
    """
    import tensorflow as tf

    if "raw_detection_boxes" not in output:
        return dict(output)
    boxes = output["detection_boxes"]
    scores = output["raw_detection_scores"][..., -classes:]
    count = tf.minimum(VOTERS, tf.shape(scores)[1])
    voters = tf.math.top_k(tf.reduce_max(scores, axis=2), count, sorted=False).indices
    proposed = tf.clip_by_value(output["raw_detection_boxes"], 0.0, 1.0)
    proposed = tf.gather(proposed, voters, batch_dims=1)
    by_class = tf.transpose(tf.gather(scores, voters, batch_dims=1), [0, 2, 1])
    labels = tf.cast(output["detection_classes"], tf.int32)
    of_class = tf.gather(by_class, labels, batch_dims=1)  # (N, M, VOTERS)
    near = pairwise_iou(boxes, proposed) >= VOTING_IOU
    weights = tf.where(near, of_class, tf.zeros_like(of_class))
    total = tf.reduce_sum(weights, axis=2, keepdims=True)
    voted = tf.math.divide_no_nan(tf.matmul(weights, proposed), total)
    return {**output, "detection_boxes": tf.where(total > 0, voted, boxes)}


def pairwise_iou(boxes: Any, others: Any) -> Any:
    """Return (N, M, K) float32 overlaps of (N, M, 4) and (N, K, 4) yxyx boxes; 0 of empty ones."""
    import tensorflow as tf

    first, second = boxes[:, :, None], others[:, None]
    sides = tf.nn.relu(
        tf.minimum(first[..., 2:], second[..., 2:]) - tf.maximum(first[..., :2], second[..., :2])
    )
    shared = tf.reduce_prod(sides, axis=-1)
    areas = (tf.reduce_prod(each[..., 2:] - each[..., :2], axis=-1) for each in (first, second))
    return tf.math.divide_no_nan(shared, sum(areas) - shared)
