"""The annotation log, data/annotations.jsonl: every reading ever pulled, one JSON line each.

The log only grows. Order means nothing and a `source_id` is a reading's identity, so that pulling
twice, shuffling lines, or merging two branches' logs line by line (git's `merge=union`) changes
nothing about what the log says.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from lungal.data.annotation_json import from_json as from_json
from lungal.data.annotation_json import to_json as to_json
from lungal.data.files import whole_file
from lungal.errors import AnnotationError
from lungal.records import Annotation


def read_log(path: Path) -> list[Annotation]:
    """Read all lines, repeats included; a missing file is an empty log.

    Raises:
        AnnotationError: naming path:line, for a line that cannot be trusted.
    """
    try:
        return _parse(path.read_bytes(), path)
    except FileNotFoundError:
        return []


def append_log(path: Path, annotations: Iterable[Annotation]) -> int:
    """Add the readings that the log does not have yet, all of them or none.

    The new log replaces the old one in a single rename, after reaching the disk: a process killed
    at any point leaves the one or the other, and never a torn line. A lock keeps two appends from
    losing each other's readings; readers need none.

    Returns:
        How many readings were new.

    Raises:
        AnnotationError: if the log or a new reading cannot be trusted, or a known source_id comes
            back with another content.
    """
    readings = list(annotations)
    with _locked(path):
        old = path.read_bytes()
        known = _by_source(_parse(old, path))
        together = _by_source([*known.values(), *map(_checked, readings)])
        new = [reading for source, reading in together.items() if source not in known]
        if new:
            _replace(path, old, new)
        return len(new)


def fold(log: Iterable[Annotation]) -> dict[str, Annotation]:
    """Return the reading that counts for each film: the latest, by (at, source_id).

    The same readings in any order, repeated or not, fold to the same result.

    Returns:
        image_id to its latest reading, sorted by image_id.

    Raises:
        AnnotationError: naming a source_id that stands for two different readings.
    """
    oldest_first = sorted(_by_source(log).values(), key=_age)
    latest = {reading.image_id: reading for reading in oldest_first}
    return dict(sorted(latest.items()))


def current_round(log: Iterable[Annotation]) -> int:
    """Return the round that is being worked on: one more than the last that was read."""
    return 1 + max((reading.round for reading in log), default=0)


def _parse(content: bytes, path: Path) -> list[Annotation]:
    log = []
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            log.append(from_json(line.decode("utf-8")))
        except (AnnotationError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{path}:{number}: {error}") from None
    return log


def _by_source(log: Iterable[Annotation]) -> dict[str, Annotation]:
    readings: dict[str, Annotation] = {}
    for reading in log:
        if readings.setdefault(reading.source_id, reading) != reading:
            raise AnnotationError(
                f"source_id {reading.source_id!r} stands for two different readings of"
                f" {readings[reading.source_id].image_id} and {reading.image_id};"
                " an edited reading needs a source_id of its own"
            )
    return readings


def _checked(reading: Annotation) -> Annotation:
    # What is appended must be readable, and compare equal to what is read.
    try:
        return from_json(to_json(reading))
    except AnnotationError as error:
        raise AnnotationError(f"reading {reading.source_id!r}: {error}") from None


def _age(reading: Annotation) -> tuple[datetime, str]:
    return datetime.fromisoformat(reading.at), reading.source_id


def _replace(path: Path, old: bytes, new: Iterable[Annotation]) -> None:
    separator = b"" if not old or old.endswith(b"\n") else b"\n"
    lines = "".join(to_json(reading) + "\n" for reading in new)
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(old + separator + lines.encode("utf-8"))
        file.flush()
        os.fsync(file.fileno())
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    # The rename is on the disk when the folder is.
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # Whoever held the lock before us has put another file in this one's place.
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield
                return
