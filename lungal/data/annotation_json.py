"""One reading as one line of JSON, checked field by field on the way in."""

import json
from datetime import datetime
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from lungal.errors import AnnotationError, LungalError
from lungal.records import Annotation, LabelledBox, Verdict, class_index

Text = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0)]


class _Checked(BaseModel):
    """Refuses unknown keys, text for numbers, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Box(_Checked):
    label: str
    x1: float
    y1: float
    x2: float
    y2: float

    @field_validator("label")
    @classmethod
    def be_known(cls, label: str) -> str:
        try:
            class_index(label)
        except LungalError as error:
            raise ValueError(str(error)) from None
        return label

    @model_validator(mode="after")
    def have_area(self) -> Self:
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(f"box of {self.label} has no area")
        return self


class _Line(_Checked):
    source_id: Text
    image_id: Text
    round: Annotated[int, Field(ge=1)]
    reader: Text
    verdict: Verdict
    boxes: list[_Box]
    at: str
    seconds: Seconds | None = None
    model_version: str | None = None

    @field_validator("at")
    @classmethod
    def be_an_instant(cls, at: str) -> str:
        if datetime.fromisoformat(at).tzinfo is None:
            raise ValueError(f"{at!r} lacks a time zone, such as Z")
        return at

    @model_validator(mode="after")
    def agree(self) -> Self:
        if (self.verdict == "finding") != bool(self.boxes):
            raise ValueError(f"verdict {self.verdict!r} does not go with {len(self.boxes)} box(es)")
        return self


def to_json(annotation: Annotation) -> str:
    """Return the annotation as one line of JSON, without the newline."""
    boxes = [
        {"label": b.label} | {side: float(getattr(b, side)) for side in ("x1", "y1", "x2", "y2")}
        for b in annotation.boxes
    ]
    fields = {name: getattr(annotation, name) for name in _Line.model_fields}
    return json.dumps(fields | {"boxes": boxes}, ensure_ascii=False)


def from_json(line: str) -> Annotation:
    """Read and check one line.

    Raises:
        AnnotationError: if it is no JSON, lacks a field, has one too many, names an unknown
            class or verdict, or its boxes do not go with its verdict.
    """
    try:
        checked = _Line.model_validate(json.loads(line))
    except json.JSONDecodeError as error:
        raise AnnotationError(f"no JSON: {error}") from None
    except ValidationError as error:
        raise AnnotationError(_explain(error)) from None
    fields = {name: getattr(checked, name) for name in _Line.model_fields}
    boxes = tuple(LabelledBox(**box.model_dump()) for box in checked.boxes)
    return Annotation(**(fields | {"boxes": boxes}))


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
