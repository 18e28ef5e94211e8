"""What one annotation of Label Studio's JSON says: its regions as a verdict, boxes and words. Pure.

Readings of our own projects and files that anybody exported are both read here. What holds for the
film, its size in pixels and the names of our findings, is the callers' to check.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal, get_args

from lungal.annotation.tasks import (
    CHOICE_KEYS,
    COMMENT,
    CONFIDENCE,
    FINDING_PRESENT,
    NO_FINDING,
    STUDY,
    UNREADABLE,
    Json,
)
from lungal.data.interchange.film import Size, number, numbers, stated_size
from lungal.errors import AnnotationError
from lungal.records import CLASSES, Confidence

RECTANGLE, CHOICE, TEXT = "rectanglelabels", "choices", "textarea"
SIDES = ("x", "y", "width", "height")
CONFIDENCES: dict[str, Confidence] = {name: name for name in get_args(Confidence)}


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A rectangle as it was drawn, on the film or beyond it.

    Attributes:
        label: what its layout calls the finding, which need not be one of ours.
        percent: x, y, width and height, percent of the film's; they need not be finite.
        drawn_on: the size of the film that it was drawn on, pixels; None if that is not said.
        confidence: how sure the reader is of it.
        comment: what the reader says of it.
    """

    label: str
    percent: tuple[float, float, float, float]
    drawn_on: Size | None
    confidence: Confidence | None
    comment: str | None


@dataclass(frozen=True, slots=True)
class Said:
    """What a reader says of a film: boxes for `finding`, else none."""

    verdict: Literal["finding", "no_finding", "unreadable", "skipped"]
    boxes: tuple[DrawnBox, ...]
    comment: str | None
    chosen: bool = True  # the verdict; else it follows from whether boxes were drawn


def parse(annotation: Json) -> Said:
    """Return what an annotation says.

    A choice or a text with the id of a box is about that box, but for those by the names STUDY and
    COMMENT, which like all others are about the film. Whoever skips a film or calls it unreadable
    says nothing of boxes that are drawn on it.

    Args:
        annotation: as the API returns it and as an export has it.

    Raises:
        AnnotationError: if the regions contradict each other, or one of them cannot be understood.
    """
    regions = regions_of(annotation)
    boxes = [region for region in regions if region.get("type") not in (CHOICE, TEXT)]
    about, of_film = _sorted(regions, {box_id(box) for box in boxes} - {None})
    comment = _text(of_film)
    if annotation.get("was_cancelled"):
        return Said("skipped", (), comment)
    choice = _choice(of_film)
    if choice == UNREADABLE:
        return Said("unreadable", (), comment)
    drawn = _boxes(boxes, about)
    if choice == NO_FINDING and drawn:
        raise AnnotationError(f"says {NO_FINDING!r} but holds {len(drawn)} boxes")
    if choice == FINDING_PRESENT and not drawn:
        raise AnnotationError(f"says {FINDING_PRESENT!r} but holds no box")
    return Said("finding" if drawn else "no_finding", drawn, comment, choice is not None)


def regions_of(annotation: Json) -> list[Json]:
    """Return an annotation's regions, whose values are objects if they are there.

    Raises:
        AnnotationError: if there is something else among them.
    """
    regions = annotation.get("result") or []
    wrong = "its result is not a list of regions"
    if not isinstance(regions, list):
        raise AnnotationError(wrong)
    for region in regions:
        if not isinstance(region, dict) or not isinstance(region.get("value") or {}, dict):
            raise AnnotationError(f"holds {str(region)[:60]!r}, which is no region: {wrong}")
    return regions


def box_id(region: Json) -> str | None:
    """Return the name that a box shares with what is said of it, or None if it has none."""
    name = region.get("id")
    return None if name is None else str(name)


def seconds_spent(annotation: Json) -> float | None:
    """Return the seconds that an annotation took, 0 at least; None if it does not say.

    Raises:
        AnnotationError: if what it says is no finite number.
    """
    said = annotation.get("lead_time")
    if said is None:
        return None
    seconds = number(said, "its lead_time")
    if not isfinite(seconds):
        raise AnnotationError(f"its lead_time is {said}, not a number of seconds")
    return round(max(seconds, 0.0), 3)


