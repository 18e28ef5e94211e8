"""Uncertainty of a film by hand, and the random baseline."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.acquisition.chance import Chance
from lungal.acquisition.strategies import STRATEGIES, build
from lungal.acquisition.uncertainty import AGGREGATES, LeastConfidence
from lungal.errors import UnknownNameError
from lungal.params import SelectParams
from lungal.records import Detections


def film(*scores, image_id="00000001_000"):
    count = len(scores)
    boxes = np.tile(np.array([0, 0, 9, 9], np.float32), (count, 1))
    labels = (4 + np.arange(count, dtype=np.int32)) % 8
    return Detections(image_id, boxes, np.array(scores, np.float32), labels)


@pytest.mark.parametrize(
    ("aggregate", "expected"), [("max", 0.75), ("mean", 0.5), ("min", 0.25), ("sum", 1 / 2)]
)
def test_by_hand(aggregate, expected):
    assert LeastConfidence(aggregate, 0.05)(film(0.75, 0.25, 0.04)) == pytest.approx(expected)


def test_a_sum_ranks_films_by_the_sum_and_stays_below_one():
    score = LeastConfidence("sum", 0.0)
    many, few = film(*[0.25] * 100), film(0.25)
    assert score(many) == pytest.approx(75 / 76)
    assert score(few) == pytest.approx(0.75 / 1.75)


def test_the_threshold_itself_counts():
    score = LeastConfidence("max", 0.25)
    assert score(film(0.9, 0.25)) == pytest.approx(0.75)
    assert score(film(0.9, 0.2499)) == pytest.approx(0.1)


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("nothing", [film(), film(0.01)])
def test_films_without_detections_come_first_or_last(aggregate, nothing):
    extremes = [film(1.0), film(0.05), film(*[0.05] * 100)]
    first = LeastConfidence(aggregate, 0.05, "first")
    last = LeastConfidence(aggregate, 0.05, "last")
    assert all(first(nothing) > first(extreme) for extreme in extremes)
    assert all(last(nothing) < last(extreme) for extreme in extremes)


scores = st.lists(st.floats(0, 1, width=32), max_size=30)


@given(scores, st.sampled_from(sorted(AGGREGATES)), st.floats(0, 1), st.randoms())
def test_scores_lie_in_the_unit_interval_in_any_order(scores, aggregate, threshold, shuffler):
    score = LeastConfidence(aggregate, threshold)
    shuffled = shuffler.sample(scores, len(scores))
    assert 0 <= score(film(*scores)) <= 1
    assert score(film(*shuffled)) == score(film(*scores))


@given(scores, scores)
def test_a_sum_ranks_as_the_plain_sum(one, other):
    score = LeastConfidence("sum", 0.0)
    sums = [sum(1 - p for p in film) for film in (one, other)]
    if one and other and min(sums) > 1e-5 and abs(sums[0] - sums[1]) > 1e-3:
        assert (score(film(*one)) > score(film(*other))) == (sums[0] > sums[1])


def test_reasons_in_plain_words():
    strategy = LeastConfidence("mean", 0.05, "last")
    assert strategy.explain(film(0.41, 0.17)) == (
        "mean of 1 - p over 2 detections = 0.71; surest: Mass 0.41"
    )
    assert "over 1 detection =" in strategy.explain(film(0.41))
    assert strategy.explain(film(0.01)) == "no detection from score 0.05: last"


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
    assert build(SelectParams(aggregate="max", without_detections="first")) == LeastConfidence(
        "max", 0.05, "first"
    )
    assert build(SelectParams(strategy="random", seed=3)) == Chance(3)


def test_an_unknown_strategy_lists_the_known():
    with pytest.raises(UnknownNameError, match="'entropy'; known: least_confidence, random"):
        build(SelectParams(strategy="entropy"))
    assert set(STRATEGIES) == {"least_confidence", "random"}
