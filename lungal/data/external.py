"""A set of films from elsewhere to judge a detector on: an NIH folder, or a COCO file.

What cannot be trusted is left out, film by film, with its reason; a film with a bad box is left
out whole, as the rest of its boxes would not be the whole truth. Nothing is stored.
"""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from lungal.data.images import read_pixels
from lungal.data.interchange.coco import read_coco
from lungal.data.interchange.door import admit
from lungal.data.interchange.film import FoundFilm
from lungal.data.sources.box_file import ALIASES, IMAGE_ID
from lungal.data.sources.intake import take_in
from lungal.data.sources.nih import read_nih, walk_images
from lungal.data.sources.survey import patient_of
from lungal.errors import AnnotationError, ImageError, QuarantineError, SourceError
from lungal.params import SubsetParams
from lungal.records import CLASSES, GroundTruth, LabelledBox


@dataclass(frozen=True, slots=True)
class ExternalFilm:
    """A film whose truth is known, and what else is known of it."""

    image_id: str
    patient_id: str
    path: Path
    truth: tuple[LabelledBox, ...]  # pixels of the film; () is known to hold no finding
    view: str | None = None  # such as PA or AP
    sex: str | None = None  # such as M or F
    age: int | None = None  # years


@dataclass(frozen=True, slots=True)
class ExternalSet:
    """The films of a set, sorted by image_id, and why others are not among them."""

    films: tuple[ExternalFilm, ...]
    refused: tuple[str, ...]  # a line each
    ignored: int = 0  # boxes of findings that are not among the eight

    @property
    def truths(self) -> list[GroundTruth]:
        """What is known to be on each film."""
        return [GroundTruth.of(film.image_id, film.truth) for film in self.films]

    @property
    def patients(self) -> dict[str, str]:
        """Film to patient."""
        return {film.image_id: film.patient_id for film in self.films}

    def without(self, names: Collection[str]) -> "ExternalSet":
        """Return the set without the films of these names."""
        gone = frozenset(names)
        return replace(self, films=tuple(f for f in self.films if f.image_id not in gone))


def read_external(
    path: Path,
    images: Path | None,
    *,
    subset: SubsetParams,
    tolerance: float,
    ignore_other: bool = False,
) -> ExternalSet:
    """Read a folder in NIH's layout, or a COCO JSON file with the films that it names.

    Args:
        path: of the folder or the file.
        images: where a COCO file's films lie; None: beside it.
        subset: which films of an NIH folder.
        tolerance: share of the films that may be left out, in [0, 1].
        ignore_other: leave out a COCO file's boxes of other findings, not the films they are on.

    Raises:
        SourceError: if there is no such folder or file, or no film whose truth is known.
        QuarantineError: if more films must be left out than tolerated, with the first reason.
    """
    if path.is_dir():
        if images is not None or ignore_other:
            raise SourceError(
                f"{path} is a folder in NIH's layout; its films and findings are its own"
            )
        found = _read_nih(path, subset)
    elif path.is_file():
        found = _read_coco(path, path.parent if images is None else images, ignore_other)
    else:
        raise SourceError(
            f"{path} does not exist; known: a folder in NIH's layout, a COCO JSON file"
        )
    total = len(found.films) + len(found.refused)
    if not total:
        raise SourceError(f"{path} names no film whose truth is known")
    if not found.films or len(found.refused) > tolerance * total:
        raise QuarantineError(
            f"{len(found.refused)} of {total} films of {path} cannot be used, "
            f"tolerated are {tolerance:.1%}; the first: {found.refused[0]}"
        )
    return found


def _read_nih(root: Path, subset: SubsetParams) -> ExternalSet:
    survey = read_nih(root, subset)
    known = [film for film in survey.films if film.truth is not None]
    intake = take_in(replace(survey, films=tuple(known)), None)
    films = [
        ExternalFilm(
            film.image_id,
            film.patient_id,
            film.path,
            film.truth or (),
            film.view,
            film.sex,
            film.age,
        )
        for film in (stored.film for stored in intake.films)
    ]
    here = {film.image_id for film in survey.films} - {film.image_id for film in known}
    left_out = [
        f"{bad.name}: {bad.reason}"
        for bad in intake.quarantine
        if bad.kind == "film" or Path(bad.name).stem in here
    ]
    return ExternalSet(tuple(films), tuple(left_out))


