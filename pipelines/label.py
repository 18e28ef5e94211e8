"""Stage label: manifest, splits, truth and the annotation log to data/labels.parquet."""

import logging
from collections.abc import Sequence
from functools import partial

from lungal.data.annotations import current_round, read_log
from lungal.data.labelling import make_labels
from lungal.data.labels import disputed, films, pool, write_labels
from lungal.data.manifest import read_manifest, read_truth
from lungal.data.splits import read_splits
from lungal.params import Params
from lungal.records import Annotation
from pipelines.stage import PATHS, run, until_settled

logger = logging.getLogger(__name__)


def label(params: Params) -> None:
    """Say what is labelled now, and who is in the pool."""
    until_settled(partial(read_log, PATHS.annotations), partial(label_by, params))


def label_by(params: Params, log: list[Annotation]) -> None:
    """Write the labels that the readings of a log make."""
    labels = make_labels(
        read_manifest(PATHS.manifest),
        read_splits(PATHS.splits),
        read_truth(PATHS.truth),
        log,
        params.label,
        params.reading,
    )
    number = current_round(log)
    write_labels(PATHS.labels, labels, number=number)
    logger.info(
        "round %d: %d training films labelled, %d in the pool, %d disputed, %d excluded",
        number,
        len(films(labels, "train", "labelled")),
        len(pool(labels)),
        len(disputed(labels)),
        len(films(labels, "train", "excluded")),
    )


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("label", label)


if __name__ == "__main__":
    raise SystemExit(main())
