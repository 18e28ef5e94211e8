"""One event of a reading as one line of JSON, checked field by field on the way in."""

import json
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lungal.data.lines import Checked, CheckedBox, Instant, Text, parse
from lungal.data.seen_json import CheckedSeenBox, plain_seen, seen_boxes
from lungal.records import Annotation, BoxOrigin, Confidence, LabelledBox, Role, Verdict

Seconds = Annotated[float, Field(ge=0)]


class _Box(CheckedBox):
    origin: BoxOrigin | None = None
    confidence: Confidence | None = None
    comment: str | None = None


class _Line(Checked):
    source_id: Text
    image_id: Text
    round: Annotated[int, Field(ge=1)]
    reader: Text
    verdict: Verdict
    boxes: list[_Box]
    at: Instant
    seconds: Seconds | None = None
    model_version: str | None = None
    role: Role = "label"
    blind: bool = False
    deleted: Annotated[list[_Box], Field(default_factory=list)]
    seen: list[CheckedSeenBox] | None = None
    comment: str | None = None

    @model_validator(mode="after")
    def agree(self) -> Self:
        if (self.verdict == "finding") != bool(self.boxes):
            raise ValueError(f"verdict {self.verdict!r} does not go with {len(self.boxes)} box(es)")
        return self


def to_json(annotation: Annotation) -> str:
    """Return the annotation as one line of JSON, without the newline."""
    fields = {name: getattr(annotation, name) for name in _Line.model_fields}
    boxes: dict[str, Any] = {
        "boxes": _plain(annotation.boxes),
        "deleted": _plain(annotation.deleted),
        "seen": None if annotation.seen is None else plain_seen(annotation.seen),
    }
    return json.dumps(fields | boxes, ensure_ascii=False)


@cache
def from_json(line: str) -> Annotation:
    """Read and check one line. A line that was read before is not checked anew.

    All are kept. A pull reads the log twice, a watch every few seconds, and always from its first
    line to its last: a cache that lacks one place would never hit.

    Raises:
        AnnotationError: if it is no JSON, lacks a field, has one too many, names an unknown
            class or verdict, or its boxes do not go with its verdict.
    """
    checked = parse(_Line, line)
    boxes: dict[str, Any] = {
        "boxes": _boxes(checked.boxes),
        "deleted": _boxes(checked.deleted),
        "seen": None if checked.seen is None else seen_boxes(checked.seen),
    }
    return Annotation(**(vars(checked) | boxes))


def _plain(boxes: Iterable[LabelledBox]) -> list[dict[str, Any]]:
    # What nobody said of a box is left out: most lines of a log are boxes.
    said = [{name: getattr(box, name) for name in _Box.model_fields} for box in boxes]
    sides = [{side: float(box[side]) for side in ("x1", "y1", "x2", "y2")} for box in said]
    return [
        {name: value for name, value in (box | numbers).items() if value is not None}
        for box, numbers in zip(said, sides, strict=True)
    ]


def _boxes(checked: Iterable[_Box]) -> tuple[LabelledBox, ...]:
    return tuple(LabelledBox(**vars(box)) for box in checked)