def _read_coco(file: Path, images: Path, ignore_other: bool) -> ExternalSet:  # noqa: FBT001
    if not images.is_dir():
        raise SourceError(f"no folder of films at {images}")
    paths = _by_name(images)
    described = _described(file)
    films: dict[str, ExternalFilm] = {}
    refused: list[str] = []
    ignored = 0
    for found in read_coco(file):
        if not isinstance(found, FoundFilm):
            refused.append(f"{found.where}: {found.reason}")
            continue
        known = _without_other(found) if ignore_other else found
        ignored += len(found.boxes) - len(known.boxes)
        try:
            film = _coco_film(known, paths, images, described.get(found.film, {}))
        except (AnnotationError, ImageError) as error:
            refused.append(f"{found.where}: {error}")
            continue
        if film.image_id in films:
            refused.append(f"{found.where}: a second film named {film.image_id}")
        else:
            films[film.image_id] = film
    return ExternalSet(tuple(films[name] for name in sorted(films)), tuple(refused), ignored)


def _by_name(images: Path) -> dict[str, Path]:
    paths: dict[str, Path] = {}
    for path in walk_images(images):
        paths.setdefault(path.name, path)
    if not paths:
        raise SourceError(f"no film under {images}")
    return paths


def _described(file: Path) -> dict[str, dict[str, Any]]:
    """Return what a COCO file may say of a film beyond the format: patient, view, sex, age."""
    try:
        rows = json.loads(file.read_text(encoding="utf-8-sig"))["images"]
        described = [row for row in rows if isinstance(row, dict) and "file_name" in row]
        return {str(row["file_name"]): row for row in described}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}  # read_coco says what is wrong with it


def _without_other(found: FoundFilm) -> FoundFilm:
    boxes = [
        box for box in found.boxes if ALIASES.get(box.label.strip(), box.label.strip()) in CLASSES
    ]
    return replace(found, boxes=tuple(boxes))


def _coco_film(
    found: FoundFilm, paths: Mapping[str, Path], images: Path, described: Mapping[str, Any]
) -> ExternalFilm:
    direct = images / found.film
    try:
        path = direct if direct.is_file() else paths.get(PureWindowsPath(found.film).name)
    except OSError:  # a name that no file can have
        path = None
    if path is None:
        raise AnnotationError(f"the film {found.film} is not under {images}")
    height, width = read_pixels(path).shape
    image_id = Path(found.film).stem
    own = patient_of(image_id) if IMAGE_ID.fullmatch(image_id) else image_id
    age = _whole(described.get("age"))
    return ExternalFilm(
        image_id,
        _patient(described.get("patient_id")) or own,
        path,
        admit(found, (width, height)).boxes,
        view=_text(described.get("view")),
        sex=_text(described.get("sex")),
        age=age if isinstance(age, int) else None,
    )


def _patient(value: object) -> str | None:
    """Return who was filmed, None where nobody says.

    Raises:
        AnnotationError: if it is no name: films of a patient taken for those of several would be
            drawn apart, and judged on though the model knows the patient.
    """
    gap = isinstance(value, float) and math.isnan(value)
    if value is None or gap or (isinstance(value, str) and not value.strip()):
        return None
    named = _text(_whole(value))
    if named is None:
        raise AnnotationError(f"patient_id is {value!r}, which is no name; legal: text, a number")
    return named


def _whole(value: object) -> object:
    """Return 45 for 45.0, as columns with gaps are often written, and all else as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _text(value: object) -> str | None:
    named = isinstance(value, (str, int)) and not isinstance(value, bool)
    return str(value) if named and str(value).strip() else None


def first_lines(refused: Sequence[str], most: int = 5) -> list[str]:
    """Return the first of the refused, and a line that says how many more there are."""
    more = len(refused) - most
    return [*refused[:most], f"and {more} more"] if more > 0 else list(refused)
