"""Typed parameters: the sections of params.yaml as frozen values.

Sections that depend on the machine (model, train, tune) stand under `profiles`; `profile` picks
one. All profiles are checked on every load, so that a typing error does not wait for the GPU.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lungal.errors import ParamsError, UnknownNameError

Architecture = Literal[
    "ssd_mobilenet_v2",
    "ssd_mobilenet_v2_fpnlite",
    "ssd_resnet50_fpn",
    "efficientdet_d0",
    "efficientdet_d1",
    "efficientdet_d2",
    "centernet_mobilenet_v2_fpn",
    "centernet_resnet50_v2",
]
ViewName = Literal[
    "gamma_up", "gamma_down", "clahe", "turn_left", "turn_right", "shrink", "enlarge"
]
CONTROLS = ("shuffled", "oracle")
"""What an arm of a simulation may be that is no way of choosing, but shows that the others are."""
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]
Range = tuple[float, float]


class Section(BaseModel):
    """A frozen section that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PhantomParams(Section):
    """The synthetic chest films."""

    films: Positive = 320
    no_finding: Fraction = 0.3
    """Share of films without any finding."""
    label_noise: Fraction = 0.1
    """Share of image-level labels that are flipped."""
    label_missing: Fraction = 0.05
    """Share of films whose image-level labels are missing."""
    series: Fraction = 0.0
    """Share of patients who are filmed again and again, with the same findings each time."""
    rarity: Annotated[float, Field(ge=0)] = 1.0
    """Power of how often each finding is: 1 is as NIH has them, 0 alike, more makes rare rarer."""
    seed: int = 0


class SubsetParams(Section):
    """Which films of an NIH folder are ingested."""

    rule: Literal["boxed", "everything"] = "boxed"
    """boxed: every film with a box, plus `no_finding` films without finding."""
    no_finding: Annotated[int, Field(ge=0)] = 200
    seed: int = 0


class DataParams(Section):
    """Where films come from, and how much bad input is bearable."""

    source: Literal["phantom", "nih"] = "phantom"
    root: Path | None = None
    """NIH's folder; None: the environment variable LUNGAL_NIH_ROOT."""
    tolerance: Fraction = 0.02
    """Share of films that may be quarantined before the stage fails."""
    subset: SubsetParams = SubsetParams()
    phantom: PhantomParams = PhantomParams()


class SplitParams(Section):
    """How patients are dealt out."""

    method: Literal["patient_hash", "official"] = "patient_hash"
    salt: str = "lungal"
    val: Annotated[float, Field(gt=0, lt=1)] = 0.1
    test: Annotated[float, Field(gt=0, lt=1)] = 0.2

    @model_validator(mode="after")
    def leave_something_to_train_on(self) -> Self:
        if self.val + self.test >= 1:
            raise ValueError(f"val + test must be below 1, got {self.val + self.test:g}")
        return self


class LabelParams(Section):
    """What is labelled before the first round."""

    initial: Positive | Literal["all"] = 60
    """How many training films start with their boxes; the others wait in the pool."""
    seed: int = 0


class ReadingParams(Section):
    """What several readings of a film become, and how readers are judged."""

    policy: Literal["any", "majority", "fusion", "adjudicate"] = "adjudicate"
    """any: every box that somebody drew | majority: boxes that most drew | fusion: boxes that most
    drew, averaged | adjudicate: as fusion, but a disputed film waits until it is read once more."""
    iou: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Overlap from which two boxes of a finding are the same."""
    adjudicate_below: Fraction = 0.5
    """Agreement of a film's readings below which it is disputed."""
    weights: dict[str, Annotated[float, Field(gt=0)]] = {}
    """Reader to weight in `fusion` and `majority`; 1 for those who are not named."""
    idle_seconds: Positive = 300
    """What a reading counts for at most: a film left open over lunch is not work."""


