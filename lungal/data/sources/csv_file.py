"""CSV and list files of a source folder, with errors that name the file."""

import csv
from collections.abc import Sequence
from pathlib import Path

from lungal.errors import SourceError

BOXES = ("BBox_List_2017*.csv",)
ENTRIES = ("Data_Entry_2017_v2020*.csv", "Data_Entry_2017*.csv")
"""NIH's second release, and the first."""
TRAIN_VAL = ("train_val_list*.txt",)
TEST = ("test_list*.txt",)


def find_csv(root: Path, patterns: Sequence[str]) -> Path | None:
    """Return the file in root for the first pattern that has a match, or None.

    Raises:
        SourceError: naming the files, if several match that pattern: nobody knows which counts.
    """
    for pattern in patterns:
        found = sorted(root.glob(pattern))
        if len(found) > 1:
            raise SourceError(
                f"{root} has {len(found)} files {pattern}, and must have one: "
                f"{', '.join(path.name for path in found)}"
            )
        if found:
            return found[0]
    return None


def require_csv(root: Path, patterns: Sequence[str]) -> Path:
    """Return the file of root that matches, as find_csv.

    Raises:
        SourceError: saying what was looked for and where, or naming the files if several match.
    """
    path = find_csv(root, patterns)
    if path is None:
        raise SourceError(f"no {patterns[-1]} in {root}")
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
