"""Learning curves: hand-computed areas, budgets that differ, rounds that cost nothing."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_campaigns import point, points_of

from lungal.errors import EvaluationError
from lungal.simulation.comparison import areas
from lungal.simulation.curves import (
    Curve,
    ahead,
    aubc,
    learning_curves,
    mean_curve,
    score_at,
    shared_range,
)
from lungal.simulation.results import FULL


def curve(budgets, scores):
    return Curve(np.array(budgets, float), np.array(scores, float))


def test_the_area_by_hand():
    # (10 * (.2 + .4) / 2 + 30 * (.4 + .6) / 2) / 40 = (3 + 15) / 40
    assert aubc(curve([10, 20, 50], [0.2, 0.4, 0.6]), 10, 50) == pytest.approx(0.45)


def test_the_area_between_rounds():
    # at 15: .3, at 35: .5; (5 * .35 + 15 * .45) / 20
    assert aubc(curve([10, 20, 50], [0.2, 0.4, 0.6]), 15, 35) == pytest.approx(0.425)


def test_a_round_that_cost_nothing_is_a_step():
    step = curve([10, 20, 20, 30], [0.2, 0.2, 0.4, 0.4])
    assert aubc(step, 10, 30) == pytest.approx(0.3)
    assert aubc(step, 10, 20) == pytest.approx(0.2)
    assert aubc(step, 20, 30) == pytest.approx(0.4)
    assert (score_at(step, 20, before=True), score_at(step, 20)) == (0.2, 0.4)


def test_no_width_has_no_area():
    assert math.isnan(aubc(curve([10, 20], [0.1, 0.2]), 20, 20))


def test_areas_are_over_what_all_arms_of_a_seed_share():
    points = [
        *points_of("a", 0, [0.2, 0.4, 0.6]),  # films 60, 100, 140
        point("b", 0, 0, 0.2, films=60),
        point("b", 0, 1, 0.5, films=80),
        point(FULL, 0, 0, 0.9, films=70),
    ]
    curves = learning_curves(points, "films")
    assert set(curves) == {"a", "b"}
    assert shared_range([curves["a"][0], curves["b"][0]]) == (60, 80)
    found = areas(curves)
    assert found["a"][0] == pytest.approx(0.25)  # .2 to .3
    assert found["b"][0] == pytest.approx(0.35)


def test_ahead_is_at_the_same_budget_and_nowhere_else():
    reference = curve([10, 20], [0.1, 0.3])
    found = ahead(curve([10, 15, 25], [0.1, 0.4, 0.9]), reference)
    assert found[:2] == pytest.approx([0.0, 0.2])
    assert math.isnan(found[2])


def test_the_mean_is_by_round_and_over_rounds_that_all_have():
    mean = mean_curve([curve([10, 20, 30], [0.1, 0.2, 0.3]), curve([10, 40], [0.3, 0.4])])
    assert mean.budgets.tolist() == [10, 30]
    assert mean.scores == pytest.approx([0.2, 0.3])


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (point("a", 0, 0, 0.2), "measured twice"),
        (point("a", 0, 1, 0.2, films=50), "fewer films"),
        (point("a", 0, 1, float("nan")), "scores nan"),
        (point("a", 0, 1, 1.2), "scores 1.2"),
    ],
)
def test_points_that_cannot_be(second, said):
    with pytest.raises(EvaluationError, match=said):
        learning_curves([point("a", 0, 0, 0.1), second], "films")


@given(
    st.lists(st.floats(0, 1), min_size=2, max_size=8),
    st.floats(0.01, 1000),
    st.floats(0, 100),
)
def test_the_area_is_a_mean_score_and_knows_no_unit(scores, scale, shift):
    budgets = np.arange(len(scores), dtype=float)
    area = aubc(curve(budgets, scores), 0, budgets[-1])
    assert min(scores) - 1e-9 <= area <= max(scores) + 1e-9
    moved = curve(scale * budgets + shift, scores)
    assert aubc(moved, moved.budgets[0], moved.budgets[-1]) == pytest.approx(area, abs=1e-6)
