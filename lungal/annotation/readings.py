"""Label Studio's annotations as events of the log. Pure.

The server takes almost anything: unknown labels, rotated boxes, boxes beyond the film, two
annotations of one person. What comes back is checked here, once, at the door. What cannot be
trusted becomes an event as well, "refused" and with the reason, so that nothing is lost.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from math import isfinite
from typing import Any, get_args

from lungal.annotation.tasks import (
    CHOICE_KEYS,
    COMMENT,
    CONFIDENCE,
    FINDING,
    FINDING_PRESENT,
    NO_FINDING,
    NOTE,
    STUDY,
    UNREADABLE,
    Json,
)
from lungal.boxes import clip, from_percent
from lungal.records import CLASSES, Annotation, Confidence, LabelledBox, Verdict

ABOUT_A_BOX = (FINDING, CONFIDENCE, NOTE)
ABOUT_THE_FILM = (STUDY, COMMENT)


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
        seconds=_seconds(annotation.get("lead_time")),
        model_version=film.model_version,
    )
    if film.wrong:
        return refusal(said, film.wrong)
    try:
        verdict, boxes, comment = _said(annotation, film)
    except _WrongError as error:
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


class _WrongError(Exception):
    """What is wrong with an annotation."""


def _seconds(lead_time: object) -> float | None:
    if not isinstance(lead_time, (int, float)) or not isfinite(lead_time):
        return None
    return round(max(float(lead_time), 0.0), 3)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number > 0


def _said(annotation: Json, film: ReadFilm) -> tuple[Verdict, tuple[LabelledBox, ...], str | None]:
    regions = annotation.get("result") or []
    for region in regions:
        if not isinstance(region, dict) or not isinstance(region.get("value") or {}, dict):
            raise _WrongError(f"holds {str(region)[:60]!r}, which is no region")
        if region.get("from_name") not in ABOUT_A_BOX + ABOUT_THE_FILM:
            what = f"{region.get('type')!r} of {region.get('from_name')!r}"
            raise _WrongError(f"holds a region {what}; known: 'rectanglelabels' of {FINDING!r}")
    comment = _text([region for region in regions if region["from_name"] == COMMENT])
    if annotation.get("was_cancelled"):
        return "skipped", (), comment
    choice = _choice([region for region in regions if region["from_name"] == STUDY])
    if choice == UNREADABLE:
        return "unreadable", (), comment
    boxes = _boxes([region for region in regions if region["from_name"] in ABOUT_A_BOX], film)
    if choice == NO_FINDING and boxes:
        raise _WrongError(f"says {NO_FINDING!r} but holds {len(boxes)} boxes")
    if choice == FINDING_PRESENT and not boxes:
        raise _WrongError(f"says {FINDING_PRESENT!r} but holds no box")
    return ("finding" if boxes else "no_finding"), boxes, comment


def _choice(regions: Sequence[Json]) -> str | None:
    chosen = {choice for region in regions for choice in _choices(region)}
    if unknown := chosen - set(CHOICE_KEYS):
        raise _WrongError(f"has the verdict {min(unknown)!r}; known: {', '.join(CHOICE_KEYS)}")
    if len(chosen) > 1:
        raise _WrongError(f"has several verdicts: {', '.join(sorted(chosen))}")
    return next(iter(chosen), None)


def _boxes(regions: Sequence[Json], film: ReadFilm) -> tuple[LabelledBox, ...]:
    # What a reader says of one box has the box's region id.
    about: dict[str, dict[str, list[Json]]] = defaultdict(lambda: defaultdict(list))
    for region in regions:
        about[str(region.get("id"))][region["from_name"]].append(region)
    for words in about.values():
        if not words[FINDING]:
            raise _WrongError("says something of a box that is not there")
        if len(words[FINDING]) > 1 and len(words) > 1:
            raise _WrongError("has two boxes of one name, and says something of one of them")
    return tuple(
        replace(
            _box(region, film),
            confidence=_confidence(words[CONFIDENCE]),
            comment=_text(words[NOTE]),
        )
        for words in about.values()
        for region in words[FINDING]
    )


def _box(region: Json, film: ReadFilm) -> LabelledBox:
    if region.get("type") != "rectanglelabels":
        what = f"{region.get('type')!r} of {FINDING!r}"
        raise _WrongError(f"holds a region {what}; known: 'rectanglelabels' of {FINDING!r}")
    value = region.get("value") or {}
    labels = _listed(value.get("rectanglelabels"))
    if len(labels) != 1 or labels[0] not in CLASSES:
        raise _WrongError(f"has a box with the labels {labels}; known: one of {', '.join(CLASSES)}")
    if value.get("rotation") or region.get("image_rotation"):
        raise _WrongError(f"has a rotated {labels[0]} box")
    _check_size(region, film)
    return LabelledBox(labels[0], *_corners(labels[0], value, film))


def _check_size(region: Json, film: ReadFilm) -> None:
    drawn_on = (region.get("original_width"), region.get("original_height"))
    if drawn_on != (None, None) and drawn_on != (film.width, film.height):
        raise _WrongError(
            f"was drawn on {drawn_on[0]}x{drawn_on[1]} pixels; "
            f"the film has {film.width}x{film.height}"
        )


def _corners(label: str, value: Json, film: ReadFilm) -> tuple[float, float, float, float]:
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


def _confidence(regions: Sequence[Json]) -> Confidence | None:
    chosen = {choice.lower() for region in regions for choice in _choices(region)}
    known: dict[str, Confidence] = {name: name for name in get_args(Confidence)}
    if unknown := chosen - set(known):
        raise _WrongError(f"has the confidence {min(unknown)!r}; known: {', '.join(known)}")
    if len(chosen) > 1:
        raise _WrongError(f"has several confidences of one box: {', '.join(sorted(chosen))}")
    return known[chosen.pop()] if chosen else None


def _choices(region: Json) -> list[str]:
    return [str(choice) for choice in _listed((region.get("value") or {}).get("choices"))]


def _text(regions: Sequence[Json]) -> str | None:
    texts = [(region.get("value") or {}).get("text") for region in regions]
    lines = [line for text in texts for line in _listed(text)]
    said = "\n".join(str(line).strip() for line in lines if str(line).strip())
    # Half of a surrogate pair is legal JSON and no text: it could not be written to the log.
    return said.encode("utf-8", "replace").decode("utf-8") or None


def _listed(value: object) -> list[Any]:
    """Return what should be a list as one."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]
