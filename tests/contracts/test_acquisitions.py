"""Every strategy keeps the promises of an Acquisition."""

import pytest

from lungal.acquisition.aggregation import AGGREGATES
from lungal.acquisition.strategies import STRATEGIES, build
from lungal.testing import AcquisitionContract, make_evidence, make_select

WEIGHTS = {"Mass": 2.0, "Nodule": 0.5}


class EachStrategy(AcquisitionContract):
    def test_a_score_lies_in_the_unit_interval(self, acquisition):
        for count in (0, 1, 3, 100):
            assert 0 <= acquisition(make_evidence("00000001_000", count)) <= 1

    def test_a_reason_is_one_line(self, acquisition):
        for count in (0, 1, 3):
            reason = acquisition.explain(make_evidence("00000001_000", count))
            assert reason
            assert reason.isprintable()


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestEveryName(EachStrategy):
    @pytest.fixture
    def acquisition(self, strategy):
        return build(make_select(strategy=strategy))


@pytest.mark.parametrize("aggregate", AGGREGATES)
@pytest.mark.parametrize("policy", ["first", "last"])
class TestEveryAggregate(EachStrategy):
    @pytest.fixture
    def acquisition(self, aggregate, policy):
        return build(make_select(aggregate=aggregate, without_detections=policy))


@pytest.mark.parametrize("strategy", STRATEGIES)
class TestEveryNameWithDifficulty(EachStrategy):
    @pytest.fixture
    def acquisition(self, strategy):
        return build(make_select(strategy=strategy, difficulty=WEIGHTS, aggregate="sum"))


def test_no_strategy_is_left_untested():
    (names,) = TestEveryName.pytestmark
    assert list(names.args[1]) == list(STRATEGIES)
    assert set(STRATEGIES) == {
        "least_confidence",
        "entropy",
        "margin",
        "consistency",
        "committee",
        "contradiction",
        "random",
    }
