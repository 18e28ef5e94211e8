"""Label savings: crossings, what is not reached, and draws that know no more than was measured."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.simulation import wording
from lungal.simulation.curves import Curve
from lungal.simulation.inference import draw_seeds
from lungal.simulation.savings import NEVER, Range, describe, needed, saving, savings


def curve(budgets, scores):
    return Curve(np.array(budgets, float), np.array(scores, float))


RISING = curve([10, 20, 40], [0.2, 0.4, 0.6])


@pytest.mark.parametrize(
    ("target", "cost"),
    [
        (0.3, Range(15, 15)),  # between rounds
        (0.4, Range(20, 20)),  # at a round
        (0.6, Range(40, 40)),  # at the end
        (0.7, Range(40, NEVER)),  # never, and not extrapolated
        (0.2, Range(0, 10)),  # at the start
        (0.1, Range(0, 10)),
    ],
)
def test_what_a_score_costs(target, cost):
    found = needed(RISING, target)
    assert (found.low, found.high) == pytest.approx((cost.low, cost.high))


def test_a_lucky_peak_counts_with_the_dip_after_it():
    # .5 and .3 become .4 and .4; the target .45 is between the third and the fourth
    found = needed(curve([10, 20, 30, 40], [0.2, 0.5, 0.3, 0.5]), 0.45)
    assert found.exact
    assert found.low == pytest.approx(35)


def test_a_plateau_is_crossed_where_it_begins():
    assert needed(curve([10, 20, 30, 40], [0.2, 0.4, 0.4, 0.4]), 0.4).low == pytest.approx(20)


def test_rounds_that_cost_nothing_are_one():
    assert needed(curve([10, 20, 20, 30], [0.2, 0.3, 0.5, 0.6]), 0.4).low == pytest.approx(20)


@pytest.mark.parametrize(
    ("arm", "reference", "known", "said"),
    [
        (Range(70, 70), Range(100, 100), Range(0.3, 0.3), "30 %"),
        (Range(100, 100), Range(100, 100), Range(0.0, 0.0), "0 %"),
        (Range(120, 120), Range(100, 100), Range(-0.2, -0.2), "\N{MINUS SIGN}20 %"),
        (Range(70, 70), Range(100, NEVER), Range(0.3, 1.0), ">= 30 %"),
        (Range(100, NEVER), Range(80, 80), Range(-NEVER, -0.25), "<= \N{MINUS SIGN}25 %"),
        (Range(100, NEVER), Range(100, NEVER), Range(-NEVER, 1.0), "not reached"),
        (Range(0, 60), Range(100, 100), Range(0.4, 1.0), ">= 40 %"),
        (Range(0, 0), Range(0, 0), Range(-NEVER, 1.0), "not reached"),
        (Range(30, 30), Range(0, 0), Range(-NEVER, -NEVER), "needs more"),
    ],
)
def test_what_is_known_of_a_saving(arm, reference, known, said):
    found = saving(arm, reference)
    assert (found.low, found.high) == pytest.approx((known.low, known.high))
    assert describe(found) == said


def test_an_end_beyond_the_arms_own_is_a_bound_and_not_a_number():
    found = saving(Range(150, 150), Range(100, NEVER))  # the reference was given less
    assert (found.low, found.high) == (-0.5, 1.0)


def seeds(scores, budgets=(10, 20, 40)):
    return [curve(budgets, row) for row in scores]


def judged(arm, reference, full, share=0.9):
    drawn = draw_seeds(len(arm), draws=100, seed=0)
    return savings(arm, reference, np.array(full), share, drawn, level=0.95, arms=3)


def test_seeds_that_agree_give_an_interval_of_no_width():
    fast, slow = [[0.2, 0.4, 0.6]] * 4, [[0.2, 0.3, 0.4]] * 4
    found = judged(seeds(fast), seeds(slow), [0.5] * 4, 0.6)  # .3: at 15 and at 20
    assert found.text == "25 %"
    assert found.interval == pytest.approx((0.25, 0.25))
    assert found.together == pytest.approx((0.25, 0.25))
    assert found.censored == 0


def test_draws_that_do_not_get_there_leave_the_interval_open():
    fast = seeds([[0.2, 0.4, 0.6]] * 4)
    slow = seeds([[0.2, 0.3, 0.5], [0.2, 0.3, 0.44], [0.2, 0.3, 0.5], [0.2, 0.3, 0.46]])
    found = judged(fast, slow, [0.5] * 4)  # .45; the second seed alone never gets there
    assert found.measured.exact
    assert 0 < found.censored < 1
    assert found.interval[1] == 1  # no bound above: the reference may have needed any number
    assert 0 < found.interval[0] <= found.measured.low


def test_what_nobody_reaches_is_unknown():
    both = seeds([[0.2, 0.3, 0.4]] * 3)
    found = judged(both, both, [0.9] * 3)
    assert found.text == "not reached"
    assert found.interval == (-NEVER, 1)
    assert found.censored == pytest.approx(1)


def test_what_all_reach_at_the_start():
    both = seeds([[0.5, 0.6, 0.7]] * 3)
    assert judged(both, both, [0.5] * 3).text == "reached at the start"


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ((0.1, 0.3), "10 to 30 %"),
        ((-NEVER, 0.2), "at most 20 %"),
        ((0.2, 1.0), "20 % or more"),
        ((-NEVER, 1.0), "no bound"),
        ((-NEVER, -NEVER), "no bound"),  # the reference was there before anything was read
        ((math.nan, math.nan), "no interval"),
    ],
)
def test_an_interval_in_words(bounds, told):
    assert wording.interval(bounds) == told


def test_one_seed_has_no_interval():
    found = judged(seeds([[0.2, 0.4, 0.6]]), seeds([[0.2, 0.3, 0.5]]), [0.5])
    assert found.measured.exact
    assert all(math.isnan(end) for end in (*found.interval, *found.together))


SCORES = st.lists(st.floats(0.1, 0.9), min_size=3, max_size=3)


@given(st.lists(st.tuples(SCORES, SCORES), min_size=2, max_size=4), st.floats(0.01, 100))
def test_savings_know_no_unit(pairs, scale):
    arm, reference = [one for one, _ in pairs], [other for _, other in pairs]
    full = [0.8] * len(pairs)
    plain = judged(seeds(arm), seeds(reference), full)
    budgets = [scale * budget for budget in (10, 20, 40)]
    scaled = judged(seeds(arm, budgets), seeds(reference, budgets), full)
    assert scaled.measured.low == pytest.approx(plain.measured.low)
    assert scaled.measured.high == pytest.approx(plain.measured.high)
    assert scaled.interval == pytest.approx(plain.interval)
    assert plain.interval[0] <= plain.interval[1]
    assert plain.together[0] <= plain.interval[0]
    assert plain.interval[1] <= plain.together[1]


@given(SCORES, SCORES, st.floats(0.05, 0.95))
def test_a_saving_and_its_reverse_agree(one, other, target):
    a, b = needed(curve([10, 20, 40], one), target), needed(curve([10, 20, 40], other), target)
    there, back = saving(a, b), saving(b, a)
    assert there.low <= there.high
    if there.exact:
        assert (1 - there.low) * (1 - back.low) == pytest.approx(1)
