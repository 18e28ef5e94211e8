"""`lungal evaluate`: how good a model is on films from elsewhere."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from lungal.cli.connection import ROOT
from lungal.cli.model import find_model
from lungal.params import Params, SubsetParams, load_params

if TYPE_CHECKING:  # pandas and SciPy take a second, and `lungal --help` needs neither
    from lungal.data.external import ExternalSet
    from lungal.evaluation.bootstrap import Interval
    from lungal.evaluation.breakdown import Group
    from lungal.evaluation.measures import Number
    from lungal.evaluation.protocols import Spread
    from lungal.records import Detections, Image

UNKNOWN = "-"
SHOWN = ("ap", "sensitivity", "accuracy_iou", "rodeo", "d_ece", "brier")
"""Measures on the screen; the file has all."""

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
) -> None:
    """Judge a model on films that it has never met, and on which of them it fails.

    Prints tables and writes OUT: every measure with its interval, then by view, sex, age and
    exposure. Overlaps, working point and bootstrap are those of `evaluate` in params.yaml.
    """
    from lungal.data.external import read_external

    params = load_params(ROOT / "params.yaml")
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
        version, detections = look(folders[0], found, params, brightness)
        other = look(folders[1], found, params, {}) if against else None
    judged = judge(found, detections, other[1] if other else None, brightness, params, protocol)
    document = {"model_version": version, "against": other[0] if other else None}
    write(out, document | {"data": str(data)} | judged)
    show(Console(), version, other[0] if other else None, found, judged)
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"all numbers are in {out}")


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
        "refused": list(found.refused),
        "ignored_boxes": found.ignored,
    }


def write(out: Path, document: Mapping[str, Any]) -> None:
    """Write everything as JSON: named fields, null where a number is not defined."""
    from lungal.data.files import whole_file

    with whole_file(out) as part:
        text = json.dumps(_plain(document), indent=1, allow_nan=False)
        part.write_text(text + "\n", encoding="utf-8")


def show(
    console: Console,
    version: str,
    other: str | None,
    found: "ExternalSet",
    judged: Mapping[str, Any],
) -> None:
    """Print the tables."""
    from lungal.data.external import first_lines

    films = f"{judged['films']} films of {judged['patients']} patients, {judged['boxes']} boxes"
    console.print(_numbers_table(f"{version} on {films}", judged["numbers"]))
    if judged["differences"]:
        title = f"{version} minus {other}, on the same draws"
        console.print(_numbers_table(title, judged["differences"]))
    console.print(_groups_table(judged["groups"], judged["working_point"]))
    if judged["protocol"]:
        console.print(_protocol_table(judged["protocol"]))
    for line in first_lines(found.refused):
        console.print(f"[yellow]left out[/] {escape(line)}", highlight=False, soft_wrap=True)
    if found.ignored:
        console.print(f"{found.ignored} boxes of other findings were ignored", highlight=False)


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


def _numbers_table(title: str, numbers: "Sequence[Number]") -> Table:
    from lungal.evaluation.measures import ALL, MACRO

    table = Table("measure", "at", title=title)
    table.add_column("all classes", justify="right", no_wrap=True)
    table.add_column("90 % interval", justify="right", no_wrap=True)
    table.add_column("of")
    for one in numbers:
        if one.measure in SHOWN and one.of in (ALL, MACRO):
            table.add_row(one.measure, one.at, *_spell(one.interval), one.of)
    return table


def _groups_table(groups: "Sequence[Group]", point: Mapping[str, float]) -> Table:
    table = Table("group", title=f"Which films: AP and findings found at IoU {point['iou']:g}")
    for name in ("films", "boxes", "AP", "90 %\ninterval", "at 1\nFP", "found", "FP a\nfilm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.caption = (
        "at 1 FP: share of boxes found at one false positive a film; "
        f"found, FP a film: from score {point['score']:g}"
    )
    for one, following in zip(groups, [*groups[1:], None], strict=True):
        low, high = _number(one.ap.low, 2), _number(one.ap.high, 2)
        table.add_row(
            f"{one.by} {one.value}",
            str(one.films),
            str(one.boxes),
            _number(one.ap.value),
            f"{low}-{high}" if one.boxes else UNKNOWN,
            _number(one.sensitivity.value),
            _number(one.found),
            _number(one.false_positives, 2),
            end_section=following is None or following.by != one.by,
        )
    return table


def _protocol_table(spreads: "Mapping[str, Spread]") -> Table:
    table = Table("measure", title="WSRPN's protocol: ten patient-disjoint halves")
    table.caption = "only a model that was trained without these films may stand beside theirs"
    for name in ("mean", "standard deviation"):
        table.add_column(name, justify="right")
    for name, one in spreads.items():
        table.add_row(name, _number(one.mean), _number(one.sd))
    return table


def _spell(interval: "Interval") -> tuple[str, str]:
    bounds = f"{_number(interval.low)} to {_number(interval.high)}"
    return _number(interval.value), UNKNOWN if math.isnan(interval.low) else bounds


def _number(value: float, digits: int = 3) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"


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
