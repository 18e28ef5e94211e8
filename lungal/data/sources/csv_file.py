"""CSV and list files of a source folder, with errors that name the file."""

import csv
from pathlib import Path

from lungal.errors import SourceError


def find_csv(root: Path, pattern: str) -> Path | None:
    """Return the file of root that matches; of several the last by name, so v2020 over none."""
    return max(root.glob(pattern), default=None)


def require_csv(root: Path, pattern: str) -> Path:
    """Return the file of root that matches.

    Raises:
        SourceError: saying what was looked for and where.
    """
    path = find_csv(root, pattern)
    if path is None:
        raise SourceError(f"no {pattern} in {root}")
    return path


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        SourceError: if it cannot be read or is not text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SourceError(f"{path} cannot be read: it is not UTF-8 text") from None


def read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return (line number, fields) of the rows that are not blank; the first is the header.

    Raises:
        SourceError: if the file cannot be read, is not CSV or holds nothing.
    """
    reader = csv.reader(read_text(path).splitlines())
    try:
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise SourceError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise SourceError(f"{path} is empty")
    return rows
