"""What a source folder offers, before any image is opened."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lungal.records import LabelledBox

OfficialSplit = Literal["train_val", "test"]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A film or a box that is left out, and why."""

    kind: Literal["film", "box"]
    name: str
    reason: str
    line: int | None = None  # of the box file, the header being line 1


@dataclass(frozen=True, slots=True)
class Film:
    """One film of a source folder."""

    image_id: str
    path: Path
    findings: tuple[str, ...] | None  # of the whole film: () is No Finding, None is not known
    view: str | None  # PA or AP
    sex: str | None  # M or F
    age: int | None  # years
    official_split: OfficialSplit | None
    truth: tuple[LabelledBox, ...] | None  # () is known to hold no finding, None is not known
    sha256: str | None = None  # of the file when it arrived, None is not known

    @property
    def patient_id(self) -> str:
        """Who is on the film."""
        return patient_of(self.image_id)


@dataclass(frozen=True, slots=True)
class Survey:
    """The films that a subset rule chose, what was left out, and what was not there."""

    films: tuple[Film, ...]  # sorted by image_id
    rows: int  # of the box file
    quarantine: tuple[Quarantined, ...]
    counts: Mapping[str, int]  # for the report: what was named but absent, and the like


def patient_of(image_id: str) -> str:
    """Return the patient of a film: the part of its name before the underscore."""
    return image_id.partition("_")[0]
