"""A small project as it stands before the stage `train`, and the stage in a process of its own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from plugins.changed_params import change_params

from lungal.data.labels import LABELS, write_labels
from lungal.data.sources.survey import patient_of
from lungal.data.tfrecords import read_records
from lungal.params import ModelParams, TrainParams
from lungal.paths import load_paths
from lungal.tuning.winner import Winner

REPOSITORY = Path(__file__).resolve().parents[2]
PATHS = load_paths(REPOSITORY / "dvc.yaml")


ROUND = 7
"""Of the labels. There is no log: it would say that the round is the first."""


def lay_out(folder: Path, records: Path, model: ModelParams, train: TrainParams) -> Path:
    """Write all that the stage `train` reads into a folder, and return it.

    Args:
        folder: the project's, new or empty.
        records: with the folders train and val.
        model: for params.yaml.
        train: for params.yaml, and what the search is said to have found.
    """
    # A round is told from another by the bytes of these two, and takes its number from the first.
    shutil.copytree(records, folder / PATHS.records)
    write_labels(folder / PATHS.labels, labels_of(records), number=ROUND)
    (folder / PATHS.manifest).write_bytes(b"manifest")
    change_params(folder, model=model.model_dump(mode="json"), train=train.model_dump(mode="json"))
    Winner(train).write(folder / PATHS.best)
    return folder


def labels_of(records: Path) -> "pd.DataFrame":
    """Return a row for each film of the records; a film without a box, and a patient to each."""
    rows = [
        {
            "image_id": truth.image_id,
            "patient_id": patient_of(truth.image_id),
            "split": split,
            "state": "labelled",
            "origin": "initial",
            "boxes": [],
            "readers": 0,
        }
        for split in ("train", "val")
        for _, truth in read_records(records / split)
    ]
    return pd.DataFrame(rows, columns=LABELS.names)


def start_training(
    folder: Path, log: Path, variables: Mapping[str, str] | None = None
) -> "subprocess.Popen[Any]":
    """Run the stage in a project; what it says goes to `log`."""
    dropped = {"MLFLOW_TRACKING_URI", "TF_CONFIG"}
    inherited = {name: value for name, value in os.environ.items() if name not in dropped}
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.train"],
            cwd=folder,
            env=inherited | {"PYTHONPATH": str(REPOSITORY)} | dict(variables or {}),
            stdout=sink,
            stderr=sink,
        )
