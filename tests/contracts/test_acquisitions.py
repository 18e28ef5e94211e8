"""Every strategy keeps the promises of an Acquisition."""

import pytest

from lungal.acquisition.strategies import STRATEGIES, build
from lungal.params import SelectParams
from lungal.testing import AcquisitionContract, make_detections


class EachStrategy(AcquisitionContract):
    def test_a_score_lies_in_the_unit_interval(self, acquisition):
        for count in (0, 1, 3, 100):
            assert 0 <= acquisition(make_detections("00000001_000", count)) <= 1

    def test_a_reason_is_one_line(self, acquisition):
        for count in (0, 1, 3):
            reason = acquisition.explain(make_detections("00000001_000", count))
            assert reason
            assert reason.isprintable()


@pytest.mark.parametrize("aggregate", ["max", "mean", "sum", "min"])
@pytest.mark.parametrize("policy", ["first", "last"])
class TestLeastConfidence(EachStrategy):
    @pytest.fixture
    def acquisition(self, aggregate, policy):
        return build(SelectParams(aggregate=aggregate, without_detections=policy))


class TestRandom(EachStrategy):
    @pytest.fixture
    def acquisition(self):
        return build(SelectParams(strategy="random"))


def test_no_strategy_is_left_untested():
    assert set(STRATEGIES) == {"least_confidence", "random"}
