"""Who is labelled, and by whom: from the truth that came with the data and what readers say.

A training film is labelled if it is in the initial set or if its readings come to a label.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import nan

import numpy as np
import pandas as pd

from lungal.boxes import as_boxes, clip, why_impossible
from lungal.data.initial import choose_initial
from lungal.data.labels import SIDES, Origin, State, as_objects, films
from lungal.data.splits import check_leaks
from lungal.errors import AnnotationError, LeakError, StageOrderError
from lungal.params import LabelParams, ReadingParams
from lungal.reading.reconcile import Reconciled, reconcile
from lungal.reading.standing import by_film, standing
from lungal.records import Annotation, LabelledBox, Truth

Boxes = tuple[LabelledBox, ...]
Size = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Label:
    state: State
    origin: Origin | None = None
    boxes: Boxes | None = None
    readers: int = 0
    agreement: float | None = None


_POOL, _EXCLUDED = _Label("pool"), _Label("excluded")


def make_labels(
    manifest: pd.DataFrame,
    splits: pd.DataFrame,
    truth: Truth,
    log: Iterable[Annotation],
    params: LabelParams,
    reading: ReadingParams,
) -> pd.DataFrame:
    """Say of every film in a split what is known of it now.

    Training films: what their readings come to (`reading.reconcile`), which outweighs the initial
    set: labelled, excluded or disputed; else labelled by the initial set; else in the pool.
    Readings of known cases change nothing. Neither do those of an initial film that only skip it:
    its truth is known without a reader. Validation and test films: labelled by the truth that came
    with the data, else excluded, and never in the pool.

    Args:
        manifest: image_id, width, height.
        splits: image_id, patient_id, split.
        truth: image_id to boxes; () is known to hold no finding.
        log: all events.
        params: size and seed of the initial set.
        reading: what several readings of a film become.

    Returns:
        The columns of LABELS, sorted by image_id.

    Raises:
        LeakError: if a patient is in two splits, or a reading is of a held-out film.
        AnnotationError: if a reading that stands is of an unknown film, or a box of it lies
            outside its film.
        ParamsError: if the initial set is to be larger than what there is.
        StageOrderError: if the splits are of another manifest.
    """
    check_leaks(splits)
    dealt = splits.sort_values("image_id", ignore_index=True)
    sizes = _sizes(manifest, dealt)
    stands = standing(log)
    _check_readings(stands, dealt, sizes)
    initial = choose_initial(films(dealt, "train"), truth, params)
    read = {
        film: reconcile(words, reading)
        for film, words in by_film(stands).items()
        if film not in initial or _is_spoken_of(words)
    }
    labels = [
        _train(film, truth, initial, read.get(film)) if split == "train" else _held_out(film, truth)
        for film, split in zip(dealt["image_id"], dealt["split"], strict=True)
    ]
    return _table(dealt, labels, sizes)


def _is_spoken_of(words: Iterable[Annotation]) -> bool:
    return any(word.verdict != "skipped" and word.role != "control" for word in words)


def _train(film: str, truth: Truth, initial: set[str], read: Reconciled | None) -> _Label:
    if read is None:
        return _Label("labelled", "initial", truth[film]) if film in initial else _POOL
    if read.verdict in ("excluded", "disputed"):
        return _Label(read.verdict, readers=read.readers, agreement=read.agreement)
    return _Label("labelled", "reader", read.boxes, read.readers, read.agreement)


def _held_out(film: str, truth: Truth) -> _Label:
    return _Label("labelled", "truth", truth[film]) if film in truth else _EXCLUDED


def _check_readings(
    readings: Iterable[Annotation], dealt: pd.DataFrame, sizes: Mapping[str, Size]
) -> None:
    split_of = dict(zip(dealt["image_id"], dealt["split"], strict=True))
    for reading in readings:
        film = reading.image_id
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


def _table(
    dealt: pd.DataFrame, labels: Iterable[_Label], sizes: Mapping[str, Size]
) -> pd.DataFrame:
    rows = list(labels)
    agreement = [nan if label.agreement is None else label.agreement for label in rows]
    stored = [
        _stored(label.boxes, *sizes[film])
        for film, label in zip(dealt["image_id"], rows, strict=True)
    ]
    return dealt.assign(
        state=[label.state for label in rows],
        origin=as_objects(label.origin for label in rows),
        boxes=as_objects(stored),
        readers=np.array([label.readers for label in rows], np.int32),
        agreement=np.array(agreement, np.float32),
    )


def _stored(boxes: Boxes | None, width: int, height: int) -> list[dict[str, str | float]] | None:
    if boxes is None:
        return None
    # An edge may lie a rounding pixel beyond the film; TensorFlow's normalised boxes may not.
    cut = clip(as_boxes([box.xyxy for box in boxes]), width, height).tolist()
    return [
        {"label": box.label} | dict(zip(SIDES, xyxy, strict=True))
        for box, xyxy in zip(boxes, cut, strict=True)
    ]
