"""Labels to and from other tools' files: the formats, and what goes out."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lungal.annotation.task_files import read_tasks, write_tasks
from lungal.data.interchange.coco import read_coco, write_coco
from lungal.data.interchange.film import Format, Found, LabelledFilm
from lungal.data.interchange.voc import read_voc, write_voc
from lungal.data.interchange.yolo import read_yolo, write_yolo
from lungal.errors import SourceError
from lungal.records import LabelledBox

READERS: Mapping[Format, Callable[[Path], Iterator[Found]]] = {
    Format.COCO: read_coco,
    Format.VOC: read_voc,
    Format.YOLO: read_yolo,
    Format.LABEL_STUDIO: read_tasks,
}
FOLDERS = (Format.VOC, Format.YOLO)
"""Formats that are a folder of files; the others are one file."""


def known_labels(
    labels: pd.DataFrame, manifest: pd.DataFrame, split: str | None = None
) -> list[LabelledFilm]:
    """Return the films whose labels are known, sorted by image_id.

    Films of the pool, and others of which nothing is known, are not among them: a film without
    boxes is one without finding.

    Args:
        labels: image_id, split, state, boxes.
        manifest: image_id, path, width, height.
        split: train, val or test; None is all.
    """
    known = labels[labels["state"] == "labelled"].sort_values("image_id")
    if split is not None:
        known = known[known["split"] == split]
    rows = known[["image_id", "boxes"]].merge(manifest, on="image_id", validate="one_to_one")
    columns = (rows[name] for name in ("path", "width", "height", "boxes"))
    return [
        LabelledFilm(Path(path).name, int(width), int(height), tuple(map(_box, boxes)))
        for path, width, height, boxes in zip(*columns, strict=True)
    ]


def export_labels(
    films: Sequence[LabelledFilm], out: Path, form: Format, image_root: str = ""
) -> None:
    """Write labels in another tool's format.

    Args:
        films: whose labels are known.
        out: a file for COCO and Label Studio, a folder for VOC and YOLO. It must not be there
            yet, unless as an empty folder.
        form: of the files.
        image_root: see task_files.write_tasks.

    Raises:
        SourceError: if there is no film, or `out` is there already.
    """
    if not films:
        raise SourceError("there is no film whose labels are known; nothing is written")
    empty_folder = form in FOLDERS and out.is_dir() and not any(out.iterdir())
    if out.exists() and not empty_folder:
        raise SourceError(f"{out} is there already; name another place, or remove it")
    match form:
        case Format.COCO:
            write_coco(out, films)
        case Format.VOC:
            write_voc(out, films)
        case Format.YOLO:
            write_yolo(out, films)
        case Format.LABEL_STUDIO:
            write_tasks(out, films, image_root)


def _box(box: Mapping[str, float | str]) -> LabelledBox:
    # The fewest digits that give the same float32 back.
    x1, y1, x2, y2 = (float(str(np.float32(box[side]))) for side in ("x1", "y1", "x2", "y2"))
    return LabelledBox(str(box["label"]), x1, y1, x2, y2)
