"""`lungal data first`: which films to have read before the first round."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import track

from lungal.cli.project import ROOT, Project, plain_console
from lungal.errors import SourceError
from lungal.paths import Paths

if TYPE_CHECKING:  # pandas takes a second, and `lungal --help` does not need it
    from lungal.acquisition.pool import Choice

KEPT = ROOT / "models/.training/first"
"""Embeddings of films, for another time."""
COLUMNS = ("rank", "image_id", "patient_id", "path", "cluster", "typicality")


def first(
    films: Annotated[int, typer.Option(min=1, help="How many films to name.")] = 60,
    out: Annotated[
        Path, typer.Option("--out", "-o", help="CSV file: which films, and where they lie.")
    ] = Path("first.csv"),
    weights: Annotated[
        str | None,
        typer.Option(help="Of the frozen network, in the place of proxy.initial_weights."),
    ] = None,
) -> None:
    """Name the training films that are worth reading before there is any model.

    After `dvc repro split`. The most typical film of each of as many clusters, as a network sees
    them that was trained on photographs; films whose truth is known count as read already.
    """
    from lungal.data.files import whole_file
    from lungal.data.films import film_paths
    from lungal.data.manifest import read_manifest
    from lungal.detectors.tfod.backbone import Backbone
    from lungal.rounds.cold_start import choose_first, embed_kept

    if out.is_dir():
        raise SourceError(f"{out} is a folder; --out names a file")
    here = Project()
    params, paths = here.params, here.paths
    waiting, known = find_waiting(paths)
    manifest = read_manifest(paths.manifest)
    content = dict(zip(manifest["image_id"], manifest["sha256"], strict=True))
    stored = film_paths(paths.manifest)
    wanted = {name: stored[name] for name in (*waiting, *known)}
    backbone = Backbone(weights or params.proxy.initial_weights, params.proxy.input_size)
    console = plain_console()
    with whole_file(out) as part:  # an hour later would be too late to find that it cannot be
        rows = embed_kept(wanted, content, backbone, KEPT)
        embeddings = dict(track(rows, "Looking at films", len(wanted), console=console))
        with console.status("Choosing"):
            choices = choose_first(waiting, embeddings, known, films, params.select)
        write(part, choices, stored)
    read = f"; {len(known)} count as read" if known else ""
    said = f"{len(choices)} of {len(waiting)} training films are named in {out}{read}"
    console.print(said, markup=False)


def find_waiting(paths: Paths) -> tuple[dict[str, str], list[str]]:
    """Return the training films without a known truth, film to patient, and those with one.

    Raises:
        StageOrderError: if the stages `ingest` and `split` have not run.
        SourceError: if the truth of every training film is known.
    """
    from lungal.data.manifest import read_truth
    from lungal.data.splits import read_splits

    truth, splits = read_truth(paths.truth), read_splits(paths.splits)
    train = splits[splits["split"] == "train"].sort_values("image_id")
    patients = dict(zip(train["image_id"], train["patient_id"], strict=True))
    known = [film for film in patients if film in truth]
    waiting = {film: patient for film, patient in patients.items() if film not in truth}
    if not waiting:
        raise SourceError(
            f"the truth of all {len(known)} training films is known: none is left to be read first"
        )
    return waiting, known


def write(out: Path, choices: "Sequence[Choice]", stored: Mapping[str, Path]) -> None:
    """Write a row per film, in the order in which they are worth reading."""
    import pandas as pd

    rows = [
        (
            one.rank,
            one.image_id,
            one.patient_id,
            stored[one.image_id],
            one.components["cluster"],
            round(float(one.components["typicality"]), 4),
        )
        for one in choices
    ]
    pd.DataFrame(rows, columns=COLUMNS).to_csv(out, index=False, lineterminator="\n")
