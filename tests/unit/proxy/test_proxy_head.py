"""The head of the proxy: learns what is easy, and stands what is odd."""

import numpy as np
import pytest

from lungal.detectors.proxy.head import fit_head, spread
from lungal.detectors.proxy.learner import see
from lungal.detectors.proxy.shelf import Shelf
from lungal.evaluation.precision_recall import macro_ap
from lungal.params import DetectParams, ProxyParams
from lungal.records import CLASSES, GroundTruth

GRID, SIDE = 10, 100
PARAMS = ProxyParams(steps=120, batch_size=8, learning_rate=0.05, validate_every=60)


def easy_films(count, seed=0, classes=3):
    """Films with a box each, whose cells say by a feature each what lies there."""
    random = np.random.default_rng(seed)
    cells = random.normal(0, 0.2, (count, GRID * GRID, 8)).astype(np.float16)
    truths = []
    for number in range(count):
        label, (x, y) = int(random.integers(classes)), random.integers(0, 6, 2)
        box = np.array([[10 * x, 10 * y, 10 * x + 40, 10 * y + 40]], np.float32)
        truths.append(GroundTruth(f"{number:03d}", box, np.array([label], np.int32)))
        rows = [(y + down) * GRID + x + right for down in (1, 2) for right in (1, 2)]
        cells[number, rows, label] += 3
        for axis, values in ((4, (1, 2)), (5, (1, 2))):  # which of the four cells it is
            for place, row in enumerate(rows):
                cells[number, row, axis] += 2 * (values[(place % 2, place // 2)[axis - 4]] - 1.5)
    films = random.normal(0, 1, (count, 4)).astype(np.float32)
    films /= np.linalg.norm(films, axis=1, keepdims=True)
    rows = {truth.image_id: row for row, truth in enumerate(truths)}
    return Shelf(rows, cells, films, np.full((count, 2), SIDE, np.int32)), truths


def fit(shelf, truths, seed=0):
    features = [spread(shelf.cells[row], shelf.films[row]) for row in range(len(truths))]
    return list(fit_head(features, truths, [SIDE] * len(truths), PARAMS, seed))


def look(head, shelf, truths):
    return [see(head, shelf, truth.image_id, DetectParams()) for truth in truths]


def test_what_is_easy_is_learnt():
    shelf, truths = easy_films(40)
    (first, _), (last, head) = fit(shelf, truths)
    assert (first, last) == (60, 120)
    other, held_out = easy_films(30, seed=1)
    found = look(head, other, held_out)
    assert macro_ap(held_out, found, 0.5) > 0.9
    untrained = type(head)(np.zeros_like(head.score), head.reach)
    assert macro_ap(held_out, look(untrained, other, held_out), 0.5) < 0.3


def test_detections_are_what_the_platform_expects():
    shelf, truths = easy_films(20)
    head = fit(shelf, truths)[-1][1]
    for found in look(head, shelf, truths):
        assert (np.diff(found.scores) <= 0).all()
        assert found.scores.min() >= 0.01
        assert found.class_scores.shape == (len(found), len(CLASSES))
        assert found.class_scores[np.arange(len(found)), found.labels] == pytest.approx(
            found.scores
        )
        assert ((found.boxes >= 0) & (found.boxes <= SIDE)).all()
        assert np.linalg.norm(found.embedding) == pytest.approx(1, abs=1e-5)
        assert {array.dtype for array in (found.boxes, found.scores)} == {np.dtype(np.float32)}


def test_the_same_seed_is_the_same_to_the_bit_and_another_is_not():
    shelf, truths = easy_films(20)
    first, again, other = (fit(shelf, truths, seed)[-1][1] for seed in (0, 0, 1))
    assert (first.score == again.score).all()
    assert (first.score != other.score).any()


@pytest.mark.parametrize("boxes", ["none", "one"])
def test_films_without_findings_are_legal(boxes):
    shelf, truths = easy_films(6)
    bare = [
        truth
        if boxes == "one" and not row
        else GroundTruth(truth.image_id, truth.boxes[:0], truth.labels[:0])
        for row, truth in enumerate(truths)
    ]
    head = fit(shelf, bare)[-1][1]
    assert np.isfinite(head.score).all()
    assert np.isfinite(head.reach).all()
    labels = {int(label) for found in look(head, shelf, bare) for label in found.labels}
    learnt = set(map(int, truths[0].labels)) if boxes == "one" else set()
    assert {
        label
        for label in labels
        if any(
            (found.scores[found.labels == label] > 0.3).any() for found in look(head, shelf, bare)
        )
    } <= learnt


def test_fewer_films_than_a_batch_are_a_batch():
    shelf, truths = easy_films(3)
    assert len(fit(shelf, truths)) == 2