class CrossfitParams(Section):
    """Detectors that look at training films which they have not seen, for re-reading."""

    folds: Annotated[int, Field(ge=0)] = 0
    """0: no film is re-read. Else as many detectors, each trained without its share of films."""
    steps: Positive = 300
    committee: bool = False
    """Whether these detectors look at the pool too, as a committee whose disagreement is doubt."""

    @model_validator(mode="after")
    def leave_something_to_train_on(self) -> Self:
        if self.folds == 1:
            raise ValueError("folds must be 0 or at least 2: one fold leaves nothing to train on")
        if self.committee and not self.folds:
            raise ValueError("committee needs folds of at least 2: they are its members")
        return self


class RecordsParams(Section):
    """How labelled films become TFRecords."""

    shards: Positive = 4


class ModelParams(Section):
    """The shape of the detector."""

    architecture: Architecture = "ssd_mobilenet_v2_fpnlite"
    input_size: Annotated[int, Field(ge=96, le=1536, multiple_of=32)] = 320
    """Side of the square that the network sees, pixels."""
    depth_multiplier: Annotated[float, Field(gt=0, le=2)] = 1.0
    """Width of the MobileNet backbone; ignored by the other architectures."""
    initial_weights: str = "scratch"
    """scratch | imagenet | path or URL of a Keras .h5 backbone | of a TF2 model-zoo checkpoint."""
    initial_weights_sha256: str | None = None

    @model_validator(mode="after")
    def fit_the_pyramid(self) -> Self:
        # The OD API's own limits, which it would report from deep inside a graph.
        if self.architecture.startswith("efficientdet") and (
            self.input_size % 128 or self.input_size == 128
        ):
            raise ValueError(
                f"{self.architecture} needs an input_size that is a multiple of 128, from 256"
            )
        if self.architecture == "ssd_resnet50_fpn" and self.input_size <= 128:
            raise ValueError(f"{self.architecture} needs an input_size above 128")
        return self


class AugmentParams(Section):
    """What training does to a film. Never a left-right flip: it would move the heart."""

    brightness: Fraction = 0.1
    contrast: Fraction = 0.2
    crop: bool = True
    scale: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Random zoom in and out, as a share of the film's side."""
    box_jitter: Annotated[float, Field(ge=0, le=0.2)] = 0.0


class AnchorParams(Section):
    """Anchors of the SSD and EfficientDet families."""

    scale: Annotated[float, Field(gt=0)] = 4.0
    scales_per_octave: Positive = 2
    aspect_ratios: tuple[float, ...] = (1.0, 2.0, 0.5)


class TrainParams(Section):
    """One training run."""

    steps: Positive = 1500
    batch_size: Positive = 8
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 4e-5
    batch_norm_decay: Annotated[float, Field(gt=0, lt=1)] = 0.97
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Of the weights' moving average, which is validated and served; 0: the last weights."""
    focal_alpha: Annotated[float, Field(gt=0, lt=1)] = 0.25
    focal_gamma: Annotated[float, Field(ge=0)] = 2.0
    localisation_weight: Annotated[float, Field(gt=0)] = 1.0
    augment: AugmentParams = AugmentParams()
    anchors: AnchorParams = AnchorParams()
    validate_every: Positive = 250
    patience: Positive = 4
    """Validations without a better AP before training stops."""
    mixed_precision: Literal["auto", "on", "off"] = "auto"
    seed: int = 0


class SpaceParams(Section):
    """What Optuna may change. A range is (low, high); a list is a choice; None leaves it alone."""

    learning_rate: Range | None = (1e-4, 5e-3)
    brightness: Range | None = (0.0, 0.3)
    contrast: Range | None = (0.0, 0.4)
    crop: tuple[bool, ...] | None = None
    focal_alpha: Range | None = (0.25, 0.75)
    focal_gamma: Range | None = (1.0, 2.5)
    localisation_weight: Range | None = (0.5, 3.0)
    anchor_scale: Range | None = (2.0, 5.0)


