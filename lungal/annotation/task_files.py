"""Files of Label Studio's JSON: labels to import there, and what it exports. Pure but for the file.

The file names films as other formats do. It is a data set on its way, not a reading session: what
readers may see is a matter of lungal.annotation.tasks.
"""

import json
from collections.abc import Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, get_args

from lungal.annotation.tasks import (
    CHOICE_KEYS,
    CONFIDENCE,
    FINDING_PRESENT,
    NO_FINDING,
    UNREADABLE,
    Json,
    box_regions,
    study_region,
)
from lungal.data.files import whole_file
from lungal.data.interchange.film import (
    XYXY,
    Found,
    FoundBox,
    FoundFilm,
    LabelledFilm,
    Size,
    Unfit,
    label_files,
    number,
    numbers,
    read_text,
    stated_size,
    unfit_if_broken,
)
from lungal.errors import AnnotationError
from lungal.records import Confidence, Verdict, to_arrays

SIDES = ("x", "y", "width", "height")
CONFIDENCES: dict[str, Confidence] = {str(name): name for name in get_args(Confidence)}


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
    regions = annotation.get("result") or []
    if not isinstance(regions, list) or not all(
        isinstance(region, dict) and isinstance(region.get("value"), dict) for region in regions
    ):
        raise AnnotationError("its result is not a list of regions")
    verdict, boxes = _verdict(regions)
    at, ids = annotation.get("updated_at"), _box_ids(regions)
    return FoundFilm(
        where,
        film,
        boxes,
        unit="shares",
        size=_size(regions),
        verdict=verdict,
        reader=_reader(annotation.get("completed_by")),
        at=at if isinstance(at, str) else None,
        seconds=_seconds(annotation.get("lead_time")),
        comment=_text([region for region in regions if region.get("id") not in ids]),
    )


def _seconds(lead_time: Any) -> float | None:
    if not isinstance(lead_time, (int, float)):
        return None
    seconds = number(lead_time, "its lead_time")
    if not isfinite(seconds):
        raise AnnotationError(f"its lead_time is {lead_time}, not a number of seconds")
    return round(max(seconds, 0), 3)


def _verdict(regions: Sequence[Json]) -> tuple[Verdict | None, tuple[FoundBox, ...]]:
    choices = _choices(regions, _box_ids(regions))
    if UNREADABLE in choices:
        return "unreadable", ()
    boxes = tuple(_box(region, regions) for region in regions if region.get("type") not in _ASIDES)
    if NO_FINDING in choices and boxes:
        raise AnnotationError(f"says {NO_FINDING!r} but holds {len(boxes)} boxes")
    if FINDING_PRESENT in choices and not boxes:
        raise AnnotationError(f"says {FINDING_PRESENT!r} but holds no box")
    return None, boxes


_ASIDES = ("choices", "textarea")
"""Regions that are no boxes: of the film, or, with the id of a box, of that box."""


def _box_ids(regions: Sequence[Json]) -> list[Any]:
    ids = [region.get("id") for region in regions if region.get("type") not in _ASIDES]
    return [name for name in ids if name is not None]


def _choices(regions: Sequence[Json], box_ids: Sequence[Any]) -> set[str]:
    chosen = {
        str(choice)
        for region in regions
        if region.get("type") == "choices" and region.get("id") not in box_ids
        for choice in _listed(region["value"], "choices")
    }
    if unknown := chosen - set(CHOICE_KEYS):
        raise AnnotationError(f"has the verdict {min(unknown)!r}; known: {', '.join(CHOICE_KEYS)}")
    if len(chosen) > 1:
        raise AnnotationError(f"has several verdicts: {', '.join(sorted(chosen))}")
    return chosen


def _box(region: Json, regions: Sequence[Json]) -> FoundBox:
    value = region["value"]
    labels = value.get("rectanglelabels")
    if region.get("type") != "rectanglelabels" or not isinstance(labels, list) or len(labels) != 1:
        raise AnnotationError(
            f"holds a {region.get('type')!r} with the labels {labels}; known: rectanglelabels, one"
        )
    if value.get("rotation") or region.get("image_rotation"):
        raise AnnotationError(f"has a rotated {labels[0]} box")
    name = region.get("id")
    asides = [one for one in regions if name is not None and one.get("id") == name]
    return FoundBox(str(labels[0]), _shares(value), _confidence(asides), _text(asides))


def _shares(value: Json) -> XYXY:
    x, y, width, height = numbers([value.get(side) for side in SIDES], SIDES)
    return x / 100, y / 100, (x + width) / 100, (y + height) / 100


def _confidence(asides: Sequence[Json]) -> Confidence | None:
    for region in asides:
        if region.get("from_name") == CONFIDENCE:
            for choice in _listed(region["value"], "choices"):
                return CONFIDENCES.get(str(choice).lower())
    return None


def _text(regions: Sequence[Json]) -> str | None:
    texts = [
        str(text)
        for region in regions
        if region.get("type") == "textarea"
        for text in _listed(region["value"], "text")
    ]
    return "\n".join(texts) or None


def _listed(value: Json, name: str) -> list[Any]:
    said = value.get(name)
    if isinstance(said, str):
        return [said]
    if not isinstance(said, list | None):
        raise AnnotationError(f"its {name!r} is {said!r}, not a list")
    return said or []


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
