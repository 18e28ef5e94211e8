"""Few seeds: t intervals, Holm by hand, draws that are listed, percentiles that are widened."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lungal.simulation.inference import draw_seeds, holm, paired_t, quantile, tail, together


def test_the_paired_t_by_hand():
    shift = paired_t(np.array([1.0, 2.0, 3.0, 4.0]))
    assert shift.value == 2.5
    assert shift.error == pytest.approx(math.sqrt(5 / 3) / 2)
    low, high = shift.bounds(0.95)
    assert (low, high) == pytest.approx(
        (2.5 - 3.1824 * shift.error, 2.5 + 3.1824 * shift.error), 1e-4
    )
    assert shift.p == pytest.approx(stats.ttest_1samp([1, 2, 3, 4], 0).pvalue)


def test_unknown_seeds_do_not_count():
    assert paired_t(np.array([1.0, np.nan, 3.0])).seeds == 2


def test_one_seed_tells_a_difference_and_nothing_of_its_size():
    shift = paired_t(np.array([0.3]))
    assert shift.value == 0.3
    assert math.isnan(shift.p)
    assert all(map(math.isnan, shift.bounds(0.95)))
    assert math.isnan(paired_t(np.array([])).value)


def test_seeds_that_agree_to_the_last_digit():
    assert paired_t(np.zeros(5)).p == 1
    assert paired_t(np.full(5, 0.1)).p == 0


def test_holm_by_hand():
    # sorted .005 .01 .03 .04, times 4 3 2 1: .02 .03 .06 .04, and the last is raised to .06
    found = holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005, "e": float("nan")})
    assert [found[name] for name in "abcd"] == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert math.isnan(found["e"])
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


@given(st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=6))
def test_holm_keeps_the_order_and_never_lowers(ps):
    found = holm(ps)
    names = sorted(ps, key=ps.__getitem__)
    assert all(ps[name] <= found[name] <= min(1, len(ps) * ps[name]) + 1e-12 for name in ps)
    assert [found[name] for name in names] == sorted(found.values())


def test_bonferroni():
    assert together(0.95, 5) == pytest.approx(0.99)
    assert together(0.95, 0) == pytest.approx(0.95)


def test_few_seeds_are_drawn_in_all_ways():
    drawn = draw_seeds(3, draws=7, seed=0)
    expected = {}
    for way in product(range(3), repeat=3):
        key = tuple(np.bincount(way, minlength=3) / 3)
        expected[key] = expected.get(key, 0) + 1 / 27
    found = {tuple(row): chance for row, chance in zip(drawn.shares, drawn.chances, strict=True)}
    assert found == pytest.approx(expected)


def test_many_seeds_are_drawn_at_random_and_alike():
    drawn, again = (draw_seeds(9, draws=300, seed=1) for _ in range(2))
    assert drawn.chances.sum() == pytest.approx(1)
    assert drawn.shares.sum(axis=1) == pytest.approx(1)
    assert (drawn.shares == again.shares).all()


def test_the_expanded_percentiles():
    # Hesterberg 2015, table 4: for n = 5 a one-sided 2.5 % becomes 0.1 %, for n = 20 1.6 %
    assert tail(0.95, 5) == pytest.approx(0.00096, abs=1e-5)
    assert tail(0.95, 20) == pytest.approx(0.016, abs=5e-4)
    assert tail(0.95, 10**6) == pytest.approx(0.025, abs=1e-4)
    assert math.isnan(tail(0.95, 1))


def test_percentiles_may_be_infinite():
    values, chances = np.array([-np.inf, 1.0, 2.0, np.nan]), np.array([0.1, 0.4, 0.4, 0.1])
    assert quantile(values, chances, 0.05) == -np.inf
    assert quantile(values, chances, 0.5) == 1
    assert quantile(values, chances, 1.0) == 2
    assert math.isnan(quantile(values, chances, float("nan")))
