"""From whom a model learnt, kept with the model: who judges it elsewhere can leave them out.

A model goes to places where names of patients may not go, so these are hashes. They keep a name
from being read, and not from being guessed.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungal.data.files import write_json
from lungal.errors import DetectorError

FILE = "learnt_from.json"
DIGITS = 16  # of SHA-256, hexadecimal: two of a million names share them once in 37 million


@dataclass(frozen=True, slots=True)
class LearntFrom:
    """Hashes of the films that a model learnt from or was chosen by, and of their patients."""

    films: frozenset[str]
    patients: frozenset[str]

    @classmethod
    def of(cls, patients: Mapping[str, str]) -> "LearntFrom":
        """Build from film to patient, both by name."""
        return cls(frozenset(map(_digest, patients)), frozenset(map(_digest, patients.values())))

    def knows(self, image_id: str, patient_id: str) -> bool:
        """Return whether it has met the film, or another film of the patient."""
        return _digest(image_id) in self.films or _digest(patient_id) in self.patients


def write_learnt_from(folder: Path, learnt: LearntFrom) -> None:
    """Write it into a model's folder; equal films give equal bytes."""
    fields = {"films": sorted(learnt.films), "patients": sorted(learnt.patients)}
    write_json(folder / FILE, fields)


def read_learnt_from(folder: Path) -> LearntFrom | None:
    """Read it from a model's folder; None where the model does not say.

    Raises:
        DetectorError: if the file is damaged.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return LearntFrom(_hashes(document["films"]), _hashes(document["patients"]))
    except (ValueError, KeyError, TypeError) as error:
        raise DetectorError(f"{path} is damaged: {error!r}") from None


def _hashes(values: Iterable[str]) -> frozenset[str]:
    return frozenset(str(value) for value in values)


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:DIGITS]
