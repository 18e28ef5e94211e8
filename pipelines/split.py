"""Stage split: data/manifest.parquet to data/splits.parquet."""

import logging
from collections.abc import Sequence

from lungal.data.manifest import read_manifest
from lungal.data.splits import split_patients, write_splits
from lungal.params import Params
from pipelines.stage import PATHS, run

logger = logging.getLogger(__name__)


def split(params: Params) -> None:
    """Deal the films out to train, val and test by patient."""
    manifest = read_manifest(PATHS.manifest)
    splits = split_patients(manifest, params.split)
    write_splits(PATHS.splits, splits)
    counts = splits["split"].value_counts()
    films = ", ".join(f"{name} {counts.get(name, 0)}" for name in ("train", "val", "test"))
    logger.info("films: %s; in no split %d", films, len(manifest) - len(splits))


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("split", split)


if __name__ == "__main__":
    raise SystemExit(main())
