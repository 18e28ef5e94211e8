"""Readings for tests of the reader report: who said what of a film, in few words."""

from itertools import count

from lungal.records import Annotation, LabelledBox, SeenBox

_numbers = count(1)


def box(label="Mass", x=10.0, y=10.0, side=40.0, origin=None):
    return LabelledBox(label, x, y, x + side, y + side, origin)


def said(image_id, *boxes, reader="reader-a", verdict=None, seconds=10.0, round=1, **rest):  # noqa: A002
    """A reading of its own thread; a verdict that is not given follows from the boxes."""
    number = next(_numbers)
    return Annotation(
        source_id=rest.pop("source_id", f"ls-1-{number}@saved"),
        image_id=image_id,
        round=round,
        reader=reader,
        verdict=verdict or ("finding" if boxes else "no_finding"),
        boxes=tuple(boxes),
        at=rest.pop("at", f"2026-11-20T10:{number // 60 % 60:02d}:{number % 60:02d}.000000Z"),
        seconds=seconds,
        **rest,
    )


def saw(*boxes):
    """What the model saw: these boxes, each with the score .5."""
    return tuple(SeenBox(b.label, *b.xyxy, 0.5) for b in boxes)
