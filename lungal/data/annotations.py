"""The annotation log, data/annotations.jsonl: every event ever pulled, one JSON line each.

The log only grows. Order means nothing and a `source_id` is an event's identity, so that pulling
twice, shuffling lines, or merging two branches' logs line by line (git's `merge=union`) changes
nothing about what the log says. Which readings it leaves standing: `lungal.reading.standing`.
"""

from collections.abc import Iterable
from pathlib import Path

from lungal.data.annotation_json import from_json as from_json
from lungal.data.annotation_json import to_json as to_json
from lungal.data.lines import append_lines, read_lines
from lungal.errors import AnnotationError
from lungal.reading.standing import by_source
from lungal.reading.standing import fold as fold
from lungal.reading.verdicts import NOT_READ
from lungal.records import Annotation


def read_log(path: Path) -> list[Annotation]:
    """Read all lines, repeats included; a missing file is an empty log.

    Raises:
        AnnotationError: naming path:line, for a line that cannot be trusted.
    """
    return read_lines(path, from_json)


def append_log(path: Path, annotations: Iterable[Annotation]) -> int:
    """Add the events that the log does not have yet, all of them or none.

    A process killed at any point leaves the old log or the new one, and two that append at the same
    time lose nothing (`lines.append_lines`).

    Returns:
        How many events were new.

    Raises:
        AnnotationError: if the log or a new event cannot be trusted, or a known source_id comes
            back with another content.
    """
    events = [checked(event) for event in annotations]

    def pick(log: list[Annotation]) -> list[str]:
        known = by_source(log)
        together = by_source([*known.values(), *events])
        return [to_json(event) for source, event in together.items() if source not in known]

    return append_lines(path, from_json, pick)


def current_round(log: Iterable[Annotation]) -> int:
    """Return the round that is being worked on: one more than the last in which a film was read."""
    return 1 + max((event.round for event in log if event.verdict not in NOT_READ), default=0)


def checked(event: Annotation) -> Annotation:
    """Return an event as it will be read from the log, equal to what is read.

    Raises:
        AnnotationError: if the log cannot hold it.
    """
    try:
        return from_json(to_json(event))
    except AnnotationError as error:
        raise AnnotationError(f"reading {event.source_id!r}: {error}") from None