def _sorted(
    regions: Sequence[Json], boxes: set[str | None]
) -> tuple[Mapping[str | None, list[Json]], list[Json]]:
    about: dict[str | None, list[Json]] = defaultdict(list)
    of_film: list[Json] = []
    for region in regions:
        if region.get("type") in (CHOICE, TEXT):
            name = box_id(region)
            of_box = name in boxes and region.get("from_name") not in (STUDY, COMMENT)
            (about[name] if of_box else of_film).append(region)
    return about, of_film


def _choice(regions: Sequence[Json]) -> str | None:
    chosen = _chosen(regions)
    if unknown := chosen - set(CHOICE_KEYS):
        raise AnnotationError(f"has the verdict {min(unknown)!r}; known: {', '.join(CHOICE_KEYS)}")
    if len(chosen) > 1:
        raise AnnotationError(f"has several verdicts: {', '.join(sorted(chosen))}")
    return next(iter(chosen), None)


def _boxes(
    boxes: Sequence[Json], about: Mapping[str | None, Sequence[Json]]
) -> tuple[DrawnBox, ...]:
    names = [box_id(box) for box in boxes]
    if any(names.count(name) > 1 for name in about):
        raise AnnotationError("has two boxes of one name, and says something of one of them")
    return tuple(_box(box, about.get(name, ())) for box, name in zip(boxes, names, strict=True))


def _box(region: Json, about: Sequence[Json]) -> DrawnBox:
    if region.get("type") != RECTANGLE:
        known = ", ".join(map(repr, (RECTANGLE, CHOICE, TEXT)))
        raise AnnotationError(f"holds a {region.get('type')!r}; known: {known}")
    value = region.get("value") or {}
    labels = value.get(RECTANGLE)
    labels = labels if isinstance(labels, list) else [labels]
    if len(labels) != 1 or not isinstance(labels[0], str):
        known = ", ".join(CLASSES)
        raise AnnotationError(f"has a box with the labels {labels}; known: one of {known}")
    if value.get("rotation") or region.get("image_rotation"):
        raise AnnotationError(f"has a rotated {labels[0]} box")
    return DrawnBox(
        label=labels[0],
        percent=_percent(labels[0], value),
        drawn_on=stated_size(region.get("original_width"), region.get("original_height")),
        confidence=_confidence(about),
        comment=_text(about),
    )


def _percent(label: str, value: Json) -> tuple[float, float, float, float]:
    try:
        return numbers([value.get(side) for side in SIDES], SIDES)
    except AnnotationError as error:
        raise AnnotationError(f"has a {label} box without four numbers: {error}") from None


def _confidence(regions: Sequence[Json]) -> Confidence | None:
    # By name: other layouts may ask other questions about a box.
    named = [region for region in regions if region.get("from_name") == CONFIDENCE]
    chosen = {choice.lower() for choice in _chosen(named)}
    if unknown := chosen - set(CONFIDENCES):
        known = ", ".join(CONFIDENCES)
        raise AnnotationError(f"has the confidence {min(unknown)!r} of a box; known: {known}")
    if len(chosen) > 1:
        raise AnnotationError(f"has several confidences of one box: {', '.join(sorted(chosen))}")
    return CONFIDENCES[chosen.pop()] if chosen else None


def _chosen(regions: Sequence[Json]) -> set[str]:
    choices = (_listed(region, "choices") for region in regions if region["type"] == CHOICE)
    return {str(choice) for some in choices for choice in some}


def _text(regions: Sequence[Json]) -> str | None:
    texts = (_listed(region, "text") for region in regions if region["type"] == TEXT)
    lines = (str(line).strip() for lines in texts for line in lines)
    said = "\n".join(line for line in lines if line)
    # Half of a surrogate pair is legal JSON and no text: it could not be written to the log.
    return said.encode("utf-8", "replace").decode("utf-8") or None


def _listed(region: Json, name: str) -> list[Any]:
    said = (region.get("value") or {}).get(name)
    if isinstance(said, str):
        return [said]
    if not isinstance(said, list | None):
        raise AnnotationError(f"its {name!r} is {said!r}, not a list")
    return said or []
