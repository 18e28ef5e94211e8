"""The detector: its network, its training, the search, and how it looks at films."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lungal.params.section import (
    Above0,
    Fraction,
    Overlap,
    Overlaps,
    Positive,
    Rising,
    Section,
    Seed,
)

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
    "gamma_up", "gamma_down", "clahe", "turn_left", "turn_right", "shrink", "enlarge", "zoom"
]


Alpha = Annotated[float, Field(gt=0, lt=1)]
Gamma = Annotated[float, Field(ge=0)]


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

    scale: Above0 = 4.0
    scales_per_octave: Positive = 2
    aspect_ratios: Annotated[tuple[Above0, ...], Field(min_length=1)] = (1.0, 2.0, 0.5)


class TrainParams(Section):
    """One training run."""

    steps: Positive = 1500
    batch_size: Positive = 8
    learning_rate: Above0 = 1e-3
    warmup_steps: Annotated[int, Field(ge=0)] = 100
    weight_decay: Annotated[float, Field(ge=0)] = 4e-5
    batch_norm_decay: Annotated[float, Field(gt=0, lt=1)] = 0.97
    average_decay: Annotated[float, Field(ge=0, lt=1)] = 0.995
    """Of the weights' moving average, which is validated and served; 0: the last weights."""
    focal_alpha: Alpha = 0.25
    focal_gamma: Gamma = 2.0
    localisation_weight: Above0 = 1.0
    augment: AugmentParams = AugmentParams()
    anchors: AnchorParams = AnchorParams()
    validate_every: Positive = 250
    patience: Positive = 4
    """Validations without a better AP before training stops."""
    mixed_precision: Literal["auto", "on", "off"] = "auto"
    seed: Seed = 0

    def of_steps(self, steps: int) -> Self:
        """Return the same for another number of steps, the warm-up's share of them unchanged."""
        warmup = min(self.warmup_steps, self.warmup_steps * steps // self.steps)
        return self.model_copy(update={"steps": steps, "warmup_steps": warmup})


class SpaceParams(Section):
    """What Optuna may change. A range is (low, high); a list is a choice; None leaves it alone.

    The ends of a range are legal values of the parameter itself.
    """

    learning_rate: Annotated[tuple[Above0, Above0], Rising] | None = (1e-4, 5e-3)
    brightness: Annotated[tuple[Fraction, Fraction], Rising] | None = (0.0, 0.3)
    contrast: Annotated[tuple[Fraction, Fraction], Rising] | None = (0.0, 0.4)
    crop: tuple[bool, ...] | None = None
    focal_alpha: Annotated[tuple[Alpha, Alpha], Rising] | None = (0.25, 0.75)
    focal_gamma: Annotated[tuple[Gamma, Gamma], Rising] | None = (1.0, 2.5)
    localisation_weight: Annotated[tuple[Above0, Above0], Rising] | None = (0.5, 3.0)
    anchor_scale: Annotated[tuple[Above0, Above0], Rising] | None = (2.0, 5.0)


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
    seed: Seed = 0


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


class DetectParams(Section):
    """How a trained model looks at films."""

    batch_size: Positive = 16
    score_threshold: Fraction = 0.01
    """Detections below are not kept."""
    max_detections: Positive = 100
    views: tuple[ViewName, ...] = ()
    """Other ways in which each film of the pool is looked at; none by default: each costs as much
    as the first look."""
    fused: tuple[ViewName, ...] = ("zoom",)
    """Views whose detections are fused with those of the film as it is, wherever the model looks
    at a film: test-time augmentation. Each costs as much as the first look."""

    @model_validator(mode="after")
    def look_once_in_each_way(self) -> Self:
        for name, views in (("views", self.views), ("fused", self.fused)):
            if twice := sorted({view for view in views if views.count(view) > 1}):
                raise ValueError(f"{name} names {', '.join(twice)} twice")
        return self


class EvaluateParams(Section):
    """How detections are judged."""

    iou: Overlaps = (0.3, 0.4, 0.5)
    working_score: Fraction = 0.3
    """Score from which a detection counts in the confusion matrix and is drawn in the gallery."""
    working_iou: Overlap = 0.4
    """Overlap from which it counts there as the finding that it points at."""
    bootstrap: Positive = 500
    gallery: Annotated[int, Field(ge=0)] = 16
    seed: Seed = 0


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
    learning_rate: Above0 = 0.003
    weight_decay: Annotated[float, Field(ge=0)] = 1e-3
    validate_every: Positive = 100
