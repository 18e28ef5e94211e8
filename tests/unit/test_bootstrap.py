"""The bootstrap against copying films by hand, and against its promise."""

import time

import numpy as np
import pytest
from made_up_films import copied, made_up, seen, truth

from lungal.errors import EvaluationError
from lungal.evaluation.bootstrap import (
    class_ap_at,
    class_ap_over,
    film_weights,
    intervals,
    macro_first,
    paired_difference,
    paired_differences,
    weighted_ap_over,
)
from lungal.evaluation.precision_recall import coco_ap, macro_ap, weighted_ap


@pytest.fixture(scope="module")
def films():
    return made_up(np.random.default_rng(11), films=30, classes=np.arange(5))


def patients_of(truths, films_per_patient=3):
    return {t.image_id: f"p{k // films_per_patient}" for k, t in enumerate(truths)}


def interval(*arguments, **options):
    """The first number of a metric with its interval."""
    return intervals(*arguments, **options)[0]


def test_the_interval_is_that_of_copied_films(films):
    truths, detections = films
    draws = [
        macro_ap(copied(truths, weights), copied(detections, weights), 0.4)
        for weights in film_weights(np.arange(len(truths)), seed=2, draws=40)
    ]
    value, low, high = interval(truths, detections, class_ap_at(0.4), seed=2, draws=40)
    assert value == pytest.approx(macro_ap(truths, detections, 0.4), abs=1e-9)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=1e-6)
    assert low < value < high


@pytest.mark.parametrize("metric", [class_ap_at(0.4), class_ap_over([0.4, 0.5])])
def test_a_draw_without_any_box_does_not_count(metric):
    box = [[10, 10, 50, 50]]
    truths = [truth("a", box, [0]), *(truth(name, [], []) for name in "bcd")]
    found = [seen("a", box, scores=[0.9], labels=[0])]
    assert interval(truths, found, metric, seed=0, draws=50) == pytest.approx((1, 1, 1))


def test_the_weighted_ap_is_drawn_like_copied_films(films):
    truths, detections = films
    ious = (0.3, 0.4, 0.5)
    draws = [
        weighted_ap(copied(truths, weights), copied(detections, weights), ious)
        for weights in film_weights(np.arange(len(truths)), seed=3, draws=20)
    ]
    value, low, high = interval(truths, detections, weighted_ap_over(ious), seed=3, draws=20)
    assert value == pytest.approx(weighted_ap(truths, detections, ious), abs=1e-6)
    assert (low, high) == pytest.approx(tuple(np.quantile(draws, [0.05, 0.95])), abs=1e-6)
    nothing = interval([truth("a", [], [])], [], weighted_ap_over(ious), seed=0, draws=5)
    assert np.isnan(nothing.value)


def test_patients_are_drawn_whole(films):
    truths, _ = films
    groups = np.arange(len(truths)) // 3
    for weights in film_weights(groups, seed=0, draws=20):
        assert weights.sum() == len(truths)
        assert all(len(set(weights[groups == g])) == 1 for g in range(groups.max() + 1))


def test_films_of_one_patient_tell_less(films):
    truths, detections = films
    same = [truth(f"{k}-{t.image_id}", t.boxes, t.labels) for k in range(4) for t in truths]
    found = [
        seen(f"{k}-{d.image_id}", d.boxes, scores=d.scores, labels=d.labels)
        for k in range(4)
        for d in detections
    ]
    patients = {t.image_id: t.image_id.partition("-")[2] for t in same}
    options = {"seed": 1, "draws": 60}
    by_film = interval(same, found, class_ap_at(0.4), **options)
    by_patient = interval(same, found, class_ap_at(0.4), **options, groups=patients)
    alone = interval(truths, detections, class_ap_at(0.4), **options)
    width = [i.high - i.low for i in (by_film, by_patient, alone)]
    assert width[0] < 0.7 * width[1]
    assert width[1] == pytest.approx(width[2], rel=0.1)


def test_films_of_one_patient_have_no_interval(films):
    truths, detections = films
    one = {t.image_id: "p" for t in truths}
    metrics = (truths, detections, class_ap_at(0.4))
    value, low, high = interval(*metrics, seed=1, draws=9, groups=one)
    assert value == pytest.approx(macro_ap(truths, detections, 0.4))
    assert np.isnan([low, high]).all()
    difference = paired_difference(
        truths, detections, detections, class_ap_at(0.4), seed=1, draws=9, groups=one
    )
    assert difference.value == 0
    assert np.isnan(difference[1:]).all()


def test_the_interval_holds_what_it_promises():
    rng = np.random.default_rng(4)
    held = 0
    for repeat in range(200):
        found = rng.random(60) < 0.3
        films = [truth(f"{k:02d}", [], []) for k in range(60)]

        def share(truths, detections, found=found):
            return lambda weights: np.array([weights @ found / weights.sum()])

        _, low, high = interval(films, [], share, seed=repeat, draws=200)
        held += low <= 0.3 <= high
    assert 0.83 <= held / 200 <= 0.96


