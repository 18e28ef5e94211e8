"""What is labelled now, and who still waits in the pool.

A training film is labelled if it is in the initial set or has been read. The truth of a film in
the pool is not in this table, whoever reads it: what the scorer cannot see, it cannot leak.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa

from lungal.boxes import as_boxes, clip, why_impossible
from lungal.data.annotations import fold
from lungal.data.initial import choose_initial
from lungal.data.splits import check_leaks
from lungal.data.tables import read_table, write_table
from lungal.errors import AnnotationError, LeakError, StageOrderError
from lungal.params import LabelParams
from lungal.records import Annotation, GroundTruth, LabelledBox, Split

State = Literal["labelled", "pool", "excluded"]
Origin = Literal["initial", "truth", "reader"]
Boxes = tuple[LabelledBox, ...]
Truth = Mapping[str, Boxes]
Size = tuple[int, int]

_SIDES = ("x1", "y1", "x2", "y2")

_BOX = pa.struct(
    [pa.field("label", pa.string())] + [pa.field(side, pa.float32()) for side in _SIDES]  # pixels
)
LABELS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("state", pa.string(), nullable=False),  # labelled, pool or excluded
        pa.field("origin", pa.string()),  # initial, truth or reader; null unless labelled
        pa.field("boxes", pa.list_(_BOX)),  # null unless labelled; [] is "nothing there"
    ]
)


@dataclass(frozen=True, slots=True)
class _Label:
    state: State
    origin: Origin | None = None
    boxes: Boxes | None = None


_POOL, _EXCLUDED = _Label("pool"), _Label("excluded")


def make_labels(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    truth: Truth,
    log: Iterable[Annotation],
    params: LabelParams,
) -> pd.DataFrame:
    """Say of every film in a split what is known of it now.

    Training films: labelled by the initial set or by the latest reading, which outweighs it;
    excluded if that reading is unreadable or skipped; else in the pool. Validation and test films:
    labelled by the truth that came with the data, else excluded, and never in the pool.

    Args:
        manifest: image_id, width, height.
        splits: image_id, patient_id, split.
        truth: image_id to boxes; () is known to hold no finding.
        log: all readings.
        params: size and seed of the initial set.

    Returns:
        The columns of LABELS, sorted by image_id.

    Raises:
        LeakError: if a patient is in two splits, or a reading is of a held-out film.
        AnnotationError: if a reading is of an unknown film, or a box lies outside its film.
        ParamsError: if the initial set is to be larger than what there is.
        StageOrderError: if the splits are of another manifest.
    """
    check_leaks(splits)
    dealt = splits.sort_values("image_id", ignore_index=True)
    sizes = _sizes(manifest, dealt)
    readings = fold(log)
    _check_readings(readings, dealt, sizes)
    initial = choose_initial(films(dealt, "train"), truth, params)
    labels = [
        _train(film, truth, initial, readings) if split == "train" else _held_out(film, truth)
        for film, split in zip(dealt["image_id"], dealt["split"], strict=True)
    ]
    stored = [
        _stored(label.boxes, *sizes[film])
        for film, label in zip(dealt["image_id"], labels, strict=True)
    ]
    return dealt.assign(
        state=[label.state for label in labels],
        origin=_objects([label.origin for label in labels]),
        boxes=_objects(stored),
    )


def write_labels(path: Path, labels: pd.DataFrame) -> None:
    """Write labels, sorted by image_id; equal rows give equal bytes."""
    write_table(path, labels, LABELS)


def read_labels(path: Path) -> pd.DataFrame:
    """Read what write_labels wrote: `boxes` as a list of dicts, or None.

    Raises:
        StageOrderError: if the stage `label` has not run.
    """
    labels = read_table(path, "label")
    return labels.assign(
        origin=_objects(None if pd.isna(origin) else origin for origin in labels["origin"]),
        boxes=_objects(None if boxes is None else boxes.tolist() for boxes in labels["boxes"]),
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


def _train(
    film: str, truth: Truth, initial: set[str], readings: Mapping[str, Annotation]
) -> _Label:
    if reading := readings.get(film):
        if reading.verdict in ("finding", "no_finding"):
            return _Label("labelled", "reader", reading.boxes)
        return _EXCLUDED
    return _Label("labelled", "initial", truth[film]) if film in initial else _POOL


def _held_out(film: str, truth: Truth) -> _Label:
    return _Label("labelled", "truth", truth[film]) if film in truth else _EXCLUDED


def _check_readings(
    readings: Mapping[str, Annotation], dealt: pd.DataFrame, sizes: Mapping[str, Size]
) -> None:
    split_of = dict(zip(dealt["image_id"], dealt["split"], strict=True))
    for film, reading in readings.items():
        name = f"reading {reading.source_id!r} of film {film}"
        if film not in sizes:
            raise AnnotationError(f"{name}: this film is not in the manifest")
        if film not in split_of:
            raise AnnotationError(f"{name}: this film is in no split")
        if split_of[film] != "train":
            raise LeakError(f"{name}: this film is held out, in {split_of[film]}")
        for box in reading.boxes:
            if why := why_impossible(box.xyxy, *sizes[film]):
                raise AnnotationError(f"{name}: the {box.label} box {box.xyxy} {why}")


def _sizes(manifest: pd.DataFrame, dealt: pd.DataFrame) -> dict[str, Size]:
    sides = zip(manifest["width"].tolist(), manifest["height"].tolist(), strict=True)
    sizes = dict(zip(manifest["image_id"], sides, strict=True))
    if strangers := sorted(set(dealt["image_id"]) - set(sizes)):
        raise StageOrderError(
            f"{len(strangers)} films of the splits, {strangers[0]} first, are not in the manifest;"
            " the stage `split` must run again: dvc repro"
        )
    return sizes


def _stored(boxes: Boxes | None, width: int, height: int) -> list[dict[str, str | float]] | None:
    if boxes is None:
        return None
    # An edge may lie a rounding pixel beyond the film; TensorFlow's normalised boxes may not.
    cut = clip(as_boxes([box.xyxy for box in boxes]), width, height).tolist()
    return [
        {"label": box.label} | dict(zip(_SIDES, xyxy, strict=True))
        for box, xyxy in zip(boxes, cut, strict=True)
    ]


def _objects(values: Iterable[object]) -> "pd.Series[Any]":
    # pandas guesses: it would turn None into NaN, and a column of equally long lists into 2-D.
    return pd.Series(list(values), dtype=object)
