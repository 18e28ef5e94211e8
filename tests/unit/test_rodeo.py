"""RoDeO: by hand, against the authors' package, and what happens at the edges."""

import math

import numpy as np
import pytest
from made_up_films import made_up, seen, truth

from lungal.evaluation.bootstrap import intervals
from lungal.evaluation.pairs import pair_films
from lungal.evaluation.rodeo import (
    PARTS,
    class_rodeo_from,
    class_weight,
    generalised_iou,
    pair_all,
    score_pairs,
)
from lungal.records import CLASSES

SQUARE, BESIDE, FAR = (0, 0, 10, 10), (10, 0, 20, 10), (80, 80, 90, 90)

PACKAGE = {  # rodeometric 0.0.1 on made_up(default_rng(seed), films=30, classes=arange(3 + seed))
    0: (
        (0.27516777, 0.37370125, 0.32689771, 0.34648730),
        (0.30552943, 0.41291012, 0.37117729, 0.37938958),
        (0.22496951, 0.30066230, 0.26113162, 0.29433076),
        (0.31402831, 0.43859649, 0.37684729, 0.38095238),
    ),
    3: (
        (0.27369611, 0.18142261, 0.38683507, 0.25007490, 0.36228436, 0.29589923, 0.33105533),
        (0.29806606, 0.18732278, 0.42243125, 0.26190141, 0.40735752, 0.32924090, 0.35977731),
        (0.22256464, 0.14977106, 0.31189605, 0.20640300, 0.28423032, 0.23739191, 0.28127914),
        (0.32122680, 0.22119816, 0.45833333, 0.30000000, 0.43333333, 0.34615385, 0.36666667),
    ),
    5: (
        (
            0.23876493,
            0.28307557,
            0.17236584,
            0.19867633,
            0.30016915,
            0.24146130,
            0.23856914,
            0.20993817,
            0.26188098,
        ),
        (
            0.26524433,
            0.32803627,
            0.18914669,
            0.23584490,
            0.35634421,
            0.25741859,
            0.26961106,
            0.22121536,
            0.28216898,
        ),
        (
            0.19607228,
            0.21980572,
            0.14781747,
            0.14231612,
            0.22532040,
            0.21098472,
            0.19233314,
            0.20535954,
            0.21617226,
        ),
        (
            0.27067669,
            0.33333333,
            0.18681319,
            0.26086957,
            0.36363636,
            0.26315789,
            0.27272727,
            0.20408163,
            0.30434783,
        ),
    ),
}
"""Rows: PARTS; columns: all boxes, then each class with truth. Made with scikit-learn 1.9.1, whose
matthews_corrcoef had to be wrapped to return a numpy number for the package to run at all."""


def scores(truths, detections, score=0.5, weights=None):
    films = [(t, d.above(score)) for t, d in pair_films(truths, detections)]
    return score_pairs(pair_all(films), np.ones(len(films)) if weights is None else weights)


def harmonic(*parts):
    return len(parts) / sum(1 / (part + 1e-6) for part in parts)


@pytest.mark.parametrize("seed", PACKAGE)
def test_agrees_with_the_authors_package(seed):
    films = made_up(np.random.default_rng(seed), films=30, classes=np.arange(3 + seed))
    ours = scores(*films, score=0.4)[:, : 4 + seed]
    np.testing.assert_allclose(ours, np.array(PACKAGE[seed]), rtol=0, atol=1e-6)


def test_what_is_perfect_is_one():
    truths = [truth("a", [SQUARE, FAR], [0, 4])]
    rows = scores(truths, [seen("a", [FAR, SQUARE], scores=[0.9, 0.8], labels=[4, 0])])
    assert rows[:, [0, 1, 5]] == pytest.approx(1, abs=1e-6)
    assert np.isnan(np.delete(rows, [0, 1, 5], axis=1)).all()


def test_a_box_beside_its_truth_by_hand():
    # The centres are one width apart: exp(-ln 2) = 1/2. The shapes are the same, so is the class.
    rows = scores([truth("a", [SQUARE], [0])], [seen("a", [BESIDE], scores=[0.9], labels=[0])])
    assert rows[1:, 0].tolist() == pytest.approx([0.5, 1, 1])
    assert rows[0, 0] == pytest.approx(harmonic(0.5, 1, 1))


def test_another_shape_by_hand():
    # Twice as high on the same corner: the centre moved by half a height, IoU of the shapes 1/2.
    rows = scores(
        [truth("a", [SQUARE], [0])], [seen("a", [(0, 0, 10, 20)], scores=[0.9], labels=[0])]
    )
    assert rows[1:, 0].tolist() == pytest.approx([math.exp(-math.log(2) / 4), 0.5, 1])


