"""What readers were asked, data/queue.jsonl: a line per film and round, kept in git.

Why a film is read, whether its boxes are hidden and what the model saw on it must not be known to
its readers, so it is not in the annotation server. It is here, and pull joins it to what readers
answer. Like the annotation log the file only grows and the order of its lines means nothing.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from pydantic import Field

from lungal.data.lines import Checked, Instant, Text, append_lines, parse, read_lines
from lungal.data.seen_json import CheckedSeenBox, plain_seen, seen_boxes
from lungal.errors import AnnotationError
from lungal.records import Asked, Role

Key = tuple[int, str]
"""Round and image_id: what readers are asked once, whatever it says the second time."""

Counted = Annotated[int, Field(ge=1)]


class _Line(Checked):
    round: Counted
    image_id: Text
    rank: Counted
    uncertainty: float
    reason: str
    model_version: Text
    role: Role
    blind: bool
    readers: Counted
    seen: list[CheckedSeenBox]
    at: Instant


def read_asked(path: Path) -> list[Asked]:
    """Read all lines, repeats included; a missing file has none.

    Raises:
        AnnotationError: naming path:line, for a line that cannot be trusted.
    """
    return read_lines(path, from_json)


def append_asked(path: Path, asked: Iterable[Asked]) -> int:
    """Add what the file does not say yet, all of it or nothing.

    A process killed at any point leaves the old file or the new one, and two that append at the
    same time lose nothing (`lines.append_lines`).

    Args:
        path: of the file; made if it is missing.
        asked: of a film that is asked again, the same but for `at` is not new.

    Returns:
        How many lines were added.

    Raises:
        AnnotationError: if the file or a film cannot be trusted; nothing is written then.
    """
    films = [_checked(film) for film in asked]

    def pick(known: list[Asked]) -> list[str]:
        seen, latest, new = set(known), latest_asked(known), []
        for film in films:
            before = latest.get(key_of(film))
            if film in seen or (before and replace(film, at=before.at) == before):
                continue
            seen.add(film)
            latest |= latest_asked([film, before] if before else [film])
            new.append(to_json(film))
        return new

    return append_lines(path, from_json, pick)


def latest_asked(asked: Iterable[Asked]) -> dict[Key, Asked]:
    """Return what counts of each round and film: the line with the latest `at`, in any order."""
    oldest_first = sorted(asked, key=lambda film: (datetime.fromisoformat(film.at), to_json(film)))
    return dict(sorted({key_of(film): film for film in oldest_first}.items()))


def key_of(film: Asked) -> Key:
    """Return the round and image_id of what was asked."""
    return film.round, film.image_id


def to_json(asked: Asked) -> str:
    """Return what was asked as one line of JSON, without the newline."""
    plain = {name: getattr(asked, name) for name in _Line.model_fields}
    whole = plain | {"uncertainty": float(asked.uncertainty), "seen": plain_seen(asked.seen)}
    return json.dumps(whole, ensure_ascii=False)


def from_json(line: str) -> Asked:
    """Read and check one line.

    Raises:
        AnnotationError: if it is no JSON, lacks a field, has one too many, or a value is wrong.
    """
    checked = parse(_Line, line)
    fields = {name: getattr(checked, name) for name in _Line.model_fields}
    return Asked(**(fields | {"seen": seen_boxes(checked.seen)}))


def _checked(film: Asked) -> Asked:
    # What is appended must be readable, and compare equal to what is read.
    try:
        return from_json(to_json(film))
    except AnnotationError as error:
        raise AnnotationError(
            f"film {film.image_id}, asked in round {film.round}: {error}"
        ) from None
