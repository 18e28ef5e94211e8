"""The reader report: ledger, each reader on known cases, what boxes do, how far readers agree."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from statistics import mean
from typing import Any

from lungal.params import ReadingParams
from lungal.reading.agreement import film_agreement, findings_alpha, mean_iou
from lungal.reading.automation import Automation, Key, automation
from lungal.reading.effort import seconds_of
from lungal.reading.ledger import Entry, ledger
from lungal.reading.performance import Performance, drift, performances
from lungal.reading.standing import standing
from lungal.reading.verdicts import NOT_COMPARED, opinions
from lungal.records import Annotation, Truth

DIGITS = 4


@dataclass(frozen=True, slots=True)
class Overlap:
    """Films that several readers read in one round, adjudications left out.

    Means are over films. `alpha` is Krippendorff's, nominal, over which findings are on a film.
    What cannot be said of so few is None.
    """

    films: int
    readings: int
    agreement: float | None  # of boxes, in [0, 1]: lungal.reading.agreement.film_agreement
    mean_iou: float | None  # of the boxes that readers share
    alpha: float | None


@dataclass(frozen=True, slots=True)
class ReaderReport:
    """All that can be said of a campaign's readers.

    `seconds` holds each reader's seconds for each film, idle time cut off.
    """

    ledger: list[Entry]
    readers: list[Performance]
    drift: list[Performance]
    automation: Automation
    overlap: Overlap
    seconds: dict[str, list[float]]


def report(log: Iterable[Annotation], truth: Truth, params: ReadingParams) -> ReaderReport:
    """Judge the readings that stand.

    Args:
        log: data/annotations.jsonl.
        truth: image_id to the boxes that are there, of at least the known cases.
        params: what counts as the same box, and the cap on seconds.
    """
    stands = standing(log)
    return ReaderReport(
        ledger=ledger(stands, params),
        readers=performances(stands, truth, params),
        drift=drift(stands, truth, params),
        automation=automation(stands, params),
        overlap=overlap(stands, params),
        seconds=_seconds(stands, params),
    )


def overlap(stands: Iterable[Annotation], params: ReadingParams) -> Overlap:
    """Return how far readers of the same films agree."""
    films: dict[Key, list[Annotation]] = defaultdict(list)
    for reading in opinions(stands):
        if reading.role not in NOT_COMPARED:
            films[reading.round, reading.image_id].append(reading)
    shared = [films[key] for key in sorted(films) if len(films[key]) > 1]
    boxes = [[reading.boxes for reading in readings] for readings in shared]
    agreements = [film_agreement(of_film, params.iou) for of_film in boxes]
    overlaps = [value for of_film in boxes if (value := mean_iou(of_film, params.iou)) is not None]
    return Overlap(
        films=len(shared),
        readings=sum(map(len, shared)),
        agreement=mean(agreements) if agreements else None,
        mean_iou=mean(overlaps) if overlaps else None,
        alpha=findings_alpha(shared) if shared else None,
    )


def as_json(found: ReaderReport) -> dict[str, Any]:
    """Return the report as reports/readers.json has it: grouped, rounded, the same everywhere.

    Names that DVC can compare: `ledger.round_1.films`, `readers.reader-0a1b2c3d.sensitivity`.
    """
    arms = {"blind": found.automation.blind, "drawn": found.automation.drawn}
    return {
        "ledger": {f"round_{entry.round}": _plain(entry, "round") for entry in found.ledger},
        "readers": {one.reader: _plain(one, "reader", "round") for one in found.readers},
        "blind": {
            **{
                name: {"films": arm.films, "readings": arm.readings, **_rounded(arm.means)}
                for name, arm in arms.items()
            },
            "difference": {
                name: _rounded(asdict(value))
                for name, value in found.automation.differences.items()
            },
        },
        "agreement": _plain(found.overlap),
    }


def _seconds(stands: Sequence[Annotation], params: ReadingParams) -> dict[str, list[float]]:
    readers: dict[str, list[Annotation]] = defaultdict(list)
    for reading in stands:
        if reading.role != "import":
            readers[reading.reader].append(reading)
    return {
        reader: seconds_of(readings, params.idle_seconds)
        for reader, readings in sorted(readers.items())
    }


def _plain(value: Any, *without: str) -> dict[str, Any]:
    named = {field.name: getattr(value, field.name) for field in fields(value)}
    return _rounded({name: number for name, number in named.items() if name not in without})


def _rounded(numbers: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: round(number, DIGITS) if isinstance(number, float) else number
        for name, number in numbers.items()
    }
