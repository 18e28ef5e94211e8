from dataclasses import replace

import numpy as np
from numpy.testing import assert_array_equal

from lungal.records import Detections
from lungal.testing import make_detections


def rows(found: Detections) -> list[tuple[object, ...]]:
    assert found.class_scores is not None
    columns = found.boxes, found.scores, found.labels, found.class_scores
    return [tuple(np.ravel(part).tolist() for part in row) for row in zip(*columns, strict=True)]


def test_detections_are_taken_whole_and_in_the_order_asked_for() -> None:
    found = make_detections("00000001_000", 5)
    everything = rows(found)
    assert rows(found.take(np.array([3, 0]))) == [everything[3], everything[0]]
    assert rows(found.take(found.scores < found.scores[2])) == everything[3:]


def test_what_is_taken_of_a_films_detections_has_the_films_embedding() -> None:
    embedding = np.arange(3, dtype=np.float32)
    found = replace(make_detections("00000001_000", 2), embedding=embedding)
    assert_array_equal(found.take(np.array([1])).embedding, embedding)


def test_nothing_has_the_shapes_of_detections() -> None:
    nothing = Detections.nothing("00000001_000")
    assert (len(nothing), nothing.boxes.shape) == (0, (0, 4))
    assert (nothing.boxes.dtype, nothing.labels.dtype) == (np.float32, np.int32)


def test_the_surest_are_pre_drawn_and_of_equal_ones_the_first() -> None:
    found = make_detections("00000001_000", 4)
    scores = np.array([0.3, 0.8, 0.1, 0.3], np.float32)
    drawn = replace(found, scores=scores).pre_drawn(0.2, 2)
    assert_array_equal(drawn.scores, scores[[1, 0]])
    assert_array_equal(drawn.boxes, found.boxes[[1, 0]])
