"""Uncertainty of a film by hand, and the random baseline."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy as natural_entropy

from lungal.acquisition.aggregation import AGGREGATES, Aggregation, Doubt
from lungal.acquisition.chance import Chance
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.strategies import build
from lungal.acquisition.uncertainty import (
    BoxUncertainty,
    binary_entropy,
    entropy,
    least_confidence,
    margin,
)
from lungal.errors import ParamsError
from lungal.records import CLASSES, Detections
from lungal.testing import make_select


def film(*scores, image_id="00000001_000", per_class=None):
    count = len(scores)
    boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1))
    labels = (4 + np.arange(count, dtype=np.int32)) % 8
    known = None if per_class is None else np.array(per_class, np.float32)
    return Evidence(Detections(image_id, boxes, np.array(scores, np.float32), labels, known))


def least(aggregate, threshold, policy="last", weights=None):
    how = Aggregation(aggregate, threshold, policy, weights)
    return BoxUncertainty(least_confidence, "1 - p", how)


@pytest.mark.parametrize(
    ("aggregate", "expected"), [("max", 0.75), ("mean", 0.5), ("min", 0.25), ("sum", 1 / 2)]
)
def test_by_hand(aggregate, expected):
    assert least(aggregate, 0.05)(film(0.75, 0.25, 0.04)) == pytest.approx(expected)


def test_the_top_three_are_averaged_and_fewer_are_all_there_are():
    score = least("top3", 0.05)
    assert score(film(0.9, 0.75, 0.5, 0.25, 0.04)) == pytest.approx((0.25 + 0.5 + 0.75) / 3)
    assert score(film(0.75, 0.25)) == pytest.approx(0.5)
    assert score(film(0.75)) == pytest.approx(0.25)


def test_a_sum_ranks_films_by_the_sum_and_stays_below_one():
    score = least("sum", 0.0)
    many, few = film(*[0.25] * 100), film(0.25)
    assert score(many) == pytest.approx(75 / 76)
    assert score(few) == pytest.approx(0.75 / 1.75)


def test_the_threshold_itself_counts():
    score = least("max", 0.25)
    assert score(film(0.9, 0.25)) == pytest.approx(0.75)
    assert score(film(0.9, 0.2499)) == pytest.approx(0.1)


@pytest.mark.parametrize("measure", [least_confidence, entropy, margin])
@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("nothing", [film(), film(0.01)])
def test_films_without_detections_come_first_or_last(aggregate, nothing, measure):
    extremes = [film(1.0), film(0.05), film(0.5), film(*[0.05] * 100)]
    first = BoxUncertainty(measure, "doubt", Aggregation(aggregate, 0.05, "first"))
    last = BoxUncertainty(measure, "doubt", Aggregation(aggregate, 0.05, "last"))
    assert all(first(nothing) > first(extreme) for extreme in extremes)
    assert all(last(nothing) < last(extreme) for extreme in extremes)


scores = st.lists(st.floats(0, 1, width=32), max_size=30)


@given(
    scores,
    st.sampled_from(sorted(AGGREGATES)),
    st.sampled_from([least_confidence, entropy, margin]),
    st.floats(0, 1),
    st.randoms(),
)
def test_scores_lie_in_the_unit_interval_in_any_order(
    scores, aggregate, measure, threshold, shuffler
):
    score = BoxUncertainty(measure, "doubt", Aggregation(aggregate, threshold))
    shuffled = shuffler.sample(scores, len(scores))
    assert 0 <= score(film(*scores)) <= 1
    assert score(film(*shuffled)) == score(film(*scores))


@given(scores, scores)
def test_a_sum_ranks_as_the_plain_sum(one, other):
    score = least("sum", 0.0)
    sums = [sum(1 - p for p in film) for film in (one, other)]
    if one and other and min(sums) > 1e-5 and abs(sums[0] - sums[1]) > 1e-3:
        assert (score(film(*one)) > score(film(*other))) == (sums[0] > sums[1])


def test_entropy_is_that_of_the_class_most_in_doubt():
    # h(.1) = .469, h(.5) = 1, h(.9) = .469; of the second box only its own score is in question
    per_class = [[0.9, 0.5, 0.1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0.1, 0, 1]]
    (one, other) = entropy(film(0.9, 0.1, per_class=per_class))
    assert one == Doubt(1.0, 1), "a doubt about the class it is about, not about the box's own"
    assert other.value == pytest.approx(0.4689956)
    assert other.label == 5
    assert [doubt.value for doubt in entropy(film(0.9, 0.5))] == pytest.approx([0.4689956, 1.0])


def test_as_one_finding_a_box_is_in_doubt_about_that_alone():
    # labels 4 and 5
    per_class = [[0, 0, 0, 0, 0.95, 0.5, 0, 0], [0, 0, 0, 0, 0.2, 0.6, 0, 0]]
    evidence = film(0.95, 0.6, per_class=per_class)
    (alone,) = entropy(evidence.of_class(4))
    assert alone.value == pytest.approx(float(binary_entropy(0.95)), abs=1e-6)
    assert alone.label == 4
    (other,) = margin(evidence.of_class(5))
    assert other.value == pytest.approx(0.4, abs=1e-6), "what else it may be does not count"


@given(st.floats(0, 1))
def test_binary_entropy_is_scipys(p):
    assert float(binary_entropy(p)) == pytest.approx(natural_entropy([p, 1 - p], base=2), abs=1e-12)


def test_the_margin_is_between_the_two_likeliest_classes():
    per_class = [[0.1, 0.7, 0.0, 0.5, 0, 0, 0, 0], [1.0, 0, 0, 0, 0, 0, 0, 0]]
    doubts = margin(film(0.7, 1.0, per_class=per_class))
    assert [doubt.value for doubt in doubts] == pytest.approx([0.8, 0.0])
    assert [doubt.value for doubt in margin(film(0.7, 1.0))] == pytest.approx([0.3, 0.0])
    assert margin(film(per_class=np.zeros((0, 8)))) == []


def test_a_doubt_about_a_class_that_counts_less_counts_less():
    weights = tuple(0.5 if name == "Mass" else 1.0 for name in CLASSES)
    mass_and_nodule = film(0.5, 0.9)  # labels 4 and 5
    assert least("max", 0.05)(mass_and_nodule) == pytest.approx(0.5)
    assert least("max", 0.05, weights=weights)(mass_and_nodule) == pytest.approx(0.25)
    assert least("mean", 0.05, weights=weights)(mass_and_nodule) == pytest.approx((0.25 + 0.1) / 2)


def test_reasons_in_plain_words():
    strategy = least("mean", 0.05)
    assert strategy.explain(film(0.41, 0.17)) == (
        "mean of 1 - p over 2 detections = 0.71; surest: Mass 0.41"
    )
    assert "over 1 detection =" in strategy.explain(film(0.41))
    assert strategy.explain(film(0.01)) == "no detection from score 0.05: last"
    weighted = least("top3", 0.05, weights=(1.0,) * 8)
    assert weighted.explain(film(0.41)).startswith("top3 of weighted 1 - p over 1 detection = 0.59")


def test_chance_depends_on_seed_and_film_alone():
    chance = Chance(7)
    assert chance(film(0.9)) == chance(film()) == Chance(7)(film(0.1, 0.2))
    assert chance(film(image_id="other")) != chance(film())
    assert Chance(8)(film()) != chance(film())


def test_chance_is_even():
    draws = [Chance(0)(film(image_id=str(number))) for number in range(4000)]
    counts = np.histogram(draws, bins=10, range=(0, 1))[0]
    assert counts.min() > 330
    assert counts.max() < 470


def test_strategies_by_name():
    assert build(make_select(aggregate="max", without_detections="first"))(film()) == 1.0
    built = build(make_select(aggregate="max", score_threshold=0.2))
    assert built(film(0.5, 0.1)) == pytest.approx(0.5)
    assert build(make_select(strategy="random", seed=3)) == Chance(3)
    assert build(make_select(strategy="entropy"))(film(0.9)) == pytest.approx(0.4689956)
    assert build(make_select(strategy="margin"))(film(0.9)) == pytest.approx(0.1)


def test_weights_that_nobody_measured_are_asked_for():
    params = make_select(difficulty="validation")
    with pytest.raises(ParamsError, match=r"select\.difficulty is `validation`"):
        build(params)
    weights = tuple(1.0 if name == "Nodule" else 0.5 for name in CLASSES)
    assert build(params, weights)(film(0.5)) == pytest.approx(0.25)
    # measured in vain: nobody asked for it
    assert build(make_select(), weights)(film(0.5)) == pytest.approx(0.5)


def test_weights_by_name_are_relative_to_the_largest():
    strategy = build(make_select(difficulty={"Nodule": 4.0, "Mass": 2.0}, aggregate="max"))
    assert strategy(film(0.5)) == pytest.approx(0.25)  # a mass


def test_an_aggregate_is_exact():
    values = [0.1] * 10
    assert AGGREGATES["sum"](values) == 1.0
    assert AGGREGATES["mean"](values) == math.fsum(values) / 10
