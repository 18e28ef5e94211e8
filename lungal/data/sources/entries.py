"""NIH's Data_Entry CSV, 2017 or v2020, and the official lists of films."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lungal.data.sources.box_file import ALIASES
from lungal.data.sources.csv_file import TEST, TRAIN_VAL, find_csv, read_rows, read_text
from lungal.data.sources.survey import OfficialSplit, patient_of
from lungal.errors import LeakError, SourceError

OLDEST = 120
"""Years. NIH's first release holds ages up to 414, which are typing errors."""

NO_FINDING = "No Finding"


@dataclass(frozen=True, slots=True)
class Entry:
    """One film in Data_Entry."""

    findings: tuple[str, ...] | None  # () is No Finding, None is not known
    view: str | None
    sex: str | None
    age: int | None  # years
    contradicted: bool = False  # by another row for the film; what they disagree on is not known


UNLISTED = Entry(None, None, None, None)
"""A film that Data_Entry does not name."""


def read_entries(path: Path) -> dict[str, Entry]:
    """Return the entries by image_id.

    Both releases are read: ages as `058Y`, `011M` or `57`, rows with or without a last comma. Of
    several rows for a film that counts on which they agree.

    Raises:
        SourceError: if the file cannot be read or lacks the columns of names and findings.
    """
    (_, header), *rows = read_rows(path)
    column = {name.strip(): index for index, name in enumerate(header)}
    for needed in ("Image Index", "Finding Labels"):
        if needed not in column:
            raise SourceError(f"{path} has no column {needed!r}; it has: {', '.join(column)}")

    def field(row: Sequence[str], name: str) -> str:
        index = column.get(name, len(row))
        return row[index].strip() if index < len(row) else ""

    entries: dict[str, Entry] = {}
    for _, row in rows:
        image_id = Path(field(row, "Image Index")).stem
        entry = Entry(
            findings=parse_findings(field(row, "Finding Labels")),
            view=field(row, "View Position") or None,
            sex=field(row, "Patient Gender") or None,
            age=parse_age(field(row, "Patient Age")),
        )
        earlier = entries.get(image_id, entry)
        entries[image_id] = entry if earlier == entry else _agreed(earlier, entry)
    return entries


def _agreed(one: Entry, other: Entry) -> Entry:
    return Entry(
        findings=one.findings if one.findings == other.findings else None,
        view=one.view if one.view == other.view else None,
        sex=one.sex if one.sex == other.sex else None,
        age=one.age if one.age == other.age else None,
        contradicted=True,
    )


def parse_findings(text: str) -> tuple[str, ...] | None:
    """Return canonical names of `Mass|Infiltration`; () for No Finding; None if unclear."""
    stripped = (name.strip() for name in text.split("|"))
    names = tuple(ALIASES.get(name, name) for name in stripped if name)
    if names == (NO_FINDING,):
        return ()
    return None if not names or NO_FINDING in names else names


def parse_age(text: str) -> int | None:
    """Return whole years of `57`, `058Y`, `011M` or `008D`; None if there is no such age."""
    digits, unit = (text[:-1], text[-1]) if text[-1:] in ("Y", "M", "D") else (text, "Y")
    if not digits.isdecimal():
        return None
    years = int(digits) // {"Y": 1, "M": 12, "D": 365}[unit]
    return years if years <= OLDEST else None


def read_lists(root: Path) -> dict[str, OfficialSplit]:
    """Return which of NIH's lists each film is on; a folder without lists gives none.

    Raises:
        LeakError: naming the patient who is on both.
        SourceError: if a list cannot be read, or there are several of one.
    """
    train_val, test = (_read_list(root, patterns) for patterns in (TRAIN_VAL, TEST))
    both = {patient_of(film) for film in train_val} & {patient_of(film) for film in test}
    if both:
        more = f" (and {len(both) - 1} more)" if len(both) > 1 else ""
        raise LeakError(
            f"patient {min(both)} is in both the train_val and the test list of {root}{more}"
        )
    lists: dict[str, OfficialSplit] = dict.fromkeys(train_val, "train_val")
    lists.update(dict.fromkeys(test, "test"))
    return lists


def read_names(path: Path) -> list[str]:
    """Return the image_ids of a file with one image name a line."""
    return [Path(line).stem for line in read_text(path).split()]


def _read_list(root: Path, patterns: Sequence[str]) -> list[str]:
    path = find_csv(root, patterns)
    return [] if path is None else read_names(path)
