"""The space: which of the training parameters a search may change, and how."""

from collections.abc import Mapping
from typing import Any, Protocol

from lungal.params import SpaceParams, TrainParams, TuneParams

PLACES: dict[str, tuple[str | None, str]] = {
    "learning_rate": (None, "learning_rate"),
    "brightness": ("augment", "brightness"),
    "contrast": ("augment", "contrast"),
    "crop": ("augment", "crop"),
    "focal_alpha": (None, "focal_alpha"),
    "focal_gamma": (None, "focal_gamma"),
    "localisation_weight": (None, "localisation_weight"),
    "anchor_scale": ("anchors", "scale"),
}
"""Where each parameter of SpaceParams lives in TrainParams: section, key."""


class Suggester(Protocol):
    """What suggests: an Optuna trial."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number between low and high."""
        ...

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        """Return one of the choices."""
        ...


def suggest(trial: Suggester, train: TrainParams, space: SpaceParams) -> TrainParams:
    """Return `train` with what the trial suggests from the space, which `train` is always part of.

    The learning rate is drawn on a logarithmic scale.
    """
    changes: dict[str, Any] = {}
    for name, now in baseline(train, space).items():
        choice = getattr(space, name)
        if name == "crop":
            changes[name] = trial.suggest_categorical(name, list(dict.fromkeys([*choice, now])))
        else:
            low, high = min(choice[0], now), max(choice[1], now)
            changes[name] = trial.suggest_float(name, low, high, log=name == "learning_rate")
    return change(train, changes)


def change(train: TrainParams, changes: Mapping[str, Any]) -> TrainParams:
    """Return `train` with the named parameters of the space changed, and checked."""
    fields = train.model_dump()
    for name, value in changes.items():
        section, key = PLACES[name]
        (fields[section] if section else fields)[key] = value
    return TrainParams.model_validate(fields)


def baseline(train: TrainParams, space: SpaceParams) -> dict[str, Any]:
    """Return the values that `train` has for the parameters of the space."""
    fields = train.model_dump()
    varied = [name for name, choice in space if choice is not None]
    places = [(name, *PLACES[name]) for name in varied]
    return {name: (fields[section] if section else fields)[key] for name, section, key in places}


def shorten(params: TrainParams, tune: TuneParams) -> TrainParams:
    """Return the parameters of a trial: fewer steps, the warm-up's share of them unchanged."""
    return params.of_steps(tune.steps).model_copy(update={"validate_every": tune.validate_every})
