"""`lungal pull`: what was read comes into the annotation log."""

from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from lungal.cli.connection import Url, connect
from lungal.params import load_params
from lungal.paths import load_paths


def pull(
    url: Url = None,
    project: Annotated[
        str | None,
        typer.Option(help="Label Studio project; default: queue.project of params.yaml."),
    ] = None,
) -> None:
    """Bring every reading so far into data/annotations.jsonl, each one once.

    An edited reading is added as a later one; a reading deleted in Label Studio stays in the log.
    Readings that cannot be trusted are listed with a link and come again until they are mended.
    Commit the log and run `dvc repro` for the next round.
    """
    import lungal.rounds.pull as use_case
    from lungal.data.manifest import read_manifest
    from lungal.data.splits import read_splits

    paths, params = load_paths(Path("dvc.yaml")), load_params(Path("params.yaml")).queue
    films = use_case.known_films(read_manifest(paths.manifest), read_splits(paths.splits))
    connection = connect(url)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    store = connection.project(project or params.project)
    with console.status(f"Pulling from {connection.url}"), closing(store):
        report = use_case.pull(store, paths.annotations, films)
    for refused in report.refused:
        console.print(f"[yellow]refused[/] {refused.link}: {refused.reason}")
    verdicts = Counter(reading.verdict for reading in report.new)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    console.print(
        f"{len(report.new)} new readings{f' ({said})' if said else ''}, {report.known} known,"
        f" {len(report.refused)} refused; see {paths.annotations}"
    )
