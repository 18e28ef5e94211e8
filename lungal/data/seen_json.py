"""What the model saw, as JSON: the same in the queue and in the annotation log."""

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from lungal.data.lines import CheckedBox
from lungal.records import SeenBox

NUMBERS = ("x1", "y1", "x2", "y2", "score")


class CheckedSeenBox(CheckedBox):
    """A SeenBox that came from outside, with a score in [0, 1]."""

    score: Annotated[float, Field(ge=0, le=1)]


def plain_seen(boxes: Iterable[SeenBox]) -> list[dict[str, Any]]:
    """Return boxes as plain dictionaries of a text and numbers."""
    return [
        {"label": box.label} | {name: float(getattr(box, name)) for name in NUMBERS}
        for box in boxes
    ]


def seen_boxes(checked: Iterable[CheckedSeenBox]) -> tuple[SeenBox, ...]:
    """Return boxes that were checked as the values that travel."""
    return tuple(SeenBox(**vars(box)) for box in checked)
