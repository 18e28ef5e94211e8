"""What is made of the arrays that a served OD API model returns."""

import numpy as np

from lungal.detectors.tfod.network import read_output


def output(boxes: list[list[float]], scores: list[float]) -> dict[str, np.ndarray]:
    """Return one film's output: normalised yxyx boxes of class Mass, a column per class.

    As models were exported before they had an embedding.
    """
    multiclass = np.zeros((1, len(scores), 9), np.float32)
    multiclass[0, :, 5] = scores
    return {
        "detection_boxes": np.array([boxes], np.float32),
        "detection_scores": np.array([scores], np.float32),
        "detection_classes": np.full((1, len(scores)), 5, np.float32),
        "detection_multiclass_scores": multiclass,
    }


def test_boxes_are_in_pixels_of_the_film_and_best_first() -> None:
    arrays = output([[0, 0, 0.5, 0.25], [0.25, 0.5, 1, 1]], [0.2, 0.9])
    found = read_output(arrays, 0, "film", 200, 200, threshold=0.1, limit=10)
    np.testing.assert_allclose(found.boxes, [[100, 50, 200, 200], [0, 0, 50, 100]])
    np.testing.assert_allclose(found.scores, [0.9, 0.2])
    assert found.labels.tolist() == [4, 4]
    assert found.class_scores is not None
    np.testing.assert_allclose(found.class_scores[:, 4], [0.9, 0.2])
    assert found.class_scores.shape == (2, 8)


def test_the_embedding_is_the_film_s_own_whatever_is_kept_of_its_boxes() -> None:
    arrays = output([[0, 0, 0.5, 0.5]], [0.4]) | {"embedding": np.eye(3, dtype=np.float32)}
    found = read_output(arrays, 0, "film", 100, 100, threshold=0.9, limit=10)
    assert len(found) == 0
    assert found.embedding is not None
    np.testing.assert_array_equal(found.embedding, [1, 0, 0])


def test_a_model_without_embedding_is_read() -> None:
    found = read_output(output([[0, 0, 1, 1]], [0.4]), 0, "film", 100, 100, threshold=0, limit=1)
    assert found.embedding is None


def test_threshold_and_limit() -> None:
    arrays = output([[0, 0, 0.5, 0.5]] * 4, [0.4, 0.1, 0.3, 0.2])
    found = read_output(arrays, 0, "film", 100, 100, threshold=0.2, limit=2)
    np.testing.assert_allclose(found.scores, [0.4, 0.3])


def test_a_box_in_the_padding_is_no_finding_and_takes_no_place() -> None:
    """A film half as wide as it is high was padded at the right."""
    arrays = output([[0, 0.6, 0.5, 0.9], [0, 0.4, 0.5, 0.9]], [0.9, 0.5])
    found = read_output(arrays, 0, "film", 100, 200, threshold=0.0, limit=1)
    np.testing.assert_allclose(found.boxes, [[80, 0, 100, 100]])
    np.testing.assert_allclose(found.scores, [0.5])
