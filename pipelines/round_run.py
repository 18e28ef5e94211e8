"""The round's MLflow run, which tune, train and evaluate each open again.

A round's run is found by its key: a hash of the labels, the films and the parameters that its
model is made from. `train` writes the key into the model's run.json; what comes after the model
reads it there, so that a model's figures land in the model's own run whatever params.yaml says
by then.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lungal.data.digests import hash_json
from lungal.data.files import require
from lungal.data.labels import read_round
from lungal.params import Params
from lungal.tracking import (
    OUTBOX,
    Run,
    Tracker,
    content_hash,
    dvc_hashes,
    dvc_tags,
    git_tags,
    tracking_uri,
)
from lungal.tracking.run import Context, Status
from pipelines.examined import read_model_run
from pipelines.stage import PATHS

ROOT = Path()
DVC_LOCK = Path("dvc.lock")

MAKERS = ("tune", "train")
"""Stages that come before the model."""

READ_BY: dict[str, list[tuple[Path, Context]]] = {
    "tune": [(PATHS.records / "train", "training"), (PATHS.records / "val", "validation")],
    "train": [(PATHS.records / "train", "training"), (PATHS.records / "val", "validation")],
    "evaluate": [(PATHS.labels, "testing")],
}
"""The data sets that each stage's run names as its inputs."""

_LABELLED = [PATHS.images, PATHS.manifest, PATHS.splits, PATHS.labels, PATHS.annotations]
_RECORDS = [PATHS.records / split for split in ("train", "val")]
_DETECTIONS = [PATHS.detections / f"{split}.parquet" for split in ("val", "test")]
TAGGED: dict[str, list[Path]] = {
    "tune": [*_LABELLED, *_RECORDS],
    "train": [*_LABELLED, *_RECORDS, PATHS.best],
    "evaluate": [PATHS.model, *_DETECTIONS],
    "readers": [PATHS.model],
}
"""What dvc.lock says of the run's model when a stage starts: of the rest it still knows an earlier
model's, or already what came after this one's."""


def run_key(params: Params) -> str:
    """Return the key of the round that the data and params.yaml make now.

    Raises:
        StageOrderError: if the labels or the manifest are missing.
    """
    parts = {
        "labels": content_hash(require(PATHS.labels, "label")),
        "films": content_hash(require(PATHS.manifest, "ingest")),
        "detail": params.records.detail,
        "model": params.model.model_dump(mode="json"),
        "train": params.train.model_dump(mode="json"),
        # Where and by whose heartbeat a search is kept changes nothing in what it finds.
        "tune": params.tune.model_dump(mode="json", exclude={"storage", "heartbeat_seconds"}),
    }
    return hash_json(parts)


@contextmanager
def round_run(stage: str, params: Params) -> Iterator[Run]:
    """Yield the round's run, open for a stage, with its lineage and inputs logged.

    At the end of the block the run is closed until the next stage opens it: FINISHED, or FAILED or
    KILLED after an error or Ctrl+C.
    """
    if stage in MAKERS:
        key, number = run_key(params), read_round(PATHS.labels)
    else:
        model = read_model_run()
        key, number = model.run_key, model.round
    tracker = Tracker(tracking_uri(ROOT, os.environ), OUTBOX)
    tags = {
        "lungal.stage": stage,
        "lungal.profile": params.profile,
        "mlflow.source.name": f"pipelines/{stage}.py",
        **git_tags(ROOT),
        **dvc_tags(dvc_hashes(DVC_LOCK), TAGGED[stage]),
    }
    run = tracker.open_round(key, number, tags, _sections(params) if stage in MAKERS else {})
    status: Status = "FAILED"
    try:
        for path, context in READ_BY.get(stage, []):
            log_dataset(run, path, context)
        yield run
        status = "FINISHED"
    except KeyboardInterrupt:
        status = "KILLED"
        raise
    finally:
        run.end(status)


def log_dataset(run: Run, path: Path, context: Context) -> None:
    """Name a file or folder as an input of the run, by DVC's hash of it if DVC has one."""
    digest = dvc_hashes(DVC_LOCK).get(path.as_posix()) or content_hash(path)
    run.log_dataset(path.as_posix(), path, context, digest=digest)


def _sections(params: Params) -> dict[str, object]:
    whole = params.model_dump(mode="json", include={"profile", "data", "split", "label"})
    records = {"detail": params.records.detail}
    # A name that MLflow takes for a parameter's is not any name that a reader may have.
    reading = params.reading.model_dump(mode="json", exclude={"idle_seconds"})
    reading["weights"] = json.dumps(reading["weights"], sort_keys=True)
    machine = {"model": params.model, "train": params.train, "tune": params.tune}
    sections = {name: section.model_dump(mode="json") for name, section in machine.items()}
    return whole | {"reading": reading, "records": records} | sections
