"""Films and their labels: where they come from, how they are split, what readings become."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lungal.params.section import Above0, Fraction, Overlap, Positive, Section


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
    iou: Overlap = 0.4
    """Overlap from which two boxes of a finding are the same."""
    adjudicate_below: Fraction = 0.5
    """Agreement of a film's readings below which it is disputed."""
    weights: dict[str, Above0] = Field(default_factory=dict)
    """Reader to weight in `fusion` and `majority`; 1 for those who are not named."""
    idle_seconds: Positive = 300
    """What a reading counts for at most: a film left open over lunch is not work."""


class RecordsParams(Section):
    """How labelled films become TFRecords."""

    shards: Positive = 4
    detail: Annotated[float, Field(ge=1, le=4)] = 2.0
    """Side of the training films in multiples of the input size: what is cropped from them is
    shrunk then, not enlarged and so blurred."""
