"""Who is filmed, and what they have: everything about a film that is known before it is drawn."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np

from lungal.params import PhantomParams
from lungal.records import CLASSES

NIH_BOXES = {
    "Atelectasis": 180,
    "Cardiomegaly": 146,
    "Effusion": 153,
    "Infiltrate": 123,
    "Mass": 85,
    "Nodule": 79,
    "Pneumonia": 120,
    "Pneumothorax": 98,
}
"""Boxes of each finding in NIH's BBox_List_2017.csv: how often the phantom has it."""

_FILMS_PER_PATIENT = (0.50, 0.20, 0.12, 0.08, 0.06, 0.04)  # of 1, 2, ... films
_SERIES = (6, 12)  # films of a patient who is filmed again and again, fewest and most
_FINDINGS_PER_FILM = (0.89, 0.10, 0.01)  # of 1, 2, ... findings, as on NIH's boxed films
_AP_SHARE = 0.4
_TEST_SHARE = 0.23
_PATIENT, _FILM, _WEAK_LABEL, _DRAWING, _WARD = range(5)


@dataclass(frozen=True, slots=True)
class Patient:
    """What stays the same on every film of a person. Lengths in film pixels."""

    number: int
    sex: str  # "F" | "M"
    age: int  # years, at the first film
    official_split: str  # "train_val" | "test"
    habitus: float  # from -1, thin, to 1, obese
    half_width: float  # of the chest, inside the ribs, at its widest
    apex: float  # y of the lungs' tops
    dome: float  # y of the right hemidiaphragm's top, at full inspiration
    heart_ratio: float  # cardiothoracic ratio on a PA film, healthy
    knob: float  # radius of the aortic knob
    rib_spacing: float

    @property
    def patient_id(self) -> str:
        """Eight digits, as NIH's."""
        return f"{self.number:08d}"


@dataclass(frozen=True, slots=True)
class Case:
    """One film to be drawn."""

    seed: int
    patient: Patient
    follow_up: int
    view: str  # "PA" | "AP"
    findings: tuple[str, ...]  # the truth, in the order of CLASSES
    weak_findings: tuple[str, ...] | None  # what the image-level label says; None: it is missing
    found_on: int  # the follow-up on which the findings were first seen

    @property
    def image_id(self) -> str:
        """Patient and follow-up, as NIH's file names without their suffix."""
        return f"{self.patient.patient_id}_{self.follow_up:03d}"

    def stream(self, name: str) -> np.random.Generator:
        """Return the random numbers of one part of the drawing, independent of all other parts."""
        return self._stream(self.follow_up, name)

    def lesion_stream(self, name: str) -> np.random.Generator:
        """Return the random numbers of a finding: the same on all films that show it."""
        return self._stream(self.found_on, name)

    def _stream(self, follow_up: int, name: str) -> np.random.Generator:
        part = int.from_bytes(name.encode(), "little")
        return _stream(self.seed, _DRAWING, self.patient.number, follow_up, part)


def plan(params: PhantomParams) -> list[Case]:
    """Return params.films cases, patient by patient; more films only add cases at the end."""
    return list(islice(_cases(params), params.films))


def _cases(params: PhantomParams) -> Iterator[Case]:
    for number in count(1):
        rng = _stream(params.seed, _PATIENT, number)
        patient = _patient(number, rng)
        films = 1 + int(rng.choice(len(_FILMS_PER_PATIENT), p=_FILMS_PER_PATIENT))
        ward = _stream(params.seed, _WARD, number)  # apart, so that `series` moves nothing else
        if ward.random() < params.series:
            for follow_up in range(int(ward.integers(_SERIES[0], _SERIES[1] + 1))):
                yield _case(patient, follow_up, params, found_on=0)
        else:
            for follow_up in range(films):
                yield _case(patient, follow_up, params, found_on=follow_up)


def _patient(number: int, rng: np.random.Generator) -> Patient:
    sex = "F" if rng.random() < 0.44 else "M"
    size = -14.0 if sex == "F" else 8.0
    return Patient(
        number=number,
        sex=sex,
        age=int(np.clip(rng.normal(48, 16), 8, 92)),
        official_split="test" if rng.random() < _TEST_SHARE else "train_val",
        habitus=float(np.clip(rng.normal(0, 0.5), -1, 1)),
        half_width=float(np.clip(rng.normal(398 + size, 18), 345, 445)),
        apex=float(rng.uniform(122, 190)),
        dome=float(rng.uniform(685, 760)),
        heart_ratio=float(rng.uniform(0.40, 0.465)),
        knob=float(rng.uniform(34, 52)),
        rib_spacing=float(rng.uniform(57, 68)),
    )


def _case(patient: Patient, follow_up: int, params: PhantomParams, *, found_on: int) -> Case:
    view, findings = _film(patient, follow_up, params)
    if found_on != follow_up:
        _, findings = _film(patient, found_on, params)
    label_rng = _stream(params.seed, _WEAK_LABEL, patient.number, follow_up)
    weak = _weak_findings(findings, params, label_rng)
    return Case(params.seed, patient, follow_up, view, findings, weak, found_on)


def _film(patient: Patient, follow_up: int, params: PhantomParams) -> tuple[str, tuple[str, ...]]:
    rng = _stream(params.seed, _FILM, patient.number, follow_up)
    view = "AP" if rng.random() < _AP_SHARE else "PA"
    healthy = rng.random() < params.no_finding
    return view, () if healthy else _findings(rng, params.rarity)


def _findings(rng: np.random.Generator, rarity: float) -> tuple[str, ...]:
    weights = np.array([NIH_BOXES[name] for name in CLASSES], np.float64) ** rarity
    number = 1 + int(rng.choice(len(_FINDINGS_PER_FILM), p=_FINDINGS_PER_FILM))
    drawn = rng.choice(len(CLASSES), number, replace=False, p=weights / weights.sum())
    return tuple(CLASSES[i] for i in sorted(drawn))


def _weak_findings(
    findings: tuple[str, ...], params: PhantomParams, rng: np.random.Generator
) -> tuple[str, ...] | None:
    missing, noisy, drops = rng.random(3) < (params.label_missing, params.label_noise, 0.5)
    if missing:
        return None
    if not noisy:
        return findings
    if findings and drops:
        lost = findings[rng.integers(len(findings))]
        return tuple(name for name in findings if name != lost)
    wrong = [name for name in CLASSES if name not in findings]
    return tuple(sorted((*findings, wrong[rng.integers(len(wrong))])))


def _stream(seed: int, *key: int) -> np.random.Generator:
    # numpy's seeds are not negative: a negative one becomes its two's complement.
    return np.random.default_rng([seed % 2**64, *key])
