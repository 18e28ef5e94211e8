"""SHA256SUMS: what a downloaded folder held when it arrived; `sha256sum -c` reads it too."""

import re
from collections.abc import Mapping
from pathlib import Path

from lungal.data.digests import sha256_of
from lungal.data.files import whole_file
from lungal.data.sources.csv_file import read_text

FILE_NAME = "SHA256SUMS"
LINE = re.compile(r"([0-9a-f]{64})  (.+)")


def read_sums(root: Path) -> dict[str, str]:
    """Return name to sum; none if there is no file. A line cut short by a kill is no line.

    Raises:
        SourceError: if the file cannot be read or is not text.
    """
    path = root / FILE_NAME
    if not path.exists():
        return {}
    lines = read_text(path).splitlines()
    matches = (LINE.fullmatch(line) for line in lines)
    return {match[2]: match[1] for match in matches if match}


def write_sums(root: Path, sums: Mapping[str, str]) -> None:
    """Write all sums, sorted by name."""
    with whole_file(root / FILE_NAME) as temporary:
        temporary.write_text("".join(_line(name, sums[name]) for name in sorted(sums)), "utf-8")


def append_sum(root: Path, name: str, digest: str) -> None:
    """Add one sum; of several for one name the last counts."""
    with (root / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write(_line(name, digest))


def find_changed(root: Path) -> list[str]:
    """Return the names whose files are missing or are not what they were, sorted."""
    return [
        name
        for name, digest in sorted(read_sums(root).items())
        if not (root / name).is_file() or sha256_of(root / name) != digest
    ]


def _line(name: str, digest: str) -> str:
    return f"{digest}  {name}\n"
