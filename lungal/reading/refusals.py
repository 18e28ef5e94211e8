"""Readings that were refused, and which of them still wait for somebody to mend them."""

from collections.abc import Iterable, Mapping

from lungal.reading.standing import age
from lungal.records import Annotation


def waiting(log: Iterable[Annotation]) -> list[Annotation]:
    """Return the refused readings that nobody has mended, each once, the oldest first.

    A refused reading is mended once it is deleted, or edited so that it can be accepted, or once
    its reader has said something else of the film in that round.
    """
    refused: dict[str, Annotation] = {}
    answers: dict[object, Annotation] = {}
    for event in sorted(log, key=age):
        if event.verdict == "refused":
            refused[event.thread] = event
        else:
            answers[event.thread] = event
            if event.verdict != "deleted":
                answers[event.image_id, event.round, event.reader] = event
    return [event for event in refused.values() if not _is_mended(event, answers)]


def _is_mended(refused: Annotation, answers: Mapping[object, Annotation]) -> bool:
    same = answers.get(refused.thread)
    # The same saved moment, once refused and once not: it was mended on our side.
    if same is not None and age(same)[0] >= age(refused)[0]:
        return True
    other = answers.get((refused.image_id, refused.round, refused.reader))
    return other is not None and age(other)[0] > age(refused)[0]
