"""Which films are read next, how they are sent, and campaigns that try it out."""

from typing import Annotated, Any, Literal

from pydantic import Field

from lungal.params.section import (
    Above0,
    Fraction,
    OfFindings,
    Overlaps,
    Positive,
    Section,
    Seeds,
)

CONTROLS = ("shuffled", "oracle")
"""What an arm of a simulation may be that is no way of choosing, but shows that the others are."""
CHANCE = ("random", "stratified_random")
"""Arms of a simulation that need no model: what the others are compared with."""
ALL_LABELS = "full"
"""Not an arm: what is trained on all labels at once."""
Strategy = Literal[
    "least_confidence",
    "entropy",
    "margin",
    "consistency",
    "committee",
    "contradiction",
    "random",
]
Selector = Literal["topk", "random", "stratified_random", "coreset", "ppal", "claspd", "typicality"]


class SelectParams(Section):
    """Which films a radiologist reads next."""

    strategy: Strategy = "entropy"
    """How a film is scored."""
    selector: Selector = "claspd"
    """How films are chosen of the pool."""
    calibrate: bool = True
    """Calibrate the detections on the validation films before anything is made of them."""
    aggregate: Literal["max", "mean", "sum", "min", "top3"] = "sum"
    """How the doubts about a film's boxes become the film's score."""
    score_threshold: Fraction = 0.05
    """Detections below are noise, not doubt."""
    without_detections: Literal["first", "last"] = "last"
    """Where films without a detection above the threshold stand in the ranking."""
    difficulty: Literal["none", "validation"] | Annotated[dict[str, Above0], OfFindings] = "none"
    """Weight of a class's uncertainty: none, all count alike | validation, by how hard the class is
    on the validation films | by name, 1 where a class is not named."""
    label_precision: Annotated[dict[str, Fraction], OfFindings] = Field(default_factory=dict)
    """How often a report's word for a finding is right, by name; NIH's for those not named."""
    quota: Literal["even", "proportional"] = "even"
    """Of `stratified_random`: films in turns to all strata, or as many as their size says."""
    candidates: Annotated[float, Field(ge=1)] = 4.0
    """Of `ppal` and `claspd`: how many films the scores leave for each that is chosen of them."""
    stratified: Fraction = 0.66
    """Of `claspd`: share of the films that is dealt out to the classes."""
    noise: Annotated[float, Field(ge=0)] = 0.0
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
    seeds: Seeds = ()
    """A campaign of each arm for each of them; none: nothing is played."""
    rounds: Positive = 6
    initial: Positive = 60
    """How many films are labelled before the first round: with every class among them."""
    budget: Positive = 30
    """Films a round."""
    arms: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Ways of choosing by name: what differs from the section `select`; or `control: shuffled`,
    whose scores tell nothing, or `control: oracle`, which chooses by the truth, both with the
    selector `topk`."""
    members: Annotated[int, Field(ge=2)] = 3
    """Of the committee, in arms that ask one: each learns without its share of the films."""
    iou: Overlaps = (0.3, 0.4, 0.5)
    """Overlaps over which a detector's score, its macro AP, is averaged."""
    workers: Positive = 2
    """Campaigns at once, each in a process with its share of the machine's threads."""
