"""D-ECE and the Brier score: by hand, and against a naive count."""

import numpy as np
import pytest
from made_up_films import copied, made_up, seen, truth
from sklearn.metrics import brier_score_loss

from lungal.evaluation.bootstrap import intervals
from lungal.evaluation.calibration import calibrate_films
from lungal.evaluation.calibration_fit import fit_calibration
from lungal.evaluation.matching import match_films
from lungal.evaluation.reliability import class_brier_at, class_d_ece_at

SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)


def values(metric, films):
    return metric(*films)(np.ones(len(films[0])))


def test_by_hand():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, ELSEWHERE, ELSEWHERE], scores=[0.93, 0.91, 0.12], labels=[0, 0, 0])],
    )
    # Bin .90-.95: two detections, half of them right, mean score .92; bin .10-.15: one, wrong.
    assert values(class_d_ece_at(0.5), films)[1] == pytest.approx(
        2 / 3 * 0.42 + 1 / 3 * 0.12, abs=1e-6
    )
    assert values(class_brier_at(0.5), films)[1] == pytest.approx(
        (0.07**2 + 0.91**2 + 0.12**2) / 3, abs=1e-6
    )


def test_a_score_on_an_edge_is_in_the_upper_bin_and_one_in_the_last():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, ELSEWHERE], scores=[1.0, 0.5], labels=[0, 0])],
    )
    assert values(class_d_ece_at(0.5, bins=2), films)[1] == pytest.approx(abs(0.5 - 0.75))
    apart = [seen("a", [SQUARE, ELSEWHERE], scores=[1.0, 0.499], labels=[0, 0])]
    assert values(class_d_ece_at(0.5, bins=2), (films[0], apart))[1] == pytest.approx(0.499 / 2)


def test_classes_without_detections_are_left_out_and_without_truth_are_wrong():
    films = (
        [truth("a", [SQUARE], [0])],
        [seen("a", [SQUARE, SQUARE], scores=[0.8, 0.6], labels=[0, 5])],
    )
    for metric, right, wrong in (
        (class_d_ece_at(0.5), 0.2, 0.6),
        (class_brier_at(0.5), 0.04, 0.36),
    ):
        macro, *per_class = values(metric, films)
        assert [per_class[0], per_class[5]] == pytest.approx([right, wrong], abs=1e-6)
        assert np.isnan(np.delete(per_class, [0, 5])).all()
        assert macro == pytest.approx((right + wrong) / 2, abs=1e-6)


def test_nothing_seen_and_no_films():
    for metric in (class_d_ece_at(0.5), class_brier_at(0.5)):
        assert np.isnan(values(metric, ([truth("a", [SQUARE], [0])], []))).all()
        assert np.isnan(values(metric, ([], []))).all()


def test_against_counting_bin_by_bin():
    films = made_up(np.random.default_rng(2), films=60, classes=np.arange(4))
    matches = match_films(*films, 0.4)
    ours, brier = values(class_d_ece_at(0.4), films), values(class_brier_at(0.4), films)
    for label in range(8):
        mine = matches.of_class(label)
        scores, hits = matches.scores[mine].astype(float), matches.hits[mine]
        expected = 0.0
        for number in range(20):
            inside = (scores >= number / 20) & ((scores < (number + 1) / 20) | (number == 19))
            if inside.any():
                expected += inside.mean() * abs(hits[inside].mean() - scores[inside].mean())
        assert ours[1 + label] == pytest.approx(expected, abs=1e-9)
        assert brier[1 + label] == pytest.approx(brier_score_loss(hits, scores), abs=1e-9)


def test_weights_are_copies_of_films():
    truths, detections = made_up(np.random.default_rng(8), films=20, classes=np.arange(3))
    weights = np.random.default_rng(9).integers(0, 4, 20)
    copies = copied(truths, weights), copied(detections, weights)
    for metric in (class_d_ece_at(0.4), class_brier_at(0.4)):
        weighted = metric(truths, detections)(weights.astype(float))
        np.testing.assert_allclose(weighted, values(metric, copies), atol=1e-12)


def test_calibration_makes_both_smaller_on_films_that_it_has_not_seen():
    learnt = made_up(np.random.default_rng(20), films=300, classes=np.arange(2))
    fresh = made_up(np.random.default_rng(21), films=300, classes=np.arange(2))
    calibration = fit_calibration(*learnt, iou=0.4)
    after = (fresh[0], calibrate_films(fresh[1], calibration))
    for metric in (class_d_ece_at(0.4), class_brier_at(0.4)):
        before, now = values(metric, fresh), values(metric, after)
        assert (now[1:3] < 0.75 * before[1:3]).all()
        assert now[0] < before[0]


def test_each_number_has_its_interval():
    films = made_up(np.random.default_rng(1), films=40, classes=np.arange(3))
    for metric in (class_d_ece_at(0.4), class_brier_at(0.4)):
        rows = intervals(*films, metric, seed=0, draws=40)
        assert len(rows) == 9
        assert all(row.low < row.high for row in rows)
