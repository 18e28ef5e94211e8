"""Files of Label Studio's JSON: labels to import there, and what it exports. Pure but for the file.

The file names films as other formats do. It is a data set on its way, not a reading session: what
readers may see is a matter of lungal.annotation.tasks.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lungal.annotation.regions import DrawnBox, parse, regions_of, seconds_spent
from lungal.annotation.tasks import FINDING_PRESENT, NO_FINDING, Json, box_regions, study_region
from lungal.data.files import whole_file
from lungal.data.interchange.film import (
    Found,
    FoundBox,
    FoundFilm,
    LabelledFilm,
    Size,
    Unfit,
    label_files,
    read_text,
    stated_size,
    unfit_if_broken,
)
from lungal.errors import AnnotationError
from lungal.records import to_arrays


def write_tasks(path: Path, films: Sequence[LabelledFilm], image_root: str = "") -> None:
    """Write a task with one annotation for each film, also for those without boxes.

    Args:
        path: written whole or not at all.
        films: whose labels are known.
        image_root: what the server needs before a film's name to find its picture.
    """
    tasks = [_task(film, image_root) for film in films]
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(tasks), encoding="utf-8")


def read_tasks(path: Path) -> Iterator[Found]:
    """Yield what the annotations of a JSON export, or of all in a folder, say of each film.

    An annotation is one reader's. Nothing is said of a film by a task without annotations, by one
    that was skipped, or by a model's predictions.

    Raises:
        SourceError: if there is no such file.
    """
    for file in label_files(path, ".json"):
        yield from unfit_if_broken(str(file), _read(file))


def _task(film: LabelledFilm, image_root: str) -> Json:
    regions = box_regions(*to_arrays(film.boxes), film.width, film.height)
    choice = FINDING_PRESENT if regions else NO_FINDING
    return {
        "data": {"image": image_root + film.name, "width": film.width, "height": film.height},
        "annotations": [{"result": [*regions, study_region(choice)], "was_cancelled": False}],
    }


def _read(file: Path) -> Iterator[Found]:
    try:
        tasks = json.loads(read_text(file))
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"no JSON: {error}") from None
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise AnnotationError("is no export of Label Studio: it must hold a list of tasks")
    for index, task in enumerate(tasks):
        where = f"{file}, task {task.get('id', f'at {index}')}"
        yield from unfit_if_broken(where, _annotations(where, task))


def _annotations(where: str, task: Json) -> Iterator[Found]:
    said = task.get("annotations")
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise AnnotationError("has no annotations; export as JSON, not as JSON-MIN")
    film = _film(task.get("data"))
    for index, annotation in enumerate(said):
        place = f"{where}, annotation {annotation.get('id', f'at {index}')}"
        if annotation.get("was_cancelled"):
            continue
        try:
            yield _found(place, film, annotation)
        except AnnotationError as error:
            yield Unfit(place, str(error))


def _film(data: Any) -> str:
    for name in ("image_id", "film", "image"):
        if isinstance(data, dict) and isinstance(data.get(name), str):
            return str(data[name])
    raise AnnotationError("does not say which film it is: its data has no image")


def _found(where: str, film: str, annotation: Json) -> FoundFilm:
    said, at = parse(annotation), annotation.get("updated_at")
    return FoundFilm(
        where,
        film,
        tuple(_shares(box) for box in said.boxes),
        unit="shares",
        size=_size(regions_of(annotation)),
        verdict=said.verdict if said.chosen else None,
        reader=_reader(annotation.get("completed_by")),
        at=at if isinstance(at, str) else None,
        seconds=seconds_spent(annotation),
        comment=said.comment,
    )


def _shares(box: DrawnBox) -> FoundBox:
    x, y, width, height = box.percent
    xyxy = (x / 100, y / 100, (x + width) / 100, (y + height) / 100)
    return FoundBox(box.label, xyxy, box.confidence, box.comment)


def _size(regions: Sequence[Json]) -> Size | None:
    sizes = {
        stated_size(region.get("original_width"), region.get("original_height"))
        for region in regions
    } - {None}
    if len(sizes) > 1:
        raise AnnotationError("its boxes were drawn on films of different sizes")
    return next(iter(sizes), None)


def _reader(completed_by: Any) -> str | None:
    if isinstance(completed_by, dict):
        return str(completed_by.get("email") or "") or _reader(completed_by.get("id"))
    return None if completed_by is None else f"user-{completed_by}"
