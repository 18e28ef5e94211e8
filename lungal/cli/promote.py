"""`lungal promote`: the candidate becomes the champion, if it is better."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from lungal.cli.project import Project, plain_console
from lungal.data.model_run import ServedModel
from lungal.errors import DetectorError


def promote(
    iou: Annotated[
        float, typer.Option(min=0.05, max=0.95, help="Overlap of the macro AP that decides.")
    ] = 0.4,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Whatever the comparison says, and without one.")
    ] = False,
) -> None:
    """Let the alias `champion` name the newest model, if it is better on the same test films.

    That must be the model of this project, unless --force says otherwise. Says by how much, with
    the interval of a bootstrap over patients. Exits with 1 if the model was not promoted.
    """
    import lungal.rounds.promote as use_case
    from lungal.tracking import MlflowRegistry, tracking_uri

    here = Project()
    evaluate = here.params.evaluate
    registry = MlflowRegistry(tracking_uri(Path(), os.environ))
    report = use_case.promote(
        registry,
        iou=iou,
        force=force,
        here=_model_of(here),
        seed=evaluate.seed,
        draws=evaluate.bootstrap,
    )
    word = "[green]promoted[/]" if report.promoted else "[yellow]not promoted[/]"
    plain_console().print(f"{word}: {escape(report.reason)}")
    if not report.promoted:
        raise typer.Exit(1)


def _model_of(project: Project) -> str | None:
    try:
        return ServedModel.read(project.paths.model).model_version
    except DetectorError:
        return None
