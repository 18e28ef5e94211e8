"""The table of what is labelled now, and who still waits in the pool: data/labels.parquet.

`lungal.data.labelling` makes it. The truth of a film in the pool is not in this table, whoever
reads it: what the scorer cannot see, it cannot leak.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from lungal.data.tables import read_facts, read_table, write_table
from lungal.errors import StageOrderError
from lungal.records import GroundTruth, LabelledBox, Split

State = Literal["labelled", "pool", "excluded", "disputed"]
"""`disputed`: a training film on which readers disagree, until somebody has read it once more."""
Origin = Literal["initial", "truth", "reader"]

ROUND = "lungal.round"
SIDES = ("x1", "y1", "x2", "y2")

_BOX = pa.struct(
    [pa.field("label", pa.string())] + [pa.field(side, pa.float32()) for side in SIDES]  # pixels
)
LABELS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),  # labelled, pool, excluded or disputed
        pa.field("origin", pa.string()),  # initial, truth or reader; null unless labelled
        pa.field("boxes", pa.list_(_BOX)),  # null unless labelled; [] is "nothing there"
        pa.field("readers", pa.int32(), nullable=False),  # how many readings the state rests on
        pa.field("agreement", pa.float32()),  # of these readings, in [0, 1]; null if fewer than two
    ]
)


def write_labels(path: Path, labels: pd.DataFrame, *, number: int) -> None:
    """Write labels, sorted by image_id; equal rows of one round give equal bytes.

    Args:
        path: written whole or not at all.
        labels: a row for each film.
        number: of the round that they are worked on in, from 1.
    """
    write_table(path, labels, LABELS, {ROUND: str(number)})


def read_round(path: Path) -> int:
    """Return the round that the labels are of.

    Readings may come in while a model is trained on these labels: the log is further on then.

    Raises:
        StageOrderError: if the stage `label` has not run, or an earlier version of it has.
    """
    number = read_facts(path, "label").get(ROUND)
    if number is None:
        raise StageOrderError(f"{path} does not say its round; run: dvc repro -f label")
    return int(number)


def read_labels(path: Path) -> pd.DataFrame:
    """Read what write_labels wrote: `boxes` as a list of dicts, or None; `agreement` with NaN.

    Raises:
        StageOrderError: if the stage `label` has not run.
    """
    labels = read_table(path, "label")
    return labels.assign(
        origin=as_objects(None if pd.isna(origin) else origin for origin in labels["origin"]),
        boxes=as_objects(None if boxes is None else boxes.tolist() for boxes in labels["boxes"]),
    )


def ground_truth(labels: pd.DataFrame, split: Split) -> list[GroundTruth]:
    """Return what is known of the labelled films of a split, sorted by image_id."""
    known = labels[(labels["split"] == split) & (labels["state"] == "labelled")]
    return [
        GroundTruth.of(image_id, [LabelledBox(**box) for box in boxes])
        for image_id, boxes in zip(known["image_id"], known["boxes"], strict=True)
    ]


def films(labels: pd.DataFrame, split: Split, state: State | None = None) -> list[str]:
    """Return the image_ids of a split, of all states or of one, sorted."""
    chosen = labels["split"] == split
    if state is not None:
        chosen &= labels["state"] == state
    return sorted(labels.loc[chosen, "image_id"])


def pool(labels: pd.DataFrame) -> list[str]:
    """Return the image_ids of the films that may be read next, sorted."""
    return films(labels, "train", "pool")


def disputed(labels: pd.DataFrame) -> list[str]:
    """Return the image_ids of the films that wait for an adjudication, sorted."""
    return films(labels, "train", "disputed")


def as_objects(values: Iterable[object]) -> "pd.Series[Any]":
    """Return a column of whatever: pandas would make NaN of None, and 2-D of equal lists."""
    return pd.Series(list(values), dtype=object)
