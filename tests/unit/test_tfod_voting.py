"""Box voting against the same in plain Python."""

import numpy as np
import pytest

from lungal.boxes import iou
from lungal.detectors.tfod import compat
from lungal.detectors.tfod.voting import VOTERS, VOTING_IOU, pairwise_iou, vote

CLASSES = 3


def boxes(random, films, count):
    corners = random.uniform(-0.1, 0.7, (films, count, 2))
    return np.concatenate([corners, corners + random.uniform(0.05, 0.4, (films, count, 2))], 2)


def proposals(*, films=2, count=200, background=True):
    """Proposals in heaps, and detections that are some of them."""
    random = np.random.default_rng(0)
    heaps = np.repeat(boxes(random, films, count // 10), 10, axis=1)
    raw = (heaps + random.normal(0, 0.01, heaps.shape)).astype(np.float32)
    scores = random.random((films, count, CLASSES)).astype(np.float32)
    kept = np.arange(0, count, 10)
    blank = np.zeros((films, count, 1), np.float32)
    return {
        "detection_boxes": np.clip(raw[:, kept], 0, 1),
        "detection_classes": (np.arange(len(kept)) % CLASSES)[None].repeat(films, 0).astype("f4"),
        "detection_scores": scores[:, kept].max(2),
        "raw_detection_boxes": raw,
        "raw_detection_scores": np.concatenate([blank, scores], 2) if background else scores,
    }


def by_hand(output, film, place):
    box, label = (
        output["detection_boxes"][film, place],
        int(output["detection_classes"][film, place]),
    )
    raw = np.clip(output["raw_detection_boxes"][film], 0, 1)
    scores = output["raw_detection_scores"][film][:, -CLASSES:][:, label]
    near = iou(box[None], raw)[0] >= VOTING_IOU
    return (raw[near] * scores[near, None]).sum(0) / scores[near].sum()


@pytest.mark.parametrize("background", [True, False])
def test_a_box_is_the_mean_of_the_proposals_around_it(background):
    output = proposals(background=background)
    voted = vote(tensors(output), CLASSES)["detection_boxes"].numpy()
    for film in range(2):
        for place in range(voted.shape[1]):
            np.testing.assert_allclose(voted[film, place], by_hand(output, film, place), atol=1e-5)
    assert np.abs(voted - output["detection_boxes"]).max() > 0.003


def test_nothing_else_changes():
    output = proposals()
    voted = vote(tensors(output), CLASSES)
    assert set(voted) == set(output)
    for name in set(output) - {"detection_boxes"}:
        np.testing.assert_array_equal(voted[name].numpy(), output[name])


def test_a_detection_without_proposals_keeps_its_box():
    output = proposals()
    output["raw_detection_scores"][..., -CLASSES:] = 0
    voted = vote(tensors(output), CLASSES)["detection_boxes"].numpy()
    np.testing.assert_array_equal(voted, output["detection_boxes"])


def test_the_proposals_with_the_highest_scores_vote():
    few = proposals(films=1, count=20)
    crowd = np.tile(few["raw_detection_boxes"][:, :1], (1, VOTERS, 1)) + 0.001
    weak = np.full((1, VOTERS, 1 + CLASSES), 1e-4, np.float32)
    many = few | {
        "raw_detection_boxes": np.concatenate([crowd, few["raw_detection_boxes"]], 1),
        "raw_detection_scores": np.concatenate([weak, few["raw_detection_scores"]], 1),
    }
    alone, among = (vote(tensors(each), CLASSES)["detection_boxes"].numpy() for each in (few, many))
    assert np.abs(alone - among).max() < 1e-3


def test_a_model_without_proposals_is_left_alone():
    output = {"detection_boxes": np.zeros((1, 2, 4), np.float32)}
    assert vote(output, CLASSES) == output


def test_overlaps_are_those_of_plain_boxes():
    random = np.random.default_rng(1)
    first, second = (boxes(random, 2, n).astype(np.float32) for n in (5, 7))
    second[0, 0] = first[0, 0]
    second[1, 1] = 0.5  # without area
    found = pairwise_iou(*map(tensor, (first, second))).numpy()
    for film in range(2):
        np.testing.assert_allclose(found[film], iou(first[film], second[film]), atol=1e-5)


def tensor(array):
    compat.install()
    import tensorflow as tf

    return tf.constant(array)


def tensors(output):
    return {name: tensor(array) for name, array in output.items()}
