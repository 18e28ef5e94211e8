"""The selectors by the name they have in params.yaml."""

from collections.abc import Callable, Mapping

from lungal.acquisition.protocol import Selector
from lungal.acquisition.selectors.claspd import Claspd
from lungal.acquisition.selectors.coreset import Coreset
from lungal.acquisition.selectors.drawn import Drawn, StratifiedDrawn
from lungal.acquisition.selectors.ppal import Ppal
from lungal.acquisition.selectors.topk import TopK
from lungal.acquisition.selectors.typicality import Typicality
from lungal.params import SelectParams

SELECTORS: Mapping[str, Callable[[SelectParams], Selector]] = {
    "topk": lambda params: TopK(params.one_per_patient),
    "random": lambda params: Drawn(params.one_per_patient),
    "stratified_random": lambda params: StratifiedDrawn(params.one_per_patient, params.quota),
    "coreset": lambda params: Coreset(params.one_per_patient),
    "ppal": lambda params: Ppal(params.one_per_patient, params.candidates),
    "claspd": lambda params: claspd(params),
    "typicality": lambda params: Typicality(params.one_per_patient),
}


BY_CLASS = frozenset({"claspd"})
"""Selectors that look at `Pool.class_doubts`, which take as long to find as all the rest."""


def build_selector(params: SelectParams) -> Selector:
    """Return the selector that `params.selector` names."""
    return SELECTORS[params.selector](params)


def claspd(params: SelectParams) -> Claspd:
    """Return claspd with its parameters."""
    return Claspd(
        params.one_per_patient,
        params.candidates,
        params.stratified,
        params.noise,
        params.noise_decay,
        params.embedding_weight,
    )
