"""Label Studio's annotations as readings. Pure.

The server takes almost anything: unknown labels, rotated boxes, boxes beyond the film, two
annotations of one person. What comes back is checked here, once, at the door.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from lungal.annotation.tasks import (
    CHOICE_KEYS,
    FINDING,
    FINDING_PRESENT,
    NO_FINDING,
    STUDY,
    UNREADABLE,
    Json,
)
from lungal.boxes import clip, from_percent
from lungal.errors import AnnotationError
from lungal.records import CLASSES, Annotation, LabelledBox, Verdict


def last_words(annotations: Sequence[Json]) -> list[Json]:
    """Return the latest annotation of each reader of one task.

    The server accepts several by one person, for instance when a browser sends a form twice.
    """
    latest: dict[Any, Json] = {}
    for annotation in sorted(annotations, key=lambda a: (str(a["updated_at"]), a["id"])):
        latest[annotation.get("completed_by")] = annotation
    return list(latest.values())


def reading(project_id: int, data: Mapping[str, Any], annotation: Json, link: str) -> Annotation:
    """Return a Label Studio annotation as a reading.

    Args:
        project_id: makes source_id unique.
        data: of the task, as task_data wrote it.
        annotation: one of the task's annotations, as the API returns it.
        link: where a person can look at the task.

    Raises:
        AnnotationError: saying what is wrong and giving the link.
    """
    try:
        film = _Film.of(data)
        verdict, boxes = _verdict(annotation, film)
        at = utc(annotation["updated_at"])
    except _WrongError as error:
        raise AnnotationError(f"annotation {annotation.get('id')} {error}: {link}") from None
    reader = annotation.get("completed_by")
    seconds = annotation.get("lead_time")
    return Annotation(
        source_id=f"ls-{project_id}-{annotation['id']}@{at}",
        image_id=film.image_id,
        round=film.round,
        reader=f"user-{reader if reader is not None else 'unknown'}",
        verdict=verdict,
        boxes=boxes,
        at=at,
        seconds=None if seconds is None else round(max(float(seconds), 0.0), 3),
        model_version=data.get("model_version"),
    )


def utc(moment: str | datetime) -> str:
    """Return a moment as ISO 8601 in UTC with microseconds: texts sort as the moments do."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


class _WrongError(Exception):
    """What is wrong with an annotation, without the link."""


@dataclass(frozen=True, slots=True)
class _Film:
    """What a task says of its film, checked."""

    image_id: str
    round: int
    width: int
    height: int

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "_Film":
        numbers = [data.get(name) for name in ("round", "width", "height")]
        name = data.get("image_id")
        if not isinstance(name, str) or not all(isinstance(n, int) and n > 0 for n in numbers):
            raise _WrongError("belongs to a task that lungal did not queue")
        return cls(name, *(int(n) for n in numbers if n is not None))


def _verdict(annotation: Json, film: _Film) -> tuple[Verdict, tuple[LabelledBox, ...]]:
    if annotation.get("was_cancelled"):
        return "skipped", ()
    regions = annotation.get("result") or []
    choice = _choice([r for r in regions if r.get("from_name") == STUDY])
    if choice == UNREADABLE:
        return "unreadable", ()
    boxes = tuple(_box(r, film) for r in regions if r.get("from_name") != STUDY)
    if choice == NO_FINDING and boxes:
        raise _WrongError(f"says {NO_FINDING!r} but holds {len(boxes)} boxes")
    if choice == FINDING_PRESENT and not boxes:
        raise _WrongError(f"says {FINDING_PRESENT!r} but holds no box")
    return ("finding" if boxes else "no_finding"), boxes


def _choice(regions: Sequence[Json]) -> str | None:
    chosen = {str(c) for region in regions for c in region.get("value", {}).get("choices", ())}
    if unknown := chosen - set(CHOICE_KEYS):
        raise _WrongError(f"has the verdict {min(unknown)!r}; known: {', '.join(CHOICE_KEYS)}")
    if len(chosen) > 1:
        raise _WrongError(f"has several verdicts: {', '.join(sorted(chosen))}")
    return next(iter(chosen), None)


def _box(region: Json, film: _Film) -> LabelledBox:
    if region.get("from_name") != FINDING or region.get("type") != "rectanglelabels":
        what = f"{region.get('type')!r} of {region.get('from_name')!r}"
        raise _WrongError(f"holds a region {what}; known: 'rectanglelabels' of {FINDING!r}")
    value = region.get("value") or {}
    labels = value.get("rectanglelabels") or []
    if len(labels) != 1 or labels[0] not in CLASSES:
        raise _WrongError(f"has a box with the labels {labels}; known: one of {', '.join(CLASSES)}")
    if value.get("rotation") or region.get("image_rotation"):
        raise _WrongError(f"has a rotated {labels[0]} box")
    _check_size(region, film)
    return LabelledBox(labels[0], *_corners(labels[0], value, film))


def _check_size(region: Json, film: _Film) -> None:
    drawn_on = (region.get("original_width"), region.get("original_height"))
    if drawn_on != (None, None) and drawn_on != (film.width, film.height):
        raise _WrongError(
            f"was drawn on {drawn_on[0]}x{drawn_on[1]} pixels; "
            f"the film has {film.width}x{film.height}"
        )


def _corners(label: str, value: Json, film: _Film) -> tuple[float, float, float, float]:
    try:
        percent = [float(value[name]) for name in ("x", "y", "width", "height")]
    except (KeyError, TypeError, ValueError):
        raise _WrongError(f"has a {label} box without four numbers") from None
    if not all(isfinite(number) for number in percent):
        raise _WrongError(f"has a {label} box with a coordinate that is not finite")
    corners = clip(from_percent([percent], film.width, film.height), film.width, film.height)[0]
    x1, y1, x2, y2 = (round(float(corner), 2) for corner in corners)
    if x2 <= x1 or y2 <= y1:
        raise _WrongError(f"has a {label} box without area on the film")
    return x1, y1, x2, y2
