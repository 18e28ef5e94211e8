"""Label Studio's annotations as events of the log. Pure.

The server takes almost anything: unknown labels, rotated boxes, boxes beyond the film, two
annotations of one person. What comes back is checked here, once, at the door. What cannot be
trusted becomes an event as well, "refused" and with the reason, so that nothing is lost.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from lungal.annotation.regions import (
    CHOICE,
    RECTANGLE,
    TEXT,
    DrawnBox,
    box_id,
    parse,
    regions_of,
    seconds_spent,
)
from lungal.annotation.tasks import COMMENT, CONFIDENCE, FINDING, NOTE, STUDY, Json
from lungal.boxes import clip, from_percent
from lungal.errors import AnnotationError
from lungal.records import CLASSES, Annotation, LabelledBox, Verdict

LAYOUT = (
    (FINDING, RECTANGLE),
    (STUDY, CHOICE),
    (CONFIDENCE, CHOICE),
    (NOTE, TEXT),
    (COMMENT, TEXT),
)
"""Name and type of each region that our labelling interface makes."""


@dataclass(frozen=True, slots=True)
class ReadFilm:
    """What a task says of its film: which it is, and its size in pixels.

    `wrong` is why nothing that is said of it can be trusted.
    """

    image_id: str
    round: int
    width: int
    height: int
    model_version: str | None
    wrong: str | None = None

    @classmethod
    def of(cls, data: Mapping[str, Any], image_ids: Mapping[str, str]) -> "ReadFilm | None":
        """Read a task's data; None if lungal did not queue it.

        Args:
            data: of the task, as task_data wrote it.
            image_ids: pseudonym to image_id, of all films that are known. A film that is not
                among them keeps its pseudonym.
        """
        legacy = data.get("image_id")  # queued by a lungal that knew no pseudonyms
        film = data.get("film") or legacy
        if not isinstance(film, str) or not all(
            _is_count(data.get(name)) for name in ("round", "width", "height")
        ):
            return None
        wrong = None
        if film not in image_ids and film != legacy:
            wrong = (
                f"is of {film}, which no film of the manifest is called: LUNGAL_PSEUDONYM_KEY is "
                "not the one with which it was queued, or the film is no longer there"
            )
        version = data.get("model_version")
        return cls(
            image_id=image_ids.get(film, film),
            round=data["round"],
            width=data["width"],
            height=data["height"],
            model_version=version if isinstance(version, str) else None,
            wrong=wrong,
        )


ORIGIN_DIGITS = 6


def origin_of(project_id: int, created_at: str) -> str:
    """Name a project for good, wherever it lies.

    Its number alone would not do: a server that is laid out anew counts from 1 again, and a
    reading of another film would be taken for an edit.
    """
    made = hashlib.sha256(utc(created_at).encode()).hexdigest()[:ORIGIN_DIGITS]
    return f"{project_id}.{made}"


def thread_of(origin: str, annotation_id: int) -> str:
    """Return what all events of one Label Studio annotation have in common."""
    return f"ls-{origin}-{annotation_id}"


def event(origin: str, film: ReadFilm, annotation: Json, reader: str) -> Annotation:
    """Return a Label Studio annotation, as it is now, as an event.

    Args:
        origin: of the project; makes the thread unique.
        film: that the annotation is of.
        annotation: as the API returns it.
        reader: who made it.

    Returns:
        A reading, or a refusal whose comment says what is wrong.
    """
    at = utc(annotation["updated_at"])
    said = Annotation(
        source_id=f"{thread_of(origin, annotation['id'])}@{at}",
        image_id=film.image_id,
        round=film.round,
        reader=reader,
        verdict="skipped",
        boxes=(),
        at=at,
        seconds=_seconds(annotation),
        model_version=film.model_version,
    )
    if film.wrong:
        return refusal(said, film.wrong)
    try:
        verdict, boxes, comment = _said(annotation, film)
    except AnnotationError as error:
        return refusal(said, str(error))
    return replace(said, verdict=verdict, boxes=boxes, comment=comment)


def refusal(said: Annotation, reason: str) -> Annotation:
    """Return a reading as one that is not trusted; what its reader said before still stands."""
    return replace(
        said,
        source_id=f"{said.thread}@refused-{said.at}",
        verdict="refused",
        boxes=(),
        deleted=(),
        comment=reason,
    )


def deletion(last: Annotation, moment: str) -> Annotation:
    """Return the event that a reading was deleted.

    Args:
        last: the latest event of its thread.
        moment: when it was noticed, or shortly before; ISO 8601, UTC.
    """
    return replace(
        last,
        source_id=f"{last.thread}@deleted-{moment}",
        verdict="deleted",
        boxes=(),
        deleted=(),
        at=max(moment, last.at, key=datetime.fromisoformat),  # of two alike, "@deleted" sorts last
        seconds=None,
        comment=None,
    )


def utc(moment: str | datetime) -> str:
    """Return a moment as ISO 8601 in UTC with microseconds: texts sort as the moments do."""
    if isinstance(moment, str):
        moment = datetime.fromisoformat(moment)
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _seconds(annotation: Json) -> float | None:
    try:
        return seconds_spent(annotation)
    except AnnotationError:
        return None  # an odd time makes a reading no worse


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _said(annotation: Json, film: ReadFilm) -> tuple[Verdict, tuple[LabelledBox, ...], str | None]:
    _check_layout(regions_of(annotation))
    said = parse(annotation)
    return said.verdict, tuple(_on_film(box, film) for box in said.boxes), said.comment


def _check_layout(regions: Sequence[Json]) -> None:
    drawn = {box_id(region) for region in regions if region.get("from_name") == FINDING} - {None}
    for region in regions:
        name, kind = region.get("from_name"), region.get("type")
        if (name, kind) not in LAYOUT:
            known = ", ".join(f"{kind!r} of {name!r}" for name, kind in LAYOUT)
            raise AnnotationError(f"holds a region {kind!r} of {name!r}; known: {known}")
        if name in (CONFIDENCE, NOTE) and box_id(region) not in drawn:
            raise AnnotationError("says something of a box that is not there")


def _on_film(box: DrawnBox, film: ReadFilm) -> LabelledBox:
    if box.label not in CLASSES:
        known = ", ".join(CLASSES)
        raise AnnotationError(f"has a box with the label {box.label!r}; known: one of {known}")
    if box.drawn_on not in (None, (film.width, film.height)):
        drawn_on, size = "x".join(map(str, box.drawn_on or ())), f"{film.width}x{film.height}"
        raise AnnotationError(f"was drawn on {drawn_on} pixels; the film has {size}")
    corners = _corners(box, film)
    return LabelledBox(box.label, *corners, confidence=box.confidence, comment=box.comment)


def _corners(box: DrawnBox, film: ReadFilm) -> tuple[float, float, float, float]:
    if not all(isfinite(number) for number in box.percent):
        raise AnnotationError(f"has a {box.label} box with a coordinate that is not finite")
    corners = clip(from_percent([box.percent], film.width, film.height), film.width, film.height)[0]
    x1, y1, x2, y2 = (round(float(corner), 2) for corner in corners)
    if x2 <= x1 or y2 <= y1:
        raise AnnotationError(f"has a {box.label} box without area on the film")
    return x1, y1, x2, y2
