"""The strategies by the name they have in params.yaml."""

from collections.abc import Callable, Mapping
from typing import Literal

from lungal.acquisition.aggregation import Aggregation
from lungal.acquisition.chance import Chance
from lungal.acquisition.committee import committee
from lungal.acquisition.consistency import consistency
from lungal.acquisition.contradiction import PRECISION, Contradiction
from lungal.acquisition.difficulty import named_weights
from lungal.acquisition.protocol import Acquisition
from lungal.acquisition.uncertainty import (
    BoxUncertainty,
    entropy,
    least_confidence,
    margin,
)
from lungal.errors import ParamsError
from lungal.params import SelectParams

Build = Callable[[SelectParams, Aggregation], Acquisition]

STRATEGIES: Mapping[str, Build] = {
    "least_confidence": lambda _, how: BoxUncertainty(least_confidence, "1 - p", how),
    "entropy": lambda _, how: BoxUncertainty(entropy, "entropy", how),
    "margin": lambda _, how: BoxUncertainty(margin, "1 - margin", how),
    "consistency": lambda _, how: BoxUncertainty(consistency, "inconsistency of views", how),
    "committee": lambda _, how: BoxUncertainty(committee, "disagreement of the committee", how),
    "contradiction": lambda params, how: Contradiction(how, precision_of(params)),
    "random": lambda params, _: Chance(params.seed),
}

LOOKS: Mapping[str, Literal["views", "committee"]] = {
    "consistency": "views",
    "committee": "committee",
}
"""Strategies that need other looks at a film, and which: films of the pool have them, no others."""
REPORTS = frozenset({"contradiction"})
"""Strategies that need a film's report."""


def build(params: SelectParams, weights: tuple[float, ...] | None = None) -> Acquisition:
    """Return the strategy that `params.strategy` names.

    Args:
        params: names it, and says how doubts about boxes become the score of a film.
        weights: (C,) in (0, 1], how much a doubt about each class counts, where
            `params.difficulty` is `validation` and so somebody must measure it.

    Raises:
        ParamsError: if the difficulty was to be measured and was not.
    """
    how = Aggregation(
        params.aggregate,
        params.score_threshold,
        params.without_detections,
        _weights(params, weights),
    )
    return STRATEGIES[params.strategy](params, how)


def select_for_one_look(params: SelectParams) -> SelectParams:
    """Return parameters for a film at which one detector looked once.

    A strategy that needs other looks gives way to least confidence.
    """
    strategy = "least_confidence" if params.strategy in LOOKS else params.strategy
    return params.model_copy(update={"strategy": strategy})


def for_a_stranger(params: SelectParams) -> SelectParams:
    """Return parameters for a film of which nothing is known but what one detector sees now.

    A strategy that needs a report gives way to least confidence, too, and a difficulty that would
    have to be measured to none.
    """
    once = select_for_one_look(params)
    strategy = "least_confidence" if once.strategy in REPORTS else once.strategy
    difficulty = "none" if once.difficulty == "validation" else once.difficulty
    return once.model_copy(update={"strategy": strategy, "difficulty": difficulty})


def precision_of(params: SelectParams) -> Mapping[str, float]:
    """Return how often the report's word for each finding is right: NIH's, but for those given."""
    return {**PRECISION, **params.label_precision}


def _weights(params: SelectParams, measured: tuple[float, ...] | None) -> tuple[float, ...] | None:
    if params.difficulty == "none":
        return None
    if params.difficulty != "validation":
        return named_weights(params.difficulty)
    if measured is None:
        raise ParamsError(
            "select.difficulty is `validation`, and nobody measured it; give weights, or none"
        )
    return measured