def test_order_of_films_and_of_draws_does_not_matter(films):
    truths, detections = films
    groups = patients_of(truths)
    options = {"seed": 5, "draws": 25, "groups": groups}
    one = intervals(truths, detections, class_ap_at(0.3), **options)
    other = intervals(truths[::-1], detections[::-1], class_ap_at(0.3), **options)
    np.testing.assert_array_equal(one, other)
    moved = intervals(truths, detections, class_ap_at(0.3), seed=6, draws=25, groups=groups)
    assert moved[0].value == one[0].value
    assert moved[0].low != one[0].low


def test_each_class_has_its_interval_and_absent_ones_have_none(films):
    truths, detections = films
    macro, *per_class = intervals(truths, detections, class_ap_at(0.4), seed=0, draws=30)
    expected = coco_ap(truths, detections, [0.4])
    np.testing.assert_allclose([i.value for i in per_class], expected, atol=1e-6)
    assert np.isnan(per_class[7]).all()
    assert all(i.low <= i.high for i in per_class[:5])
    assert macro.value == pytest.approx(np.nanmean(expected), abs=1e-6)


def test_a_model_does_not_differ_from_itself(films):
    truths, detections = films
    assert paired_difference(
        truths, detections, detections, class_ap_at(0.4), seed=0, draws=10
    ) == (0, 0, 0)


def test_the_pairing_narrows_a_difference(films):
    truths, good = films
    worse = [
        seen(d.image_id, d.boxes + np.float32(25), scores=d.scores, labels=d.labels)
        if number % 2
        else d
        for number, d in enumerate(good)
    ]
    options = {"seed": 3, "draws": 80, "groups": patients_of(truths)}
    difference, low, high = paired_difference(truths, good, worse, class_ap_at(0.4), **options)
    expected = macro_ap(truths, good, 0.4) - macro_ap(truths, worse, 0.4)
    assert difference == pytest.approx(expected, abs=1e-9)
    assert difference > 0
    _, alone_low, alone_high = interval(truths, good, class_ap_at(0.4), **options)
    assert high - low < alone_high - alone_low
    swapped = paired_difference(truths, worse, good, class_ap_at(0.4), **options)
    assert swapped == pytest.approx((-difference, -high, -low), abs=1e-9)


def test_each_number_of_a_metric_has_its_paired_difference(films):
    truths, good = films
    worse = [
        seen(d.image_id, d.boxes + np.float32(25), scores=d.scores, labels=d.labels)
        if number % 2
        else d
        for number, d in enumerate(good)
    ]
    options = {"seed": 3, "draws": 30, "groups": patients_of(truths)}
    found = paired_differences(truths, good, worse, class_ap_at(0.4), **options)
    assert len(found) == 9
    assert found[0] == paired_difference(truths, good, worse, class_ap_at(0.4), **options)
    per_class = coco_ap(truths, good, [0.4]) - coco_ap(truths, worse, [0.4])
    np.testing.assert_allclose([one.value for one in found[1:]], per_class, atol=1e-6)
    weights = list(film_weights(np.arange(len(truths)) // 3, seed=3, draws=30))
    of_good, of_worse = (class_ap_at(0.4)(truths, one) for one in (good, worse))
    drawn = np.array([of_good(w) - of_worse(w) for w in weights])
    low, high = np.nanquantile(drawn[:, 2], [0.05, 0.95])
    assert (found[2].low, found[2].high) == pytest.approx((low, high))


def test_the_ap_over_several_overlaps_is_their_mean(films):
    truths, detections = films
    each = [coco_ap(truths, detections, [iou]) for iou in (0.3, 0.7)]
    found = class_ap_over([0.3, 0.7])(truths, detections)(np.ones(len(truths)))
    np.testing.assert_allclose(found[1:], np.mean(each, axis=0), atol=1e-6)
    assert found[0] == pytest.approx(np.nanmean(found[1:]))


def test_the_mean_of_nothing_is_not_defined():
    rows = macro_first(np.array([[0.5, np.nan, 0.25], [np.nan] * 3]))
    assert rows[0, 0] == 0.375
    assert np.isnan(rows[1]).all()


def test_a_film_without_a_patient_is_named(films):
    truths, detections = films
    groups = {k: v for k, v in patients_of(truths).items() if k != "000003"}
    with pytest.raises(EvaluationError, match="'000003' has no patient"):
        interval(truths, detections, class_ap_at(0.4), seed=0, draws=1, groups=groups)


def test_no_films():
    value, low, high = interval([], [], class_ap_at(0.4), seed=0, draws=3)
    assert value == 0
    assert np.isnan([low, high]).all()


def test_five_hundred_draws_take_seconds():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 500, (150, 100, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(50, 400, corners.shape)], axis=2)
    truths = [truth(f"{k:03d}", boxes[k, :2], rng.integers(0, 8, 2)) for k in range(150)]
    found = [
        seen(f"{k:03d}", boxes[k], scores=rng.random(100), labels=rng.integers(0, 8, 100))
        for k in range(150)
    ]
    started = time.process_time()
    interval(truths, found, class_ap_at(0.4), seed=0, draws=500)
    assert time.process_time() - started < 5
