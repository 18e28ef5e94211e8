"""What the model saw, as JSON: the same in the queue and in the annotation log."""

from collections.abc import Iterable
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from lungal.data.lines import Checked, Finding
from lungal.records import SeenBox

NUMBERS = ("x1", "y1", "x2", "y2", "score")


class CheckedSeenBox(Checked):
    """A SeenBox that came from outside: a known finding, an area, a score in [0, 1]."""

    label: Finding
    x1: float
    y1: float
    x2: float
    y2: float
    score: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def have_area(self) -> Self:
        """Refuse a box that is turned inside out or a line."""
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(f"box of {self.label} has no area")
        return self


def plain_seen(boxes: Iterable[SeenBox]) -> list[dict[str, Any]]:
    """Return boxes as plain dictionaries of a text and numbers."""
    return [
        {"label": box.label} | {name: float(getattr(box, name)) for name in NUMBERS}
        for box in boxes
    ]


def seen_boxes(checked: Iterable[CheckedSeenBox]) -> tuple[SeenBox, ...]:
    """Return boxes that were checked as the values that travel."""
    return tuple(SeenBox(**vars(box)) for box in checked)
