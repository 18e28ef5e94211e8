"""`lungal queue`: the selection goes to the readers."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from lungal.cli.connection import Bucket, Url, connect
from lungal.cli.project import Project
from lungal.records import Detections


def queue(
    url: Url = None,
    project: Annotated[
        str | None,
        typer.Option(help="Label Studio project; default: queue.project of params.yaml."),
    ] = None,
    s3: Bucket = None,
) -> None:
    """Queue the selected films for reading, the model's boxes drawn on them.

    Takes data/selection.csv, which the stage `select` wrote. Readers get the most uncertain film
    first. What each film is for goes to data/queue.jsonl, which belongs in git. Run it as often as
    you like: what is queued already is not queued again, and a run that was interrupted is
    completed by the next.
    """
    import lungal.rounds.queue as use_case
    from lungal.data.annotations import read_log
    from lungal.data.films import film_paths

    here = Project()
    paths, params = here.paths, here.params.queue
    selection = use_case.read_selection(paths.selection)
    connection = connect(url, s3)
    console = Console(stderr=True)
    with Progress(console=console, transient=True) as bars:
        checking = bars.add_task("Checking films", total=len(selection))
        sending = bars.add_task("Queueing", total=len(selection))
        films = film_paths(paths.manifest)
        store = connection.project(
            project or params.project,
            films,
            lambda done, total: bars.update(sending, completed=done, total=total),
        )
        with closing(store):
            report = use_case.queue(
                selection,
                _detections(paths.detections),
                films,
                store,
                asked=paths.queue,
                draw_threshold=params.draw_threshold,
                max_boxes=params.max_boxes,
                log=read_log(paths.annotations),
                on_progress=lambda done, total: bars.update(checking, completed=done, total=total),
            )
    if not report.films:
        console.print("nothing is selected: the pool is empty")
        return
    console.print(
        f"round {report.round}: {report.new} films queued, {report.films - report.new} were there"
        f" already; read them at {connection.url}",
        highlight=False,
        soft_wrap=True,
    )


def _detections(folder: Path) -> Iterator[Detections]:
    # Known cases and films that are read again are training films.
    from lungal.data.detections import read_detections

    for split in ("train", "pool"):
        if (folder / f"{split}.parquet").exists() or split == "pool":
            yield from read_detections(folder / f"{split}.parquet")
