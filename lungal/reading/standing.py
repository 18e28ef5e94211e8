"""Which of all events in the log are the readings that count now, said to stand.

An event is never rewritten: an edit, a deletion or a refusal is an event of its own. Which readings
stand depends on the events' times alone, not on the order of the lines or on repeated lines.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime

from lungal.errors import AnnotationError
from lungal.reading.verdicts import NOT_READ
from lungal.records import Annotation


def standing(log: Iterable[Annotation]) -> list[Annotation]:
    """Return the readings that stand, sorted by (image_id, round, reader).

    Of each thread the latest event counts; a refused one is passed over, since what the reader
    said before still stands, and a thread that was deleted last is gone. Of what a reader then
    says of a film in a round, the latest counts.

    Raises:
        AnnotationError: naming a source_id that stands for two different events.
    """
    threads: dict[str, Annotation] = {}
    for event in sorted(by_source(log).values(), key=age):
        if event.verdict != "refused":
            threads[event.thread] = event
    words: dict[tuple[str, int, str], Annotation] = {}
    for reading in sorted(threads.values(), key=age):
        if reading.verdict != "deleted":
            words[reading.image_id, reading.round, reading.reader] = reading
    return [reading for _, reading in sorted(words.items())]


def by_film(readings: Iterable[Annotation]) -> dict[str, list[Annotation]]:
    """Return the readings of each film, in the order given, sorted by image_id."""
    films: dict[str, list[Annotation]] = defaultdict(list)
    for reading in readings:
        films[reading.image_id].append(reading)
    return dict(sorted(films.items()))


def fold(log: Iterable[Annotation]) -> dict[str, Annotation]:
    """Return the latest standing reading of each film, sorted by image_id.

    Raises:
        AnnotationError: naming a source_id that stands for two different events.
    """
    oldest_first = sorted(standing(log), key=age)
    return dict(sorted({reading.image_id: reading for reading in oldest_first}.items()))


def age(event: Annotation) -> tuple[datetime, str]:
    """Return what events are ordered by, the oldest first: (at, source_id)."""
    return datetime.fromisoformat(event.at), event.source_id


def by_source(log: Iterable[Annotation]) -> dict[str, Annotation]:
    """Return the events by source_id, repeats once, in the order in which they first come.

    Two clones may have pulled one refusal or deletion differently: for another reason, or without
    knowing what the film was for. As neither says what is on a film, that is no error, and the one
    whose comment comes first in the alphabet stays.

    Raises:
        AnnotationError: naming a source_id that stands for two different events.
    """
    events: dict[str, Annotation] = {}
    for event in log:
        if (known := events.setdefault(event.source_id, event)) == event:
            continue
        if known.verdict == event.verdict and event.verdict in NOT_READ:
            events[event.source_id] = min(
                known, event, key=lambda one: (one.comment or "", repr(one))
            )
        else:
            raise AnnotationError(
                f"source_id {event.source_id!r} stands for two different readings of"
                f" {known.image_id} and {event.image_id};"
                " an edited reading needs a source_id of its own"
            )
    return events
