"""Rounds of a project, read off its commits, and what another one is likely to bring."""

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from lungal.cli.git import ask_git
from lungal.cli.project import Project
from lungal.data.annotations import read_log
from lungal.reading.standing import standing
from lungal.records import Annotation

IOUS = ("30", "40", "50")


@dataclass(frozen=True, slots=True)
class Round:
    """One turn of the loop: what was known, how good the detector was, what readers then said."""

    number: int
    films: int  # labelled, to train on
    boxes: int  # on them
    ap: dict[str, float | None]  # macro AP on the test films at IoU .30, .40, .50
    model_version: str
    answers: dict[str, int]  # readings that came back, by verdict


def read_rounds(root: Path) -> list[Round]:
    """Return the rounds of a project, oldest first.

    A round is a commit: its numbers are read off the last commit of reports/metrics.json that
    names it, and off the file as it lies here for the present round.
    """
    paths = Project(root).paths
    reports: dict[int, Any] = {}
    for text in [*_committed(root, paths.metrics), _present(root / paths.metrics)]:
        report = _parse(text)
        if "round" in report:
            reports[report["round"]] = report
    readings = standing(read_log(root / paths.annotations))
    return [_round(report, readings) for _, report in sorted(reports.items())]


def show_rounds(rounds: list[Round], console: Console) -> None:
    """Print a table, a line per round."""
    table = Table("round", "films", "boxes", title="Rounds: films labelled, macro AP on test films")
    for iou in IOUS:
        table.add_column(f"AP@.{iou}", justify="right")
    table.add_column("model", no_wrap=True)
    table.add_column("answers")
    for turn in rounds:
        ap = [f"{value:.3f}" if value is not None else "-" for value in turn.ap.values()]
        answers = ", ".join(f"{n} {verdict}" for verdict, n in sorted(turn.answers.items()))
        counts = [str(turn.number), str(turn.films), str(turn.boxes)]
        table.add_row(*counts, *ap, turn.model_version, answers or "none yet")
    if rounds:
        console.print(table)
    else:
        console.print("no round yet: `dvc repro` plays the first")


def describe_gain(rounds: list[Round], batch: int) -> str | None:
    """Say what a next batch is likely to gain; None while there are too few rounds to tell.

    A power law through the rounds, as simulated campaigns have it (`lungal.simulation.stopping`).
    A round that had no more films than an earlier one says nothing of what films bring, and a
    detector that finds next to nothing has not begun to learn.

    Args:
        rounds: of the project.
        batch: films of the next batch.
    """
    from lungal.simulation.curves import Curve  # SciPy takes a second
    from lungal.simulation.stopping import LEAST, suggest
    from lungal.simulation.verdict import Rules

    films: list[float] = []
    scores: list[float] = []
    for turn in rounds:
        known = [value for value in turn.ap.values() if value is not None]
        if len(known) == len(IOUS) and turn.films > max(films, default=0):
            films.append(turn.films)
            scores.append(sum(known) / len(known))
    if len(films) < LEAST:
        return None
    rules, curve = Rules(), Curve(np.array(films), np.array(scores))
    said = suggest(
        "loop",
        [curve],
        least_gain=rules.least_gain,
        level=rules.level,
        draws=rules.fits,
        seed=rules.seed,
        batch=batch,
    )
    if said.stop is None:
        return None
    advice = "it may be time to stop" if said.stop else "read on"
    return f"next batch: {said.reason} in AP, mean over the three IoUs: {advice}"


def _round(report: dict[str, Any], readings: list[Annotation]) -> Round:
    # Imported labels are nobody's answers: no reader was asked.
    verdicts = Counter[str](
        a.verdict for a in readings if a.round == report["round"] and a.role != "import"
    )
    return Round(
        number=report["round"],
        films=report["labelled_films"],
        boxes=report["labelled_boxes"],
        ap={iou: report["test"].get(f"macro_ap{iou}") for iou in IOUS},
        model_version=report["model_version"],
        answers=dict(verdicts),
    )


def _committed(root: Path, path: Path) -> list[str]:
    commits = ask_git(root, "log", "--reverse", "--format=%H", "--", str(path)).split()
    return [ask_git(root, "show", f"{commit}:./{path}") for commit in commits]


def _present(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _parse(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:  # amid a merge it holds git's marks
        return {}
    return found if isinstance(found, dict) else {}
