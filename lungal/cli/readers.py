"""`lungal readers`: who reads how well, what a box costs, and what pre-drawn boxes do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lungal.params import load_params
from lungal.paths import load_paths

if TYPE_CHECKING:  # SciPy and pandas take a second, and `lungal --help` needs neither
    from lungal.reading.automation import Arm, Automation
    from lungal.reading.ledger import Entry
    from lungal.reading.performance import Performance
    from lungal.reading.report import Overlap, ReaderReport

UNKNOWN = "-"


def readers() -> None:
    """Show each reader on known cases, the ledger, and blind against pre-drawn readings.

    Computed from the log as it lies here; `dvc repro` writes the same numbers to
    reports/readers.json, with pictures in reports/readers/.
    """
    root, console = Path.cwd(), Console()
    found = read_report(root)
    show_report(found, console)
    if found.ledger and not load_paths(root / "dvc.yaml").truth.exists():
        console.print("[yellow]no truth of known cases here[/]: dvc pull, or dvc repro ingest")


def read_report(root: Path) -> "ReaderReport":
    """Judge the readings in the project at `root`; without data/truth.jsonl no known cases."""
    from lungal.data.annotations import read_log
    from lungal.data.manifest import read_truth
    from lungal.reading.report import report

    paths, params = load_paths(root / "dvc.yaml"), load_params(root / "params.yaml")
    return report(
        read_log(root / paths.annotations),
        read_truth(root / paths.truth) if (root / paths.truth).exists() else {},
        params.reading,
    )


def show_report(found: "ReaderReport", console: Console) -> None:
    """Print the report as tables."""
    if not found.ledger:
        console.print("nothing has been read yet: lungal queue, then read, then lungal pull")
        return
    console.print(ledger_table(found.ledger))
    console.print(_reader_table(found))
    console.print(_automation_table(found.automation))
    console.print(_describe_overlap(found.overlap), highlight=False)


def ledger_table(entries: "Sequence[Entry]") -> Table:
    """Return the ledger as a table, a line per round."""
    table = Table(title="Ledger")
    for name in ("round", "films", "readings"):
        table.add_column(name, justify="right")
    table.add_column("of these")
    for name in ("accepted", "moved", "drawn", "deleted", "minutes", "new boxes", "s per new box"):
        table.add_column(name, justify="right")
    for entry in entries:
        counts = [str(count) for count in (entry.round, entry.films, entry.readings)]
        boxes = [entry.accepted, entry.moved, entry.drawn, entry.deleted]
        costs = (entry.seconds / 60, entry.new_boxes, entry.seconds_per_new_box)
        table.add_row(
            *counts, _of_these(entry), *map(str, boxes), *(_number(cost, 1) for cost in costs)
        )
    return table


def _of_these(entry: "Entry") -> str:
    kinds = {
        "known": entry.controls,
        "re-read": entry.rereads,
        "adjudicated": entry.adjudications,
        "blind": entry.blind,
        "skipped": entry.skipped,
        "unreadable": entry.unreadable,
    }
    said = ", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) or UNKNOWN
    return f"{said}; {entry.imported} films imported" if entry.imported else said


def _reader_table(found: "ReaderReport") -> Table:
    table = Table(title="Readers on known cases, with 95 % intervals")
    table.add_column("reader")
    for name in ("round", "readings", "controls", "sensitivity", "interval", "false, a film"):
        table.add_column(name, justify="right")
    for name in ("mean IoU", "median seconds"):
        table.add_column(name, justify="right")
    for one in found.readers:
        turns = [turn for turn in found.drift if turn.reader == one.reader]
        table.add_row(*_reader_row(one, one.reader, "all"), end_section=len(turns) < 2)
        for turn in turns if len(turns) > 1 else ():
            table.add_row(
                *_reader_row(turn, "", str(turn.round)), style="dim", end_section=turn is turns[-1]
            )
    return table


def _reader_row(one: "Performance", name: str, turn: str) -> list[str]:
    interval = (
        UNKNOWN if one.low is None or one.high is None else f"{one.low:.2f} to {one.high:.2f}"
    )
    share = UNKNOWN if one.sensitivity is None else f"{one.found}/{one.boxes} {one.sensitivity:.2f}"
    numbers = (one.false_positives, 2), (one.mean_iou, 2), (one.seconds, 1)
    counts = [name, turn, str(one.readings), str(one.controls)]
    return [*counts, share, interval, *(_number(value, digits) for value, digits in numbers)]


def _automation_table(found: "Automation") -> Table:
    from lungal.reading.automation import MEASURES

    table = Table(title="What pre-drawn boxes do, with 95 % intervals")
    table.add_column("mean of films")
    for title, arm in (("blind", found.blind), ("pre-drawn", found.drawn)):
        table.add_column(f"{title} ({arm.films})", justify="right")
    table.add_column("difference", justify="right")
    table.add_column("interval", justify="right")
    for name, words in MEASURES.items():
        arms = _arms(name, found.blind, found.drawn)
        table.add_row(words, *arms, *_change(found, name))
    return table


def _arms(name: str, *arms: "Arm") -> list[str]:
    return [_number(arm.means[name], 2) for arm in arms]


def _change(found: "Automation", name: str) -> tuple[str, str]:
    change = found.differences[name]
    value = UNKNOWN if change.value is None else f"{change.value:+.2f}"
    if change.low is None or change.high is None:
        return value, UNKNOWN
    return value, f"{change.low:+.2f} to {change.high:+.2f}"


def _describe_overlap(found: "Overlap") -> str:
    if not found.films:
        return "agreement of readers: no film has been read by two yet"
    return (
        f"agreement of readers on {found.films} films that several read: boxes "
        f"{_number(found.agreement, 2)}, mean IoU {_number(found.mean_iou, 2)}, "
        f"Krippendorff's alpha of findings {_number(found.alpha, 2)}"
    )


def _number(value: float | None, digits: int) -> str:
    return UNKNOWN if value is None else f"{value:.{digits}f}"