class TuneParams(Section):
    """The search before the training."""

    trials: Annotated[int, Field(ge=0)] = 8
    """0: train with the values in `train` as they stand."""
    steps: Positive = 300
    validate_every: Positive = 100
    storage: str | None = None
    """SQLAlchemy URL; None: sqlite:///tuning/study.db."""
    heartbeat_seconds: Positive = 30
    space: SpaceParams = SpaceParams()
    seed: int = 0


class DetectParams(Section):
    """How a trained model looks at films."""

    batch_size: Positive = 16
    score_threshold: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Detections below are not kept."""
    max_detections: Positive = 100
    views: tuple[ViewName, ...] = ()
    """Other ways in which each film of the pool is looked at; none by default: each costs as much
    as the first look."""

    @model_validator(mode="after")
    def look_once_in_each_way(self) -> Self:
        if twice := sorted({name for name in self.views if self.views.count(name) > 1}):
            raise ValueError(f"views names {', '.join(twice)} twice")
        return self


class ProxyParams(Section):
    """The stand-in detector of simulated campaigns: a light head on a frozen backbone."""

    input_size: Annotated[int, Field(ge=96, le=1536, multiple_of=32)] = 320
    """Side of the square that the backbone sees, pixels."""
    initial_weights: str = "imagenet"
    """scratch | imagenet | path of a Keras .h5 MobileNetV2 without top."""
    components: Positive = 128
    """Principal components kept of each of the backbone's two feature maps."""
    steps: Positive = 400
    batch_size: Positive = 16
    """Films a step."""
    learning_rate: Annotated[float, Field(gt=0)] = 0.003
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    validate_every: Positive = 100


class EvaluateParams(Section):
    """How detections are judged."""

    iou: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.3, 0.4, 0.5)
    working_score: Fraction = 0.3
    """Score from which a detection counts in the confusion matrix and is drawn in the gallery."""
    working_iou: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """Overlap from which it counts there as the finding that it points at."""
    bootstrap: Positive = 500
    gallery: Annotated[int, Field(ge=0)] = 16
    seed: int = 0


class SelectParams(Section):
    """Which films a radiologist reads next."""

    strategy: str = "least_confidence"
    """How a film is scored."""
    selector: str = "topk"
    """How films are chosen of the pool."""
    calibrate: bool = True
    """Calibrate the detections on the validation films before anything is made of them."""
    aggregate: Literal["max", "mean", "sum", "min", "top3"] = "mean"
    """How the doubts about a film's boxes become the film's score."""
    score_threshold: Fraction = 0.05
    """Detections below are noise, not doubt."""
    without_detections: Literal["first", "last"] = "last"
    """Where films without a detection above the threshold stand in the ranking."""
    difficulty: Literal["none", "validation"] | dict[str, Annotated[float, Field(gt=0)]] = "none"
    """What a doubt about a class counts: alike | as difficult as it is on validation films | as
    much as is said, by name, 1 for those who are not named."""
    label_precision: dict[str, Fraction] = {}
    """How often a report's word for a finding is right, by name; NIH's for those not named."""
    quota: Literal["even", "proportional"] = "even"
    """Of `stratified_random`: films in turns to all strata, or as many as their size says."""
    candidates: Annotated[float, Field(ge=1)] = 4.0
    """Of `ppal` and `claspd`: how many films the scores leave for each that is chosen of them."""
    stratified: Fraction = 0.66
    """Of `claspd`: share of the films that is dealt out to the classes."""
    noise: Annotated[float, Field(ge=0)] = 1.0
    """Of `claspd`: how much chance there is in the first round."""
    noise_decay: Fraction = 0.5
    """Of `claspd`: what remains of it from one round to the next."""
    embedding_weight: Fraction = 0.5
    """Of `claspd`: what embeddings count for two films' distance; the rest is what is detected."""
    budget: Positive = 20
    """Films a round, whatever they are read for."""
    one_per_patient: bool = True
    reread_fraction: Fraction = 0.1
    """Share of the budget for training films whose boxes look wrong (needs crossfit.folds)."""
    seed: int = 0


