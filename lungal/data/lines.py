"""Files of one JSON object a line, kept in git: checked at the door, appended to whole or not.

They only grow, and the order of lines means nothing, so that git may merge two branches' files
line by line (`merge=union`).
"""

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Self, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lungal.data.files import whole_file
from lungal.errors import AnnotationError, LungalError
from lungal.records import class_index

Record = TypeVar("Record")
Model = TypeVar("Model", bound="Checked")


def _be_known(label: str) -> str:
    try:
        class_index(label)
    except LungalError as error:
        raise ValueError(str(error)) from None
    return label


def _be_an_instant(at: str) -> str:
    if datetime.fromisoformat(at).tzinfo is None:
        raise ValueError(f"{at!r} lacks a time zone, such as Z")
    return at


Finding = Annotated[str, AfterValidator(_be_known)]
"""The name of one of the eight classes."""
Instant = Annotated[str, AfterValidator(_be_an_instant)]
"""ISO 8601 with a time zone."""
Text = Annotated[str, Field(min_length=1)]


class Checked(BaseModel):
    """Refuses unknown keys, text for numbers, and numbers that are not finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class CheckedBox(Checked):
    """A box that came from outside: a known finding, finite edges, an area."""

    label: Finding
    x1: float
    y1: float
    x2: float
    y2: float

    @model_validator(mode="after")
    def have_area(self) -> Self:
        """Refuse a box that is turned inside out or a line."""
        if self.x2 <= self.x1 or self.y2 <= self.y1:
            raise ValueError(f"box of {self.label} has no area")
        return self


def parse(model: type[Model], line: str) -> Model:
    """Read and check one line.

    Raises:
        AnnotationError: naming the field that is wrong, and why.
    """
    try:
        return model.model_validate_json(line)
    except ValidationError as error:
        raise AnnotationError(_explain(error)) from None


def read_lines(path: Path, read: Callable[[str], Record]) -> list[Record]:
    """Read all lines, repeats included; a missing file has none.

    Args:
        path: of the file, UTF-8.
        read: turns a line into a record, or raises AnnotationError.

    Raises:
        AnnotationError: naming path:line, for a line that cannot be trusted.
    """
    try:
        return list(_records(path.read_bytes(), path, read))
    except FileNotFoundError:
        return []


def append_lines(
    path: Path, read: Callable[[str], Record], pick: Callable[[list[Record]], Sequence[str]]
) -> int:
    """Add lines to a file, all of them or none.

    The new file replaces the old one in a single rename, after reaching the disk: a process killed
    at any point leaves the one or the other, and never a torn line. A lock keeps two appends from
    losing each other's lines; readers need none.

    Args:
        path: of the file; made if it is missing.
        read: turns a line into a record, or raises AnnotationError.
        pick: given what is there, returns the lines to add; nobody else appends meanwhile.

    Returns:
        How many lines were added.

    Raises:
        AnnotationError: naming path:line, if the file cannot be trusted; it is left as it is.
    """
    with _locked(path):
        old = path.read_bytes()
        new = pick(list(_records(old, path, read)))
        if new:
            _replace(path, old, new)
        return len(new)


def _records(content: bytes, path: Path, read: Callable[[str], Record]) -> Iterator[Record]:
    for number, line in enumerate(content.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            yield read(line.decode("utf-8"))
        except (AnnotationError, UnicodeDecodeError) as error:
            raise AnnotationError(f"{path}:{number}: {error}") from None


def _explain(error: ValidationError) -> str:
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return f"no JSON: {first['ctx']['error']}"
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def _replace(path: Path, old: bytes, new: Sequence[str]) -> None:
    separator = b"" if not old or old.endswith(b"\n") else b"\n"
    lines = "".join(line + "\n" for line in new)
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
