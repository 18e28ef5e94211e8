"""What ingest knows: a manifest with a row per film, and the truth of films that came with one."""

import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lungal.data.files import stage_output, whole_file
from lungal.data.tables import read_facts, read_table, write_table
from lungal.records import LabelledBox

MANIFEST = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("path", pa.string(), nullable=False),  # relative to the manifest's folder
        pa.field("sha256", pa.string(), nullable=False),  # of the stored file
        pa.field("width", pa.int32(), nullable=False),  # pixels
        pa.field("height", pa.int32(), nullable=False),  # pixels
        pa.field("view", pa.string()),  # PA or AP
        pa.field("sex", pa.string()),  # M or F
        pa.field("age", pa.int32()),  # years
        pa.field("findings", pa.list_(pa.string())),  # [] is No Finding, null is not known
        pa.field("source", pa.string(), nullable=False),  # phantom or nih
        pa.field("official_split", pa.string()),  # train_val or test
    ]
)
DRAWN_FROM = "drawn_from"
"""The fact about the table that says what phantoms were drawn from."""


def write_manifest(path: Path, frame: pd.DataFrame, *, drawn_from: str | None = None) -> None:
    """Write a manifest, sorted by image_id; equal rows give equal bytes.

    Args:
        path: written whole or not at all.
        frame: has at least the columns of `MANIFEST`.
        drawn_from: of films that were drawn, what from; see `phantom.origin`.
    """
    write_table(path, frame, MANIFEST, None if drawn_from is None else {DRAWN_FROM: drawn_from})


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest: `findings` as list or None, `age` as nullable Int32, other gaps as NaN.

    Raises:
        StageOrderError: if ingest has not run.
    """
    frame = read_table(path, "ingest")
    frame["findings"] = pd.Series(
        [None if names is None else list(names) for names in frame["findings"]],
        index=frame.index,
        dtype=object,
    )
    frame["age"] = frame["age"].astype("Int32")
    return frame


def read_origin(path: Path) -> str | None:
    """Return what the films of a manifest were drawn from; None if they were not drawn.

    Raises:
        StageOrderError: if ingest has not run.
    """
    return read_facts(path, "ingest").get(DRAWN_FROM)


def write_truth(path: Path, truth: Mapping[str, tuple[LabelledBox, ...]]) -> None:
    """Write a line per film whose truth is known, sorted by image_id.

    Args:
        path: written whole or not at all.
        truth: image_id to boxes in pixels of the stored film; () is known to hold no finding.
            A film that is not in it is not known, which is something else.
    """
    with whole_file(path) as temporary, temporary.open("w", encoding="utf-8") as lines:
        for image_id in sorted(truth):
            boxes = [
                {"label": box.label, "x1": box.x1, "y1": box.y1, "x2": box.x2, "y2": box.y2}
                for box in truth[image_id]
            ]
            lines.write(json.dumps({"image_id": image_id, "boxes": boxes}) + "\n")


def read_truth(path: Path) -> dict[str, tuple[LabelledBox, ...]]:
    """Read what write_truth wrote.

    Raises:
        StageOrderError: if ingest has not run, or the file is damaged.
    """
    truth = {}
    with stage_output(path, "ingest", ValueError, LookupError, TypeError):
        for line in path.read_text(encoding="utf-8").splitlines():
            film = json.loads(line)
            truth[film["image_id"]] = tuple(LabelledBox(**box) for box in film["boxes"])
    return truth
