"""Stage ingest: a source folder becomes films, a manifest and the truth that came with them."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lungal.data.files import whole_folder, write_json
from lungal.data.manifest import write_manifest, write_truth
from lungal.data.sources import phantom
from lungal.data.sources.intake import check_tolerance, summarise, tabulate, take_in
from lungal.data.sources.nih import ROOT_VARIABLE, nih_root, read_nih
from lungal.errors import SourceError
from lungal.params import DataParams, Params, SubsetParams
from pipelines.stage import PATHS, progress, run

PHANTOMS = ".phantom."
"""How the temporary folder of drawn films starts."""


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001 - takes no arguments
    """Run the stage; return its exit code."""
    return run("ingest", ingest)


def ingest(params: Params) -> None:
    """Take in the films of params.data.source.

    Raises:
        SourceError: if there is nothing to take in; nothing is written then.
        QuarantineError: if too much is unfit; the report is written then, and nothing else.
    """
    data = params.data
    _sweep()
    with _source(data) as (root, subset):
        survey = read_nih(root, subset)
        _clear()
        with whole_folder(PATHS.images) as folder, progress("ingest") as report:
            intake = take_in(survey, folder, report)
            write_json(PATHS.quarantine, summarise(intake))
            check_tolerance(intake, data.tolerance)
    images = PATHS.images.relative_to(PATHS.manifest.parent)
    write_truth(PATHS.truth, intake.truth)
    rows = tabulate(intake, source=data.source, images=images)
    drawn_from = phantom.origin(data.phantom) if data.source == "phantom" else None
    write_manifest(PATHS.manifest, rows, drawn_from=drawn_from)


@contextmanager
def _source(data: DataParams) -> Iterator[tuple[Path, SubsetParams]]:
    if data.source == "nih":
        root = nih_root(data.root, os.environ)
        if root is None:
            raise SourceError(
                f"no NIH folder: data.root in params.yaml is null and {ROOT_VARIABLE} unset"
            )
        yield root, data.subset
        return
    PATHS.images.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=PHANTOMS, dir=PATHS.images.parent) as folder:
        with progress("draw phantoms") as report:
            phantom.generate(Path(folder), data.phantom, report)
        yield Path(folder), SubsetParams(rule="everything")


def _sweep() -> None:
    # What a killed run could not tidy up must not pile up: a whole NIH set is 45 GB.
    for prefix in (f".{PATHS.images.name}.", PHANTOMS):
        for stale in PATHS.images.parent.glob(f"{prefix}*"):
            shutil.rmtree(stale)


def _clear() -> None:
    # A run killed between two outputs must not leave new films beside an old manifest.
    for output in (PATHS.manifest, PATHS.truth, PATHS.quarantine):
        output.unlink(missing_ok=True)


if __name__ == "__main__":
    raise SystemExit(main())
