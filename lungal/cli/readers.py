"""`lungal readers`: who reads how well, what a box costs, and what pre-drawn boxes do."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from lungal.cli.project import Project

if TYPE_CHECKING:  # SciPy and pandas take a second, and `lungal --help` needs neither
    from lungal.reading.automation import Arm, Automation
    from lungal.reading.ledger import Entry
    from lungal.reading.performance import Performance
    from lungal.reading.report import Overlap, ReaderReport

UNKNOWN = "-"
ROUNDS_SHOWN = 5


def readers() -> None:
    """Show each reader on known cases, the ledger, and blind against pre-drawn readings.

    Computed from the log as it lies here; `dvc repro` writes the same numbers to
    reports/readers.json, with pictures in reports/readers/.
    """
    here, console = Project(Path.cwd()), Console()
    found = read_report(here.root)
    show_report(found, console)
    if found.ledger and not here.paths.truth.exists():
        console.print("[yellow]no truth of known cases here[/]: dvc pull, or dvc repro ingest")


def read_report(root: Path) -> "ReaderReport":
    """Judge the readings in the project at `root`; without data/truth.jsonl no known cases."""
    from lungal.data.annotations import read_log
    from lungal.data.manifest import read_truth
    from lungal.reading.report import report

    project = Project(root)
    paths, params = project.paths, project.params
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
    """Return the ledger as a table, a column per round, of the last rounds that a screen holds."""
    shown = entries[-ROUNDS_SHOWN:]
    table = Table("", title="Ledger")
    for entry in shown:
        table.add_column(f"round {entry.round}", justify="right")
    for name, values in _ledger_rows(shown).items():
        table.add_row(name, *values)
    return table


def _ledger_rows(entries: "Sequence[Entry]") -> dict[str, list[str]]:
    kinds = {
        "known cases": [entry.controls for entry in entries],
        "re-read": [entry.rereads for entry in entries],
        "adjudicated": [entry.adjudications for entry in entries],
        "blind": [entry.blind for entry in entries],
        "skipped": [entry.skipped for entry in entries],
        "unreadable": [entry.unreadable for entry in entries],
        "films imported": [entry.imported for entry in entries],
    }
    counts = {
        "films": [entry.films for entry in entries],
        "readings": [entry.readings for entry in entries],
        **{name: values for name, values in kinds.items() if any(values)},
        "boxes accepted": [entry.accepted for entry in entries],
        "boxes moved": [entry.moved for entry in entries],
        "boxes drawn": [entry.drawn for entry in entries],
        "boxes deleted": [entry.deleted for entry in entries],
    }
    return {name: list(map(str, values)) for name, values in counts.items()} | {
        "minutes": [_number(entry.seconds / 60, 1) for entry in entries],
        "new boxes": [_number(entry.new_boxes, 1) for entry in entries],
        "seconds per new box": [_number(entry.seconds_per_new_box, 1) for entry in entries],
    }


def _reader_table(found: "ReaderReport") -> Table:
    table = Table(title="Readers; on known cases: sensitivity (95 %), false boxes a film, mean IoU")
    table.add_column("reader", no_wrap=True)
    for name in ("films", "known", "sensitivity", "false", "IoU", "seconds"):
        table.add_column(name, justify="right")
    for one in found.readers:
        turns = [turn for turn in found.drift if turn.reader == one.reader]
        table.add_row(*_reader_row(one, one.reader), end_section=len(turns) < 2)
        for turn in turns if len(turns) > 1 else ():
            table.add_row(
                *_reader_row(turn, f"  round {turn.round}"),
                style="dim",
                end_section=turn is turns[-1],
            )
    return table


def _reader_row(one: "Performance", name: str) -> list[str]:
    share = UNKNOWN if one.sensitivity is None else f"{one.sensitivity:.2f}"
    if one.low is not None and one.high is not None:
        share += f" ({one.low:.2f}-{one.high:.2f})"
    numbers = (one.false_positives, 2), (one.mean_iou, 2), (one.seconds, 1)
    counts = [name, str(one.readings), str(one.controls)]
    return [*counts, share, *(_number(value, digits) for value, digits in numbers)]


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