class QueueParams(Section):
    """How the selection reaches Label Studio."""

    project: str = "lungal"
    draw_threshold: Fraction = 0.2
    """Detections from this score up are pre-drawn."""
    max_boxes: Positive = 10
    blind_fraction: Fraction = 0.2
    """Share of the films that are sent without boxes, to see what the boxes do to readers."""
    control_fraction: Fraction = 0.1
    """Share of the budget for films whose truth is known, unmarked."""
    readers: Annotated[int, Field(ge=1, le=9)] = 2
    """How many read each film of the overlap."""
    overlap_fraction: Fraction = 0.25
    """Share of the films that `readers` read; the others are read once."""
    pseudonyms: bool = True
    """Write readers down as keyed hashes of their addresses, not as their addresses."""


class SimulateParams(Section):
    """Campaigns played with the truth as the reader, to see which way of choosing saves labels."""

    learner: Literal["tfod", "proxy"] = "tfod"
    """tfod: the detector of the profile | proxy: a light head on frozen features, in seconds."""
    seeds: tuple[int, ...] = ()
    """A campaign of each arm for each of them; none: nothing is played."""
    rounds: Positive = 6
    initial: Positive = 60
    """How many films are labelled before the first round: with every class among them."""
    budget: Positive = 30
    """Films a round."""
    arms: dict[str, dict[str, Any]] = {}
    """Ways of choosing by name: what differs from the section `select`; or `control: shuffled`,
    whose scores tell nothing, or `control: oracle`, which chooses by the truth."""
    members: Annotated[int, Field(ge=2)] = 3
    """Of the committee, in arms that ask one: each learns without its share of the films."""
    iou: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = (0.3, 0.4, 0.5)
    """Overlaps over which a detector's score, its macro AP, is averaged."""
    workers: Positive = 2
    """Campaigns at once, each in a process with its share of the machine's threads."""


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
        return self.profiles[self.profile].tune

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
            control = self.simulate.arms[name].get("control", "shuffled")
            if control not in CONTROLS:
                raise ValueError(
                    f"simulate.arms.{name}.control is {control!r}, not {' or '.join(CONTROLS)}"
                )
        return self

    def _arm(self, name: str) -> SelectParams:
        changes = {k: v for k, v in self.simulate.arms[name].items() if k != "control"}
        whole = self.select.model_dump() | changes
        return SelectParams.model_validate(whole | {"budget": self.simulate.budget})


def load_params(path: Path) -> Params:
    """Read and check params.yaml.

    Raises:
        ParamsError: naming the key that is misspelt, missing or out of range, in one line.
        UnknownNameError: if `profile` names none of `profiles`.
    """
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing; run from the root of a lungal project") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    if not isinstance(raw, dict):
        raise ParamsError(f"{path} must hold sections, not {type(raw).__name__}")
    try:
        params = Params.model_validate(raw)
    except ValidationError as error:
        raise ParamsError(f"{path}: {_one_line(error)}") from None
    if params.profile not in params.profiles:
        raise UnknownNameError("profile", params.profile, params.profiles)
    return params


def _one_line(error: ValidationError) -> str:
    first, *others = error.errors()
    key = ".".join(str(part) for part in first["loc"])
    text = f"{key}: {_explain(first)}"
    return text if not others else f"{text} (and {len(others)} more)"


def _explain(error: Any) -> str:
    if error["type"] == "extra_forbidden":
        return f"unknown key {error['loc'][-1]!r}"
    if error["type"] == "missing":
        return "is missing"
    if isinstance(error["input"], dict):
        return str(error["msg"]).removeprefix("Value error, ")
    return f"{error['msg']}, got {error['input']!r}"
