"""From a survey to stored films: decode, check, convert, hash."""

import hashlib
import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Any

import pandas as pd

from lungal.data.encoded import is_plain
from lungal.data.images import decode, encode_png
from lungal.data.sources.box_file import SIDE
from lungal.data.sources.checksums import FILE_NAME
from lungal.data.sources.survey import Film, Quarantined, Survey
from lungal.errors import ImageError, QuarantineError
from lungal.records import CLASSES, LabelledBox, OnProgress


@dataclass(frozen=True, slots=True)
class Stored:
    """A film that is fit for use."""

    film: Film
    file_name: str
    sha256: str  # of the stored file
    pixels_sha256: str  # of the decoded pixels


@dataclass(frozen=True, slots=True)
class Intake:
    """What came of a survey."""

    survey: Survey
    films: tuple[Stored, ...]  # sorted by image_id
    quarantine: tuple[Quarantined, ...]  # the survey's and what decoding added

    @property
    def truth(self) -> dict[str, tuple[LabelledBox, ...]]:
        """The boxes by image_id of the films whose truth is known; () is no finding."""
        return {
            stored.film.image_id: stored.film.truth
            for stored in self.films
            if stored.film.truth is not None
        }


def take_in(survey: Survey, folder: Path | None, progress: OnProgress | None = None) -> Intake:
    """Check each film and store it in a folder as 8-bit grey of SIDE x SIDE pixels.

    A file that is so already is copied byte for byte; any other depth, palette or channel count
    is stored as PNG. Of films with the same pixels the first by name is kept. Films are decoded
    by a thread per core (cv2 works outside the GIL), so that memory does not grow with the set.

    Args:
        survey: what to take in.
        folder: where to; None only checks.
        progress: called with (done, total).
    """
    films: list[Stored] = []
    quarantine = list(survey.quarantine)
    first_with: dict[str, str] = {}
    with ThreadPool(os.cpu_count()) as pool:
        results = pool.imap(partial(_take, folder=folder), survey.films, chunksize=8)
        for done, taken in enumerate(results, start=1):
            if isinstance(taken, Quarantined):
                quarantine.append(taken)
            elif twin := first_with.get(taken.pixels_sha256):
                quarantine.append(
                    Quarantined("film", taken.film.path.name, f"has the pixels of {twin}")
                )
                if folder is not None:
                    (folder / taken.file_name).unlink()
            else:
                first_with[taken.pixels_sha256] = taken.film.image_id
                films.append(taken)
            if progress is not None:
                progress(done, len(survey.films))
    return Intake(survey, tuple(films), tuple(quarantine))


def check_tolerance(intake: Intake, tolerance: float) -> None:
    """Check that few enough films and boxes were left out.

    Raises:
        QuarantineError: with the share, the tolerance and the first reason.
    """
    if not intake.films:
        first = next(bad for bad in intake.quarantine if bad.kind == "film")
        raise QuarantineError(f"no film is fit for use; the first: {first.name}: {first.reason}")
    for kind, total in (("film", len(intake.survey.films)), ("box", intake.survey.rows)):
        bad = [one for one in intake.quarantine if one.kind == kind]
        if bad and len(bad) > tolerance * total:
            where = "" if bad[0].line is None else f", line {bad[0].line}"
            raise QuarantineError(
                f"{len(bad)} of {total} {'films' if kind == 'film' else 'boxes'} quarantined, "
                f"tolerated are {tolerance:.1%}; the first: {bad[0].name}{where}: {bad[0].reason}"
            )


def tabulate(intake: Intake, *, source: str, images: Path) -> pd.DataFrame:
    """Return the manifest of a taken-in set.

    Args:
        intake: the films.
        source: phantom or nih.
        images: the folder of the stored films, relative to the manifest's.
    """
    return pd.DataFrame(
        {
            "image_id": stored.film.image_id,
            "patient_id": stored.film.patient_id,
            "path": (images / stored.file_name).as_posix(),
            "sha256": stored.sha256,
            "width": SIDE,
            "height": SIDE,
            "view": stored.film.view,
            "sex": stored.film.sex,
            "age": stored.film.age,
            "findings": stored.film.findings,
            "source": source,
            "official_split": stored.film.official_split,
        }
        for stored in intake.films
    )


def summarise(intake: Intake) -> dict[str, Any]:
    """Return flat counts and the quarantine list, as reports/ingest.json holds them."""
    truth = intake.truth
    of_class = Counter(box.label for boxes in truth.values() for box in boxes)
    kinds = Counter(bad.kind for bad in intake.quarantine)
    return {
        "films": len(intake.films),
        "patients": len({stored.film.patient_id for stored in intake.films}),
        "films_with_boxes": sum(bool(boxes) for boxes in truth.values()),
        "films_without_finding": sum(not boxes for boxes in truth.values()),
        "films_of_unknown_truth": len(intake.films) - len(truth),
        "boxes": of_class.total(),
        **{f"boxes_{name}": of_class[name] for name in CLASSES},
        **intake.survey.counts,
        "quarantined_films": kinds["film"],
        "quarantined_boxes": kinds["box"],
        "quarantine": [
            {"kind": bad.kind, "name": bad.name, "line": bad.line, "reason": bad.reason}
            for bad in intake.quarantine
        ],
    }


def _take(film: Film, folder: Path | None) -> Stored | Quarantined:
    try:
        encoded = film.path.read_bytes()
    except OSError as error:
        return Quarantined("film", film.path.name, f"cannot be read: {error.strerror}")
    try:
        pixels = decode(encoded, film.path.name)
    except ImageError as error:
        return Quarantined("film", film.path.name, str(error).partition(": ")[2])
    digest = hashlib.sha256(encoded).hexdigest()
    if film.sha256 not in (None, digest):
        return Quarantined("film", film.path.name, f"is no longer the file that {FILE_NAME} names")
    if pixels.shape != (SIDE, SIDE):
        height, width = pixels.shape
        reason = f"is {width}x{height} pixels; known: {SIDE}x{SIDE}"
        return Quarantined("film", film.path.name, reason)
    plain = is_plain(encoded)
    stored = encoded if plain else encode_png(pixels)
    suffix = film.path.suffix.lower() if plain else ".png"
    file_name = film.image_id + suffix
    if folder is not None:
        (folder / file_name).write_bytes(stored)
    if not plain:
        digest = hashlib.sha256(stored).hexdigest()
    return Stored(film, file_name, digest, hashlib.sha256(pixels.data).hexdigest())