def test_another_class_by_hand():
    truths = [truth("a", [SQUARE], [0]), truth("b", [SQUARE], [1])]
    found = [
        seen("a", [SQUARE], scores=[0.9], labels=[0]),
        seen("b", [SQUARE], scores=[0.9], labels=[2]),
    ]
    # One of two classes right: MCC of 16 cells with one hit, one miss, one false, 13 neither.
    mcc = (1 * 13 - 1 * 1) / math.sqrt(2 * 2 * 14 * 14)
    rows = scores(truths, found)
    assert rows[1:, 0].tolist() == pytest.approx([1, 1, mcc])
    assert rows[3, 1] == pytest.approx(1)
    assert rows[3, 2] == 0


def test_what_is_left_over_counts_against_all_parts():
    truths = [truth("a", [SQUARE, FAR], [0, 1])]
    found = [
        seen("a", [SQUARE], scores=[0.9], labels=[0]),
        seen("b", [SQUARE], scores=[0.9], labels=[3]),
    ]
    rows = scores([*truths, truth("b", [], [])], found)
    assert rows[1:, 0].tolist() == pytest.approx([1 / 3] * 3)
    assert rows[1:, 1].tolist() == pytest.approx([1, 1, 1])
    assert rows[:, 2].tolist() == [0, 0, 0, 0]
    assert rows[:, 4].tolist() == [0, 0, 0, 0]
    assert np.isnan(rows[:, 3]).all()


def test_a_same_class_is_preferred_where_classes_can_be_told():
    truths = [truth("a", [SQUARE], [0]), truth("b", [FAR], [1])]
    near_but_other = seen("a", [(0, 0, 10, 9), (2, 0, 12, 10)], scores=[0.9, 0.8], labels=[1, 0])
    rest = seen("b", [FAR], scores=[0.9], labels=[1])
    films = pair_films(truths, [near_but_other, rest])
    assert class_weight(films) > 0.5
    assert pair_all(films).same.tolist() == [True, True]


def test_detections_below_the_score_do_not_count():
    truths = [truth("a", [SQUARE], [0])]
    found = [seen("a", [SQUARE, FAR], scores=[0.9, 0.4], labels=[0, 0])]
    assert scores(truths, found, score=0.5)[0, 0] == pytest.approx(1, abs=1e-6)
    assert scores(truths, found, score=0.4)[1, 0] == pytest.approx(0.5)


def test_no_pairs_no_truth_no_films():
    assert (scores([truth("a", [SQUARE], [0])], [])[:, :2] == 0).all()
    assert (
        scores([truth("a", [], [])], [seen("a", [SQUARE], scores=[0.9], labels=[0])])[:, :2] == 0
    ).all()
    for films in (([], []), ([truth("a", [], [])], [])):
        rows = scores(*films)
        assert (rows[:, 0] == 0).all()
        assert np.isnan(rows[:, 1:]).all()


def test_order_of_films_does_not_matter():
    truths, detections = made_up(
        np.random.default_rng(4), films=20, classes=np.arange(5), ties=True
    )
    ours = scores(truths, detections, score=0.4)
    np.testing.assert_array_equal(ours, scores(truths[::-1], detections[::-1], score=0.4))


def test_giou_by_hand():
    boxes = np.array([SQUARE, BESIDE, (0, 0, 10, 20), (3, 3, 3, 3)], float)
    # Beside: nothing shared, the hull is full. Twice as high: IoU 1/2, the hull is the union.
    assert generalised_iou(boxes, boxes[:1])[:, 0].tolist() == pytest.approx([1, 0, 0.5, 0])
    # Corner to corner: hull 400, union 200.
    corner = np.array([(10, 10, 20, 20)], float)
    assert generalised_iou(boxes[:1], corner)[0, 0] == pytest.approx(-0.5)


def test_weights_are_copies_of_films():
    truths, detections = made_up(np.random.default_rng(8), films=20, classes=np.arange(3))
    weights = np.random.default_rng(9).integers(0, 4, 20)
    films = [(t, d.above(0.4)) for t, d in pair_films(truths, detections)]
    paired = pair_all(films)
    # With the class weight of all films: it is not measured again in a draw.
    numbers = np.concatenate(
        [np.flatnonzero(paired.film == k) for k in np.repeat(range(20), weights)]
    )
    by_hand = paired._replace(
        film=np.zeros(len(numbers), np.int32),
        left_over=paired.left_over[np.repeat(range(20), weights)].sum(axis=0)[None],
        **{
            name: getattr(paired, name)[numbers]
            for name in ("label", "same", "localisation", "shape")
        },
    )
    np.testing.assert_allclose(
        score_pairs(paired, weights.astype(float)), score_pairs(by_hand, np.ones(1)), atol=1e-12
    )


def test_each_number_has_its_interval():
    truths, detections = made_up(np.random.default_rng(1), films=40, classes=np.arange(3))
    rows = intervals(truths, detections, class_rodeo_from(0.4), seed=0, draws=40)
    assert len(rows) == len(PARTS) * (1 + len(CLASSES))
    expected = scores(truths, detections, score=0.4)
    np.testing.assert_allclose([row.value for row in rows], expected.ravel())
    assert all(row.low < row.value < row.high for row in rows[:4])
