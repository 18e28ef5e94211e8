"""YOLO text: a file for each film, a line `class x y width height` for each box.

The class is a number, which a file of names gives its meaning; x and y are the box's centre; all
four numbers are shares of the film's width and height.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lungal.data.files import whole_folder
from lungal.data.interchange.film import (
    Found,
    FoundBox,
    FoundFilm,
    LabelledFilm,
    label_files,
    numbers,
    read_text,
    unfit_if_broken,
)
from lungal.errors import AnnotationError
from lungal.records import CLASSES

CLASSES_FILE = "classes.txt"
"""labelImg's file of names. Darknet has `*.names`, Ultralytics a YAML file with `names`."""
NO_LABELS = {CLASSES_FILE, "train.txt", "val.txt", "valid.txt", "test.txt"}
"""Files that lie among the labels and are none: names, and darknet's lists of films."""
NAMES = "classes.txt, *.names, or a YAML file with `names`"
NamesIn = Callable[[Path], list[str] | None]
FIELDS = ("x", "y", "width", "height")


def write_yolo(folder: Path, films: Sequence[LabelledFilm]) -> None:
    """Write a text file for each film, empty for those without boxes, and classes.txt.

    Args:
        folder: written whole or not at all; what was in it is gone.
        films: whose names differ by more than their extension.
    """
    from globox import Annotation, BoundingBox

    numbers_of = {name: number for number, name in enumerate(CLASSES)}
    with whole_folder(folder) as temporary:
        (temporary / CLASSES_FILE).write_text("\n".join(CLASSES) + "\n", encoding="utf-8")
        for film in films:
            boxes = [
                BoundingBox(label=box.label, xmin=box.x1, ymin=box.y1, xmax=box.x2, ymax=box.y2)
                for box in film.boxes
            ]
            text = Annotation(film.name, film.size, boxes).to_yolo_darknet(label_to_id=numbers_of)
            file = temporary / Path(film.name).with_suffix(".txt")
            file.write_text(f"{text}\n" if text else "", encoding="utf-8")


def read_yolo(path: Path) -> Iterator[Found]:
    """Yield what a text file, or all below a folder, say of their films.

    The names of the classes are in the nearest file of names: beside the labels, or above them up
    to the folder that holds the one that is read.

    Raises:
        SourceError: if there is no such file.
    """
    folder, names_in = path if path.is_dir() else path.parent, cache(_names_in)
    for file in label_files(path, ".txt"):
        if file.name not in NO_LABELS or path.is_file():
            yield from unfit_if_broken(str(file), _read(file, folder.resolve().parent, names_in))


def _read(file: Path, top: Path, names_in: NamesIn) -> Iterator[Found]:
    lines = [line.split() for line in read_text(file).splitlines()]
    names = _names_near(file, top, names_in)
    boxes = tuple(_box(fields, names) for fields in lines if fields)
    yield FoundFilm(str(file), file.stem, boxes, unit="shares")


def _names_near(file: Path, top: Path, names_in: NamesIn) -> list[str]:
    for folder in file.resolve().parents:
        if (names := names_in(folder)) is not None:
            return names
        if folder == top:
            break
    raise AnnotationError(f"there is no file of class names near it; known: {NAMES}")


def _names_in(folder: Path) -> list[str] | None:
    for file in [folder / CLASSES_FILE, *sorted(folder.glob("*.names"))]:
        if file.is_file():
            return [line.strip() for line in read_text(file).strip().splitlines()]
    for file in sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")]):
        if names := _ultralytics(file):
            return names
    return None


def _ultralytics(file: Path) -> list[str] | None:
    try:
        document: Any = yaml.safe_load(read_text(file))
    except yaml.YAMLError:
        return None
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, dict) and sorted(names) == list(range(len(names))):
        names = [names[number] for number in range(len(names))]
    return [str(name) for name in names] if isinstance(names, list) else None


def _box(fields: Sequence[str], names: Sequence[str]) -> FoundBox:
    if len(fields) != 1 + len(FIELDS):
        raise AnnotationError(
            f"a line has {len(fields)} fields; known: class, {', '.join(FIELDS)}"
            " (a sixth is a detector's score, more are a polygon)"
        )
    if not fields[0].isdecimal() or int(fields[0]) >= len(names):
        raise AnnotationError(f"class {fields[0]!r} has no name; there are {len(names)}, from 0")
    x, y, width, height = numbers(list(fields[1:]), FIELDS)
    edges = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return FoundBox(names[int(fields[0])], edges)
