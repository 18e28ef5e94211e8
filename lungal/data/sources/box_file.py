"""NIH's BBox_List_2017.csv: the boxes that radiologists drew, row by row.

Its header reads `Image Index,Finding Label,Bbox [x,y,w,h],,,` and so splits into nine fields where
rows have six: columns are taken by position, never by name.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungal.boxes import clip, from_xywh, why_impossible
from lungal.data.sources.csv_file import read_rows
from lungal.data.sources.survey import Quarantined
from lungal.errors import BoxError, SourceError
from lungal.records import CLASSES, LabelledBox

SIDE = 1024
"""Width and height in pixels of every film that NIH released."""

IMAGE_ID = re.compile(r"\d{8}_\d{3}")
ALIASES = {"Infiltration": "Infiltrate"}
"""Data_Entry's names of findings that the box file calls otherwise."""


@dataclass(frozen=True, slots=True)
class BoxFile:
    """What the box file says."""

    boxes: Mapping[str, tuple[LabelledBox, ...]]  # of each named film that can be trusted
    unsure: frozenset[str]  # films with a bad row: what else is on them is not known
    rows: int
    quarantine: tuple[Quarantined, ...]

    @property
    def films(self) -> frozenset[str]:
        """Every film that the file names, trusted or not."""
        return self.unsure.union(self.boxes)


def read_box_file(path: Path) -> BoxFile:
    """Read the box file; a bad row is left out with its line number and makes its film unsure.

    A row that repeats another is left out too, but leaves no doubt about its film.

    Raises:
        SourceError: if the file cannot be read, or begins with a box.
    """
    boxes: dict[str, list[LabelledBox]] = defaultdict(list)
    unsure: set[str] = set()
    quarantine: list[Quarantined] = []
    rows = 0
    (first, header), *boxed = read_rows(path)
    if IMAGE_ID.fullmatch(Path(header[0].strip()).stem):
        raise SourceError(
            f"{path}, line {first}: {header[0].strip()} is a film's name, not a header such as "
            "Image Index,Finding Label,x,y,width,height"
        )
    for line, row in boxed:
        rows += 1
        image_id = Path(row[0].strip()).stem
        try:
            box = _parse(row)
        except BoxError as error:
            quarantine.append(Quarantined("box", row[0], str(error), line))
            if IMAGE_ID.fullmatch(image_id):
                unsure.add(image_id)
            continue
        if box in boxes[image_id]:
            quarantine.append(Quarantined("box", row[0], "repeats an earlier row", line))
        else:
            boxes[image_id].append(box)
    trusted = {name: tuple(found) for name, found in boxes.items() if name not in unsure}
    return BoxFile(trusted, frozenset(unsure), rows, tuple(quarantine))


def _parse(row: Sequence[str]) -> LabelledBox:
    fields = [field.strip() for field in row]
    if len(fields) < 6 or any(fields[6:]):
        raise BoxError(f"has {len(fields)} fields; known: image, finding, x, y, width, height")
    if not IMAGE_ID.fullmatch(Path(fields[0]).stem):
        raise BoxError(f"{fields[0]!r} is no film name; known: like 00000013_005.png")
    label = ALIASES.get(fields[1], fields[1])
    if label not in CLASSES:
        raise BoxError(f"unknown finding {fields[1]!r}; known: {', '.join(CLASSES)}")
    xyxy = from_xywh([[_number(field) for field in fields[2:6]]])
    if reason := why_impossible(xyxy[0], SIDE, SIDE):
        raise BoxError(f"the box {', '.join(fields[2:6])} {reason}")
    x1, y1, x2, y2 = (float(v) for v in clip(xyxy, SIDE, SIDE)[0])
    return LabelledBox(label, x1, y1, x2, y2)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BoxError(f"{text!r} is not a number") from None
