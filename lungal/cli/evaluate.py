"""`lungal evaluate`: how good a model is on films from elsewhere."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.progress import track

from lungal.cli.evaluation_tables import show
from lungal.cli.model import find_model
from lungal.cli.project import Project, plain_console
from lungal.data.sources.box_file import IMAGE_ID
from lungal.data.sources.survey import patient_of
from lungal.errors import EvaluationError, SourceError
from lungal.params import Params, SubsetParams

if TYPE_CHECKING:  # pandas and SciPy take a second, and `lungal --help` needs neither
    from lungal.data.external import ExternalFilm, ExternalSet
    from lungal.data.learnt_from import LearntFrom
    from lungal.records import Detections, Image

Protocol = Literal["wsrpn"]


def evaluate(
    model: Annotated[
        str, typer.Argument(help="champion, candidate, a registered version, or a model folder.")
    ],
    data: Annotated[
        Path,
        typer.Option(help="A folder in NIH's layout, or a COCO JSON file.", show_default=False),
    ],
    images: Annotated[
        Path | None, typer.Option(help="Where a COCO file's films lie; without it, beside it.")
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="JSON file for all that was measured.")
    ] = Path("evaluation.json"),
    against: Annotated[
        str | None, typer.Option(help="Another model to compare with, on the same films.")
    ] = None,
    protocol: Annotated[
        Protocol | None, typer.Option(help="Also judge by a published protocol.")
    ] = None,
    no_finding: Annotated[
        int | None,
        typer.Option(min=0, help="Films without finding of an NIH folder; without it, all."),
    ] = None,
    *,
    ignore_other: Annotated[
        bool,
        typer.Option("--ignore-other", help="Leave out a COCO file's boxes of other findings."),
    ] = False,
    all_films: Annotated[
        bool,
        typer.Option("--all-films", help="Judge on patients that a model learnt from, too."),
    ] = False,
) -> None:
    """Judge a model on films that it has never met, and on which of them it fails.

    Films of patients that a model learnt from are left out; it carries a list of them. Prints
    tables and writes OUT: every measure with its interval, then by view, sex, age and exposure.
    Overlaps, working point and bootstrap are those of `evaluate` in params.yaml.
    """
    from lungal.data.external import read_external
    from lungal.data.learnt_from import read_learnt_from

    if out.is_dir():
        raise SourceError(f"{out} is a folder; --out names a file")
    if no_finding is not None and data.is_file():
        raise SourceError(f"--no-finding {no_finding} is of NIH's layout; {data} is a file")
    params = Project().params
    found = read_external(
        data,
        images,
        subset=_subset(params, no_finding),
        tolerance=params.data.tolerance,
        ignore_other=ignore_other,
    )
    brightness: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        folders = [find_model(name, Path(folder) / name) for name in (model, against) if name]
        learnt = [read_learnt_from(place) for place in folders]
        met = [] if all_films else find_met(found, learnt)
        found = found.without(met)
        version, detections = look(folders[0], found, params, brightness)
        other = look(folders[1], found, params, {}) if against else None
    judged = judge(found, detections, other[1] if other else None, brightness, params, protocol)
    document = {
        "model_version": version,
        "against": other[0] if other else None,
        "data": str(data),
        "met": met if None not in learnt and not all_films else None,
    }
    write(out, document | judged)
    show(Console(), document, found, judged)
    plain_console().print(f"all numbers are in {out}", markup=False)


def find_met(found: "ExternalSet", learnt: "Sequence[LearntFrom | None]") -> list[str]:
    """Return the films of patients that one of the models learnt from, sorted.

    Raises:
        EvaluationError: if no other film is left.
    """
    met = [
        film.image_id
        for film in found.films
        if any(one is not None and _knows(one, film) for one in learnt)
    ]
    if len(met) == len(found.films):
        raise EvaluationError(
            f"all {len(met)} films are of patients that the model learnt from; "
            "it can only be judged on others (--all-films judges nonetheless)"
        )
    return met


def _knows(learnt: "LearntFrom", film: "ExternalFilm") -> bool:
    # A COCO file may name patients in its own way, while its films have NIH's names.
    by_name = patient_of(film.image_id) if IMAGE_ID.fullmatch(film.image_id) else film.patient_id
    return any(learnt.knows(film.image_id, who) for who in (film.patient_id, by_name))


def look(
    folder: Path, found: "ExternalSet", params: Params, brightness: dict[str, float]
) -> tuple[str, "list[Detections]"]:
    """Return a model's version and what it sees; note how bright each film is on the way."""
    from lungal.detectors.tfod.infer import load_detector

    detector = load_detector(folder, params.detect)
    films = _read(found, detector.input_size, brightness)
    console = Console(stderr=True)
    seen = track(detector.detect(films), "Reading films", len(found.films), console=console)
    return detector.model_version, list(seen)


def judge(
    found: "ExternalSet",
    detections: "Sequence[Detections]",
    other: "Sequence[Detections] | None",
    brightness: Mapping[str, float],
    params: Params,
    protocol: Protocol | None,
) -> dict[str, Any]:
    """Return all that is measured: counts, numbers, differences, groups, protocol, refused."""
    from lungal.evaluation import breakdown, protocols
    from lungal.evaluation.measures import compare_all, measure_all, measures

    truths, patients, judging = found.truths, found.patients, params.evaluate
    chosen = measures(judging)
    groups = {
        "view": {film.image_id: film.view or breakdown.UNKNOWN for film in found.films},
        "sex": {film.image_id: film.sex or breakdown.UNKNOWN for film in found.films},
        "age": {film.image_id: breakdown.age_band(film.age) for film in found.films},
        "exposure": breakdown.exposure_thirds(brightness),
    }
    return {
        "films": len(truths),
        "patients": len(set(patients.values())),
        "boxes": sum(len(truth.labels) for truth in truths),
        "working_point": {"score": judging.working_score, "iou": judging.working_iou},
        "numbers": measure_all(truths, detections, chosen, judging, patients),
        "differences": compare_all(truths, detections, other, chosen, judging, patients)
        if other is not None
        else [],
        "groups": breakdown.break_down(truths, detections, groups, judging, patients),
        "protocol": protocols.wsrpn(truths, detections, patients, score=judging.working_score)
        if protocol
        else {},
        "films_with_boxes": sum(len(truth.labels) > 0 for truth in truths),
        "refused": list(found.refused),
        "ignored_boxes": found.ignored,
    }


def write(out: Path, document: Mapping[str, Any]) -> None:
    """Write everything as JSON: named fields, null where a number is not defined."""
    from lungal.data.files import write_json

    write_json(out, _plain(document), indent=1)


def _subset(params: Params, no_finding: int | None) -> SubsetParams:
    if no_finding is None:
        return SubsetParams(rule="everything")
    return SubsetParams(rule="boxed", no_finding=no_finding, seed=params.data.subset.seed)


def _read(found: "ExternalSet", size: int, seen: dict[str, float]) -> "Iterator[Image]":
    from lungal.data.images import brightness, read_pixels
    from lungal.records import Image

    for film in found.films:
        pixels = read_pixels(film.path)
        seen[film.image_id] = brightness(pixels, size)
        yield Image(film.image_id, pixels)


def _plain(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        fields = value._asdict()
        value = fields | fields.pop("interval")._asdict() if "interval" in fields else fields
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return None if math.isnan(value) else round(value, 6)
    return value
