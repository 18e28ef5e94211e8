"""`lungal data`: bring NIH's films, look at what a folder holds, and say what to read first."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from lungal.cli.first_films import first
from lungal.cli.project import Project
from lungal.errors import SourceError
from lungal.params import DataParams, SubsetParams

if TYPE_CHECKING:
    from lungal.records import OnProgress

app = typer.Typer(
    no_args_is_help=True, help="Bring NIH's films; look at what a folder holds; what to read first."
)

app.command()(first)

SHOWN = 20
"""Lines of quarantine that `check` prints."""

Root = Annotated[
    Path | None,
    typer.Option(
        help="Folder of the films (default: data.root of params.yaml, then LUNGAL_NIH_ROOT)."
    ),
]


@app.command()
def fetch(
    *,
    root: Root = None,
    everything: Annotated[
        bool, typer.Option("--everything", help="All 112,120 films, 45 GB.")
    ] = False,
    no_finding: Annotated[
        int | None, typer.Option(min=0, help="How many films without finding.")
    ] = None,
) -> None:
    """Download NIH's labels and the films that params.yaml wants, file by file, from Kaggle.

    Stop it and start it again at will: what is here and whole is not downloaded again.
    """
    from lungal.data.sources.fetch import fetch_nih
    from lungal.data.sources.kaggle import KaggleDataset

    data = Project().params.data
    changes: dict[str, Any] = {"rule": "everything"} if everything else {}
    if no_finding is not None:
        changes["no_finding"] = no_finding
    subset = SubsetParams.model_validate(data.subset.model_dump() | changes)
    folder = _folder(root, data)
    remote = KaggleDataset(
        username=os.environ.get("KAGGLE_USERNAME"), key=os.environ.get("KAGGLE_KEY")
    )
    with _bar("fetch") as report:
        fetched = fetch_nih(folder, subset, remote, report)
    typer.echo(f"{folder}: {fetched.brought} files downloaded, {fetched.kept} were here already")


@app.command()
def check(root: Root = None) -> None:
    """Say what `ingest` would make of a folder, and whether its files are what was downloaded."""
    from lungal.data.sources.checksums import find_changed
    from lungal.data.sources.intake import check_tolerance, summarise, take_in
    from lungal.data.sources.nih import read_nih

    data = Project().params.data
    folder = _folder(root, data)
    survey = read_nih(folder, data.subset)
    with _bar("check") as report:
        intake = take_in(survey, None, report)
    _show(folder, summarise(intake))
    if changed := find_changed(folder):
        raise SourceError(
            f"{len(changed)} files of {folder} are not what SHA256SUMS says, the first: "
            f"{changed[0]}; `lungal data fetch` brings them again"
        )
    check_tolerance(intake, data.tolerance)


def _folder(root: Path | None, data: DataParams) -> Path:
    from lungal.data.sources.nih import ROOT_VARIABLE, nih_root

    if folder := nih_root(root or data.root, os.environ):
        return folder
    raise SourceError(
        f"no NIH folder: give --root, or set data.root in params.yaml or {ROOT_VARIABLE}"
    )


def _show(folder: Path, summary: dict[str, Any]) -> None:
    console = Console()
    counts = Table(show_header=False)
    quarantine = summary.pop("quarantine")
    for name, count in summary.items():
        counts.add_row(name.replace("_", " "), f"{count:,}")
    console.print(escape(str(folder)), counts, sep="\n", highlight=False)
    if not quarantine:
        return
    listed = Table("what", "name", "line", "reason", title="left out")
    for bad in quarantine[:SHOWN]:
        words = (bad["kind"], bad["name"], str(bad["line"] or ""), bad["reason"])
        listed.add_row(*map(escape, words))
    console.print(listed)
    if len(quarantine) > SHOWN:
        console.print(f"and {len(quarantine) - SHOWN} more")


@contextmanager
def _bar(what: str) -> Iterator["OnProgress"]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda done, total: None  # noqa: ARG005
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
