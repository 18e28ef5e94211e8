"""`lungal pull`: what was read comes into the annotation log."""

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lungal.annotation.label_studio import LabelStudio
from lungal.cli.connection import Url, connect
from lungal.cli.project import Project, plain_console
from lungal.params import Params
from lungal.paths import Paths
from lungal.records import Annotation, BoxOrigin

if TYPE_CHECKING:
    from lungal.rounds.progress import RoundProgress
    from lungal.rounds.pull import PullReport

ORIGINS: tuple[BoxOrigin, ...] = ("accepted", "moved", "drawn")


def pull(
    *,
    url: Url = None,
    project: Annotated[
        str | None,
        typer.Option(help="Label Studio project; default: queue.project of params.yaml."),
    ] = None,
    everything: Annotated[
        bool,
        typer.Option(
            "--all",
            help="Look at every reading, not only at those that changed: after the key or the "
            "manifest was mended, and to notice tasks that were deleted as a whole.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be added, write nothing.")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Go on until Ctrl+C, and show how far the round is.")
    ] = False,
    every: Annotated[
        float, typer.Option(min=0.1, help="With --watch: seconds between two looks.")
    ] = 15,
    until_done: Annotated[
        bool, typer.Option("--until-done", help="As --watch, until every film is read.")
    ] = False,
) -> None:
    """Bring what readers said since the last pull into data/annotations.jsonl, each event once.

    An edit or a deletion in Label Studio is added as a later event; nothing is ever rewritten.
    Readings that cannot be trusted are listed with a link until they are mended. Commit the log
    and run `dvc repro` for the next round.
    """
    if dry_run and (watch or until_done):
        raise typer.BadParameter("--dry-run goes with a single pull, not with --watch")
    here, console = Project(), plain_console()
    paths, params = here.paths, here.params
    store = _project(url, project, paths, params)
    with closing(store):
        once = _puller(store, paths)
        if watch or until_done:
            from lungal.cli.watch import Watch, hinted

            progress = partial(_progress, paths, params)
            watching = Watch(once, progress, console, every, until_done, everything)
            try:
                with hinted(store) as hint:
                    watching.follow(hint)
            finally:
                if watching.report is not None:
                    _print(watching.report, paths.annotations, console, dry=False)
            return
        with console.status(f"Pulling from {store.url}"):
            report = once(everything=everything, dry=dry_run)
    _print(report, paths.annotations, console, dry=dry_run)


def _project(url: str | None, title: str | None, paths: Paths, params: Params) -> LabelStudio:
    from lungal.annotation.incoming import Addresses
    from lungal.data.films import film_paths

    connection = connect(url)
    store = connection.project(title or params.queue.project, film_paths(paths.manifest))
    if params.queue.pseudonyms:
        return store
    return replace(store, pseudonyms=Addresses(store.pseudonyms))


def _puller(store: LabelStudio, paths: Paths) -> "Callable[..., PullReport]":
    import lungal.rounds.pull as use_case
    from lungal.data.asked import read_asked
    from lungal.data.films import film_paths
    from lungal.data.manifest import read_manifest
    from lungal.data.splits import read_splits

    tables = (paths.manifest, paths.splits)

    def films_now() -> dict[str, use_case.Film]:
        return use_case.known_films(read_manifest(paths.manifest), read_splits(paths.splits))

    def stamp() -> list[int]:
        return [path.stat().st_mtime_ns for path in tables if path.exists()]

    read_at, films, project = stamp(), films_now(), store

    def once(**how: bool) -> "PullReport":
        # All is read anew when it has changed: films may be ingested, and another round queued,
        # while we watch. DVC takes tables away while it makes them: what was known stays so then.
        nonlocal read_at, films, project
        now = stamp()
        if now != read_at and len(now) == len(tables):
            if project is not store:
                project.close()
            project = replace(store, films=film_paths(paths.manifest))
            read_at, films = now, films_now()
        return use_case.pull(project, paths.annotations, films, read_asked(paths.queue), **how)

    return once


def _progress(paths: Paths, params: Params) -> "RoundProgress | None":
    from lungal.data.annotations import read_log
    from lungal.data.asked import read_asked
    from lungal.rounds.progress import round_progress

    return round_progress(read_asked(paths.queue), read_log(paths.annotations), params.reading)


def _print(report: "PullReport", log: Path, console: Console, *, dry: bool) -> None:
    if dry and (report.new or report.refusals):
        console.print(_table(report))
    if report.absent:
        console.print(report.absent, markup=False)
    for refused in report.refused:
        where = escape(f"{refused.link}: {refused.reason}")
        console.print(f"[yellow]waits to be mended[/] {where}")
    for link in report.strangers:
        console.print(f"[yellow]left alone[/] {escape(link)}: lungal did not queue this film")
    if report.gone:
        console.print(
            f"[yellow]{len(report.gone)} readings stand whose tasks were deleted as a whole[/],"
            f" {report.gone[0]} for one; delete a reading, not its task, to take it back"
        )
    verdicts = Counter(event.verdict for event in report.new)
    said = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    verb = "would be new" if dry else "new"
    console.print(
        f"{len(report.new)} {verb}{f' ({said})' if said else ''}, {report.known} known,"
        f" {len(report.refused)} refused and not mended; see {log}"
    )


def _table(report: "PullReport") -> Table:
    table = Table(box=None)
    for name in ("film", "reader", "event", "verdict", *ORIGINS, "deleted"):
        table.add_column(name, no_wrap=True)
    for event in (*report.new, *report.refusals):
        table.add_row(
            escape(event.image_id),
            escape(event.reader),
            report.kind(event),
            event.verdict,
            *_counts(event),
        )
    return table


def _counts(event: Annotation) -> list[str]:
    origins = Counter(box.origin for box in event.boxes)
    return [*(str(origins[name] or "") for name in ORIGINS), str(len(event.deleted) or "")]
