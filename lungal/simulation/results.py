"""What is written down of a campaign: how good its detectors were, and what was chosen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from lungal.params import ALL_LABELS

FULL = ALL_LABELS
"""The name of the arm that knows all labels from the start: what the others are measured by."""


@dataclass(frozen=True, slots=True)
class Point:
    """A detector of a campaign: what its labels cost, and how good it is on the test films."""

    arm: str  # the way of choosing, or FULL
    seed: int
    round: int  # 0: trained on the initial films
    films: int  # labelled so far, the initial ones included
    boxes: int  # on them
    seconds: float  # readers' time so far, of a simulated reader; 0 in round 0
    score: float  # in [0, 1], macro over the classes
    classes: tuple[float, ...]  # (C,) the same of each of CLASSES; NaN without test boxes


@dataclass(frozen=True, slots=True)
class Pick:
    """A film that was chosen in a campaign: its receipt."""

    arm: str
    seed: int
    round: int  # from 1: the round in which it was read; its detector is that of round - 1
    rank: int  # 1 was chosen first
    image_id: str
    score: float  # the strategy's
    components: Mapping[str, float | str] = field(default_factory=dict)
    boxes: tuple[int, ...] = ()  # (C,) how many boxes of each class it turned out to hold
    reason: str = ""  # what the score was made of, in words


@dataclass(frozen=True, slots=True)
class Chain:
    """One arm's campaign with one seed: its detectors by round, and what was chosen for each."""

    points: tuple[Point, ...]
    picks: tuple[Pick, ...]
