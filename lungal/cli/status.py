"""`lungal status`: where the loop stands, read from git and the files of the project."""

import csv
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from lungal.cli.project import Project
from lungal.cli.readers import ledger_table
from lungal.cli.rounds import describe_gain, read_rounds, show_rounds
from lungal.data.annotations import current_round, read_log
from lungal.data.asked import latest_asked, read_asked
from lungal.errors import ServerError
from lungal.paths import Paths
from lungal.reading.ledger import ledger
from lungal.reading.refusals import waiting
from lungal.reading.standing import standing
from lungal.records import Annotation, Asked


def status() -> None:
    """Show rounds, what their readers did, films, pool, open queue and the best model."""
    here, console = Project(Path.cwd()), Console()
    paths = here.paths
    rounds = read_rounds(here.root)
    show_rounds(rounds, console)
    show_ledger(here, console)
    lines = [_describe_films(paths), _describe_queue(paths), *_describe_quarrels(paths)]
    gain = describe_gain(rounds, here.params.select.budget)
    for line in filter(None, [gain, *lines, _describe_models(here.root)]):
        console.print(line, highlight=False, markup=False)


def show_ledger(project: Project, console: Console) -> None:
    """Print what each round cost its readers and brought; nothing if nobody has read."""
    log = read_log(project.paths.annotations)
    if log:
        console.print(ledger_table(ledger(standing(log), project.params.reading)))


def _describe_films(paths: Paths) -> str:
    from lungal.data.labels import pool, read_labels  # pandas takes a second

    log = read_log(paths.annotations)
    readings = standing(log)
    line = f"round {current_round(log)}: {len(readings)} readings stand in {paths.annotations}"
    if not paths.labels.exists():
        return f"{line}; no labels yet: dvc repro"
    labels = read_labels(paths.labels)
    train = labels[labels["split"] == "train"]
    labelled = int((train["state"] == "labelled").sum())
    excluded = int((train["state"] == "excluded").sum())
    behind = {a.image_id for a in readings} - set(train.loc[train["state"] != "pool", "image_id"])
    text = (
        f"{line}; {labelled} films labelled, {len(pool(labels))} in the pool, {excluded} excluded"
    )
    return f"{text}; readings of {len(behind)} films wait for dvc repro" if behind else text


def _describe_queue(paths: Paths) -> str:
    if not paths.selection.exists():
        return "queue: nothing selected yet"
    with paths.selection.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows:
        return "queue: the pool is empty"
    number = int(rows[0]["round"])
    answers = Counter(
        a.image_id
        for a in standing(read_log(paths.annotations))
        if a.round == number and a.role != "import"
    )
    unread = sum(answers[row["image_id"]] < int(row.get("readers") or 1) for row in rows)
    return f"queue of round {number}: {len(rows)} films chosen, {unread} not read yet"


def _describe_quarrels(paths: Paths) -> Iterator[str]:
    log = read_log(paths.annotations)
    if disputed := _disputed(paths):
        yield f"disputes: {disputed} films wait for somebody to adjudicate; dvc repro queues them"
    if unanswered := _unanswered(read_asked(paths.queue), log):
        yield f"adjudications: {unanswered} queued and not read yet"
    for refused in waiting(log):
        yield (
            f"refused: {refused.reader} on {refused.image_id}, round {refused.round}: "
            f"{refused.comment or 'no reason given'}"
        )


def _unanswered(asked: list[Asked], log: list[Annotation]) -> int:
    # An unread film that is asked for again moves to the later round: one answer is enough.
    questions = {film: question for (_, film), question in sorted(latest_asked(asked).items())}
    answers = {a.image_id: a.round for a in standing(log) if a.role == "adjudicate"}
    return sum(
        question.role == "adjudicate" and answers.get(film, 0) < question.round
        for film, question in questions.items()
    )


def _disputed(paths: Paths) -> int:
    from lungal.data.labels import read_labels  # pandas takes a second

    if not paths.labels.exists():
        return 0
    return int((read_labels(paths.labels)["state"] == "disputed").sum())


def _describe_models(root: Path) -> str:
    from lungal.tracking import MlflowRegistry, tracking_uri

    uri = tracking_uri(root, os.environ)
    try:
        registry = MlflowRegistry(uri)
        named = {alias: registry.version(alias) for alias in ("champion", "candidate")}
    except ServerError as error:
        return f"models: {error}"
    parts = [
        f"{alias} {version.name} (test AP@.40 {version.tags.get('lungal.test.macro_ap40', '?')})"
        for alias, version in named.items()
        if version is not None
    ]
    return f"models: {', '.join(parts) or 'none registered yet'}"
