"""All of params.yaml: read, checked, and with the machine's profile resolved."""

from pathlib import Path
from typing import Any, Self

import yaml
from pydantic import ValidationError, model_validator

from lungal.errors import ParamsError, UnknownNameError
from lungal.params.choosing import (
    ALL_LABELS,
    CHANCE,
    CONTROLS,
    QueueParams,
    SelectParams,
    SimulateParams,
)
from lungal.params.detector import (
    CrossfitParams,
    DetectParams,
    EvaluateParams,
    ModelParams,
    ProxyParams,
    TrainParams,
    TuneParams,
)
from lungal.params.films import DataParams, LabelParams, ReadingParams, RecordsParams, SplitParams
from lungal.params.section import Section

NOT_OF_CENTERNET = ("focal_alpha", "focal_gamma", "anchor_scale")
"""Parameters of the search that only detectors with anchors have."""


class Profile(Section):
    """What depends on the machine."""

    model: ModelParams
    train: TrainParams
    tune: TuneParams
    crossfit: CrossfitParams


class Params(Section):
    """All of params.yaml, with `profile` resolved."""

    profile: str
    data: DataParams
    split: SplitParams
    label: LabelParams
    reading: ReadingParams
    records: RecordsParams
    detect: DetectParams
    evaluate: EvaluateParams
    select: SelectParams
    queue: QueueParams
    simulate: SimulateParams = SimulateParams()
    proxy: ProxyParams = ProxyParams()
    profiles: dict[str, Profile]

    @property
    def model(self) -> ModelParams:
        return self.profiles[self.profile].model

    @property
    def train(self) -> TrainParams:
        return self.profiles[self.profile].train

    @property
    def tune(self) -> TuneParams:
        """The search; of parameters that the architecture has, if it varies any."""
        tune = self.profiles[self.profile].tune
        if not self.model.architecture.startswith("centernet"):
            return tune
        space = tune.space.model_copy(update=dict.fromkeys(NOT_OF_CENTERNET))
        return tune.model_copy(update={"space": space})

    @property
    def crossfit(self) -> CrossfitParams:
        return self.profiles[self.profile].crossfit

    @property
    def arms(self) -> dict[str, SelectParams]:
        """How each arm of a simulation chooses, by name."""
        return {name: self._arm(name) for name in self.simulate.arms}

    @model_validator(mode="after")
    def know_the_arms(self) -> Self:
        for name in self.simulate.arms:
            try:
                self._arm(name)
            except ValidationError as error:
                raise ValueError(f"simulate.arms.{name}: {_one_line(error)}") from None
            if wrong := self._contradiction(name):
                raise ValueError(f"simulate.arms.{name}{wrong}")
        return self

    def _contradiction(self, name: str) -> str | None:
        """Say what of an arm does not go with its name, by which the verdict knows its role."""
        changes = self.simulate.arms[name]
        selector, control = self._arm(name).selector, changes.get("control")
        if control is not None and control not in CONTROLS:
            return f".control is {control!r}, not {' or '.join(CONTROLS)}"
        if control is not None and selector != "topk":
            return f" is a control, which goes by scores alone: selector is {selector!r}, not topk"
        if control != (name if name in CONTROLS else None):
            return f".control is {control!r}: the arms {' and '.join(CONTROLS)} are the controls"
        if name in CHANCE and selector != name:
            return f".selector is {selector!r}: an arm of this name chooses by lot"
        if name == ALL_LABELS:
            return ": the arm of this name is trained on all labels, and is always played"
        return None

    def _arm(self, name: str) -> SelectParams:
        changes = dict(self.simulate.arms[name])
        by_scores = {"selector": "topk"} if changes.pop("control", None) else {}
        whole = self.select.model_dump() | by_scores | changes
        return SelectParams.model_validate(whole | {"budget": self.simulate.budget})


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: naming the key that is misspelt, missing or out of range, in one line.
        UnknownNameError: if `profile` names none of `profiles`.
    """
    try:
        params = Params.model_validate(read_sections(path))
    except ValidationError as error:
        raise ParamsError(f"{path}: {_one_line(error)}") from None
    if params.profile not in params.profiles:
        raise UnknownNameError("profile", params.profile, params.profiles)
    return params


def read_sections(path: Path) -> dict[str, Any]:
    """Return the sections of params.yaml as they stand there, unchecked.

    Raises:
        ParamsError: if the file is missing, is not YAML, or holds no sections.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing; run from the root of a lungal project") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} must hold sections, not {type(raw).__name__}")
    return raw


def _one_line(error: ValidationError) -> str:
    found = error.errors()
    first, *others = [one for one in found if not _of_another_kind(one)] or found
    # Where a value may be of several kinds, pydantic names them in brackets.
    key = ".".join(str(part) for part in first["loc"] if "[" not in str(part))
    text = f"{key}: {_explain(first)}" if key else _explain(first)
    return text if not others else f"{text} (and {len(others)} more)"


def _of_another_kind(error: Any) -> bool:
    """Whether a table is refused for being no name, or a name for being no table."""
    name, table = error["type"] == "literal_error", error["type"] == "dict_type"
    return (name and isinstance(error["input"], dict)) or (
        table and isinstance(error["input"], str)
    )


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key {error['loc'][-1]!r}"
    if error["type"] == "missing":
        return "is missing"
    said = str(error["msg"]).removeprefix("Value error, ")
    return said if isinstance(error["input"], dict) else f"{said}, got {error['input']!r}"
