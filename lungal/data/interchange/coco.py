"""COCO JSON: one file for all films; a box is x, y, width, height in pixels.

The format is that of https://cocodataset.org/#format-data, "object detection".
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungal.data.files import whole_file
from lungal.data.interchange.film import (
    Found,
    FoundBox,
    FoundFilm,
    LabelledFilm,
    Unfit,
    label_files,
    numbers,
    read_text,
    stated_size,
    unfit_if_broken,
)
from lungal.errors import AnnotationError
from lungal.records import CLASSES

Json = dict[str, Any]

PARTS = ("images", "annotations", "categories")
BBOX = ("x", "y", "width", "height")


def write_coco(path: Path, films: Sequence[LabelledFilm]) -> None:
    """Write a COCO file: all films, those without boxes too, and all eight categories.

    Ids count from 1: pycocotools takes a box with the id 0 for no box when it evaluates.

    Args:
        path: written whole or not at all.
        films: with different names.
    """
    from globox import Annotation, AnnotationSet, BoundingBox

    annotations = AnnotationSet(
        Annotation(
            film.name,
            film.size,
            [
                BoundingBox(label=box.label, xmin=box.x1, ymin=box.y1, xmax=box.x2, ymax=box.y2)
                for box in film.boxes
            ],
        )
        for film in films
    )
    document = annotations.to_coco(
        label_to_id={name: number for number, name in enumerate(CLASSES, start=1)},
        imageid_to_id={film.name: number for number, film in enumerate(films, start=1)},
    )
    for box in document["annotations"]:
        box["id"] += 1
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps({"info": {}, "licenses": []} | document), encoding="utf-8")


def read_coco(path: Path) -> Iterator[Found]:
    """Yield what a COCO file, or all in a folder, say of each film.

    Raises:
        SourceError: if there is no such file.
    """
    for file in label_files(path, ".json"):
        yield from unfit_if_broken(str(file), _read(file))


def _read(file: Path) -> Iterator[Found]:
    document = _document(file)
    images = {_id(image): image for image in document["images"]}
    names = {_id(category): category.get("name") for category in document["categories"]}
    boxes: dict[float | str, list[Json]] = defaultdict(list)
    for box in document["annotations"]:
        number = box.get("image_id")
        if not isinstance(number, (int, float, str)):
            # Any film of the file may lack this box.
            raise AnnotationError(f"box {box.get('id')} is on image {number!r}, which is no number")
        if number in images:
            boxes[number].append(box)
        else:
            reason = f"belongs to image {number!r}, which the file does not list"
            yield Unfit(f"{file}, box {box.get('id')}", reason)
    if len(images) != len(document["images"]):
        raise AnnotationError("two images have the same id")
    for number, image in images.items():
        where = f"{file}, image {number}"
        yield from unfit_if_broken(where, _film(where, image, boxes[number], names))


def _document(file: Path) -> dict[str, list[Json]]:
    try:
        document = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"no JSON: {error}") from None
    if not isinstance(document, dict):
        raise AnnotationError(f"is no COCO file: it must hold {', '.join(PARTS)}")
    for part in PARTS:
        rows = document.get(part)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise AnnotationError(f"is no COCO file: {part!r} is not a list of objects")
    return document


def _id(row: Json) -> int | str:
    number = row.get("id")
    if not isinstance(number, (int, str)):
        raise AnnotationError(f"is no COCO file: the id {number!r} is no number")
    return number


def _film(
    where: str, image: Json, boxes: Sequence[Json], names: Mapping[int | str, Any]
) -> Iterator[Found]:
    film = image.get("file_name")
    if not isinstance(film, str):
        raise AnnotationError(f"its file_name is {film!r}")
    size = stated_size(image.get("width"), image.get("height"))
    if size is None:
        raise AnnotationError("does not say the width and height of the film")
    yield FoundFilm(where, film, tuple(_box(box, names) for box in boxes), size=size)


def _box(box: Json, names: Mapping[int | str, Any]) -> FoundBox:
    category = box.get("category_id")
    if not isinstance(category, (int, str)) or category not in names:
        raise AnnotationError(f"box {box.get('id')} has the category {category!r}, not in the file")
    if box.get("iscrowd"):
        raise AnnotationError(f"box {box.get('id')} is a crowd, not a finding")
    if "score" in box:
        raise AnnotationError(f"box {box.get('id')} has a score: a detection, not a label")
    x, y, width, height = numbers(box.get("bbox"), BBOX)
    return FoundBox(str(names[category]), (x, y, x + width, y + height))
