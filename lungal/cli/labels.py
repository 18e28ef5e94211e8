"""`lungal labels`: labels to and from the files of other tools."""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lungal.cli.project import ROOT, Project, plain_console
from lungal.data.interchange.film import Format
from lungal.errors import AnnotationError
from lungal.paths import Paths

if TYPE_CHECKING:
    from lungal.annotation.pseudonyms import Pseudonyms
    from lungal.records import Annotation
    from lungal.rounds.label_import import ImportReport

app = typer.Typer(
    no_args_is_help=True,
    help="Labels to and from COCO JSON, Pascal VOC XML (labelImg), YOLO and Label Studio JSON.",
)


class Films(StrEnum):
    """Which films' labels go out."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"
    ALL = "all"


Form = Annotated[Format, typer.Option("--format", help="Whose files.")]


@app.command("export")
def export_(
    form: Form,
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="File (coco, label-studio) or folder (voc, yolo) to make; never overwritten.",
        ),
    ],
    split: Annotated[
        Films,
        typer.Option(help="Of which films; held-out truth leaves only when it is named."),
    ] = Films.TRAIN,
    image_root: Annotated[
        str,
        typer.Option(help="label-studio: what its server needs before a film's file name."),
    ] = "",
) -> None:
    """Write the labels that are known now, a film without finding as a film without boxes.

    Films of the pool, and others whose labels are not known, are left out.
    """
    from lungal.data.labels import read_labels
    from lungal.data.manifest import read_manifest
    from lungal.rounds.exchange import export_labels, known_labels

    paths = Project().paths
    labels = read_labels(paths.labels)
    part = None if split is Films.ALL else split.value
    films = known_labels(labels, read_manifest(paths.manifest), part)
    export_labels(films, out, form, image_root)
    boxes = Counter(box.label for film in films for box in film.boxes)
    console = Console(highlight=False)
    console.print(
        _table(
            ("", "films", "boxes"),
            ("with boxes", sum(bool(film.boxes) for film in films), boxes.total()),
            ("without", sum(not film.boxes for film in films), 0),
        )
    )
    asked = len(labels) if part is None else int((labels["split"] == part).sum())
    left = f"{asked - len(films)} films are left out: their labels are not known"
    console.print(f"{out}; {left}", markup=False)


@app.command("import")
def import_(
    form: Form,
    path: Annotated[Path, typer.Argument(help="File, or folder with files anywhere below.")],
    reader: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Who drew all these labels; default: whom the file names."
        ),
    ] = None,
    *,
    rescale: Annotated[
        bool,
        typer.Option("--rescale", help="Fit boxes that were drawn at another size of the film."),
    ] = False,
    skip_empty: Annotated[
        bool,
        typer.Option("--skip-empty", help="Films without boxes are not labelled, not healthy."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be added, and add nothing.")
    ] = False,
) -> None:
    """Add labels that were made elsewhere to the annotation log, each once.

    A film that is listed without boxes enters as one without finding. What cannot be trusted is
    refused, film by film, with its reason, and ends in exit code 1; all else is added. Importing a
    file again adds nothing; importing it after an edit adds what changed.
    """
    from lungal.data.annotations import append_log, read_log
    from lungal.data.labels import read_round
    from lungal.data.manifest import read_manifest
    from lungal.data.splits import read_splits
    from lungal.rounds.exchange import READERS
    from lungal.rounds.label_import import Importer, targets

    paths = Project().paths
    films = targets(read_manifest(paths.manifest), read_splits(paths.splits))
    importer = Importer(
        films,
        form,
        datetime.now(UTC).isoformat(),
        reader,
        *_names(films),
        rescale=rescale,
        skip_empty=skip_empty,
        labelled=read_round(paths.labels) if paths.labels.exists() else None,
    )
    report = importer.compare(READERS[form](path), read_log(paths.annotations))
    if report.new and not dry_run:
        append_log(paths.annotations, report.new)
    _show(report, paths, dry_run=dry_run)
    if report.refused:
        raise AnnotationError(f"{len(report.refused)} refused of what {path} says; see above")


def _names(
    films: Iterable[str],
) -> tuple[Callable[[str], str], Callable[[str], str | None]]:
    """Return how to name a reader, and how to find a film by its pseudonym."""
    loaded = cache(_pseudonyms)  # only those who need the key must have one

    @cache
    def by_pseudonym() -> dict[str, str]:
        return {loaded().film(image_id): image_id for image_id in films}

    def find(pseudonym: str) -> str | None:
        return by_pseudonym().get(pseudonym) if pseudonym.startswith("film-") else None

    if not Project().params.queue.pseudonyms:
        return lambda address: address.strip().lower(), find  # as `lungal pull` writes them
    return lambda address: loaded().reader(address), find


def _pseudonyms() -> "Pseudonyms":
    from lungal.annotation.pseudonyms import KEY_FILE, load_pseudonyms
    from lungal.annotation.server import LocalServer

    folder = LocalServer(ROOT).folder
    # A team's key is not drawn here: it must be the one with which the team's films are queued.
    ours = (folder / KEY_FILE).exists() or not os.environ.get("LABEL_STUDIO_URL")
    return load_pseudonyms(folder if ours else None, os.environ)


def _show(report: "ImportReport", paths: Paths, *, dry_run: bool) -> None:
    errors = plain_console()
    for refused in report.refused:
        errors.print(f"[yellow]refused[/] {escape(f'{refused.where}: {refused.reason}')}")
    console = Console(highlight=False, soft_wrap=True)
    if dry_run:
        for event in report.new:
            console.print(f"{event.image_id}: {_describe(event)}")
    verdicts = sorted({event.verdict for event in report.new})
    rows = [(verdict, *_count(report.new, verdict)) for verdict in verdicts]
    console.print(
        _table(
            ("", "films", "boxes"),
            *((f"new: {verdict}", films, boxes) for verdict, films, boxes in rows),
            ("known already", report.known, None),
            ("older than the log's", report.older, None),
            ("refused", len(report.refused), None),
            ("boxes cut to their film", None, report.cut),
        )
    )
    what = "would be added to" if dry_run else "added to"
    console.print(f"{len(report.new)} {what} {paths.annotations}")


def _count(events: Iterable["Annotation"], verdict: str) -> tuple[int, int]:
    boxes = [len(event.boxes) for event in events if event.verdict == verdict]
    return len(boxes), sum(boxes)


def _describe(event: "Annotation") -> str:
    labels = Counter(box.label for box in event.boxes)
    return ", ".join(f"{number} {label}" for label, number in labels.items()) or event.verdict


def _table(heads: tuple[str, ...], *rows: tuple[str, int | None, int | None]) -> Table:
    table = Table()
    for column, head in enumerate(heads):
        table.add_column(head, justify="right" if column else "left")
    for name, films, boxes in rows:
        table.add_row(name, *("" if number is None else f"{number:,}" for number in (films, boxes)))
    return table
