"""The strategies by the name they have in params.yaml."""

from collections.abc import Callable, Mapping

from lungal.acquisition.chance import Chance
from lungal.acquisition.protocol import Acquisition
from lungal.acquisition.uncertainty import LeastConfidence
from lungal.errors import UnknownNameError
from lungal.params import SelectParams

STRATEGIES: Mapping[str, Callable[[SelectParams], Acquisition]] = {
    "least_confidence": lambda params: LeastConfidence(
        params.aggregate, params.score_threshold, params.without_detections
    ),
    "random": lambda params: Chance(params.seed),
}


def build(params: SelectParams) -> Acquisition:
    """Return the strategy that `params.strategy` names.

    Raises:
        UnknownNameError: if no strategy has that name; lists those there are.
    """
    if params.strategy not in STRATEGIES:
        raise UnknownNameError("strategy", params.strategy, STRATEGIES)
    return STRATEGIES[params.strategy](params)
