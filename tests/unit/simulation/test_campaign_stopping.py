"""When to stop: a known curve is found again, and a few rounds say nothing."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.simulation.curves import Curve
from lungal.simulation.stopping import LEAST, fit, suggest

FILMS = np.arange(60.0, 461.0, 40.0)
HOW = {"least_gain": 0.005, "level": 0.95, "draws": 50, "seed": 0}


def curve(a, b, c, noise=None):
    scores = a - b * (FILMS / 60) ** -c
    return Curve(FILMS, scores if noise is None else scores + noise)


@pytest.mark.parametrize(
    "law", [(0.6, 0.3, 0.7), (0.9, 0.5, 0.2), (0.5, 0.2, 2.0), (1.0, 0.6, 0.1)]
)
def test_a_known_curve_is_found_again(law):
    found = fit(curve(*law))
    assert (found.a, found.b, found.c) == pytest.approx(law, rel=1e-3)
    assert found.unit == 60


def test_a_flat_curve_and_a_falling_one_gain_nothing():
    for scores in (np.full(len(FILMS), 0.4), np.linspace(0.5, 0.4, len(FILMS))):
        found = suggest("a", [Curve(FILMS, scores)] * 4, **HOW)
        assert found.gain == pytest.approx(0, abs=1e-9)
        assert found.stop is True


@given(st.lists(st.floats(0, 1), min_size=4, max_size=11))
def test_any_curve_has_a_law_within_its_bounds(scores):
    law = fit(Curve(FILMS[: len(scores)], np.array(scores)))
    assert law.a <= 1
    assert law.b >= 0
    assert np.isfinite(law.at(FILMS)).all()


def test_the_gain_by_hand():
    found = suggest("a", [curve(0.6, 0.3, 0.7)] * 4, **HOW)
    expected = 0.3 * ((460 / 60) ** -0.7 - (500 / 60) ** -0.7)
    assert found.batch == 40
    assert found.gain == pytest.approx(expected, rel=1e-3)
    assert found.upper == pytest.approx(expected, rel=1e-3)  # the seeds are alike
    assert found.stop is True
    assert suggest("a", [curve(0.6, 0.3, 0.7)] * 4, **HOW | {"least_gain": 0.001}).stop is False


@pytest.mark.parametrize("seeds", [1, 4])
def test_noise_raises_the_bound_and_the_same_noise_alike(seeds):
    random = np.random.default_rng(0)
    curves = [curve(0.6, 0.3, 0.7, random.normal(0, 0.01, len(FILMS))) for _ in range(seeds)]
    found = suggest("a", curves, **HOW)
    assert found.upper > found.gain
    assert found == suggest("a", curves, **HOW)


def test_what_was_left_of_the_pool_is_no_batch():
    films = np.append(FILMS, FILMS[-1] + 3)
    scores = 0.6 - 0.3 * (films / 60) ** -0.3
    found = suggest("a", [Curve(films, scores)] * 4, **HOW | {"least_gain": 0.003})
    assert found.batch == 40
    assert found.stop is False


def test_few_seeds_bound_nothing():
    found = suggest("a", [curve(0.6, 0.3, 0.7)] * 3, **HOW)
    assert found.stop is None
    assert found.gain == pytest.approx(0.3 * ((460 / 60) ** -0.7 - (500 / 60) ** -0.7), rel=1e-3)
    assert np.isnan(found.upper)
    assert "3 seeds are too few" in found.reason


def test_a_detector_that_has_not_begun_to_learn_is_at_no_plateau():
    found = suggest("a", [Curve(FILMS, np.zeros(len(FILMS)))] * 5, **HOW)
    assert found.stop is None
    assert "hardly begun" in found.reason


def test_a_few_rounds_are_too_few():
    few = Curve(FILMS[: LEAST - 1], np.linspace(0.2, 0.4, LEAST - 1))
    found = suggest("a", [few] * 3, **HOW)
    assert found.stop is None
    assert found.law is None
    assert "too few" in found.reason
    assert suggest("a", [Curve(FILMS[:1], np.array([0.2]))], **HOW).stop is None
