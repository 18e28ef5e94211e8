"""Two readers of the same real films: NIH's boxes against ChestX-Det's.

    uv run python -m benchmarks.second_reader --root NIH_FOLDER --second chestx_det.json

ChestX-Det (Lian et al. 2021, "A structure-aware relation network for thoracic diseases detection
and segmentation") drew other radiologists' boxes on films of ChestX-ray14. Six findings are named
alike. It has neither Infiltrate nor Pneumonia, and calls what looks like them Consolidation; its
other findings have no counterpart here, and are counted and left out. NIH boxed one or two findings
a film, not all that are there, so that most of what the other readers add is no disagreement. NIH's
weak labels, mined from the reports of the same films, are held against the second's boxes too.
"""

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any

from rich.console import Console
from rich.table import Table

from lungal.data.sources.nih import Labels, read_labels
from lungal.params import ReadingParams
from lungal.reading.agreement import film_agreement, findings_alpha
from lungal.reading.comparison import compare
from lungal.records import CLASSES, Annotation, LabelledBox

ALIKE = {name: name for name in CLASSES if name not in ("Infiltrate", "Pneumonia")}
OPACITY = dict.fromkeys(("Infiltrate", "Pneumonia", "Consolidation"), "Infiltrate")
GROUPS: dict[str, dict[str, str]] = {
    "the eight findings": {name: name for name in CLASSES},
    "the six that both name": ALIKE,
    "the six, and opacities as one": ALIKE | OPACITY,
}
"""What is compared, and under which name."""

Films = dict[str, list[LabelledBox]]


def read_second(path: Path) -> Films:
    """Return the boxes of each film, under the names of the file."""
    rows: Any = json.loads(path.read_text(encoding="utf-8"))
    return {
        Path(row["image_index"]).stem: [
            LabelledBox(name, *map(float, box))
            for name, box in zip(row["findings"], row["boxes_xyxy"], strict=True)
        ]
        for row in rows
    }


def named(films: Films, names: Mapping[str, str]) -> Films:
    """Return the boxes whose finding is compared, renamed."""
    return {
        film: [replace(box, label=names[box.label]) for box in boxes if box.label in names]
        for film, boxes in films.items()
    }


def weak(labels: Labels, films: Films) -> Films:
    """Return NIH's labels of whole films as boxes without a place."""
    return {
        film: [LabelledBox(name, 0, 0, 1, 1) for name in labels.entries[film].findings or ()]
        for film in films
    }


def alpha(one: Films, other: Films, classes: Sequence[str]) -> str:
    """Return Krippendorff's alpha of which of the classes are on which film."""
    readings = [[_reading("one", one[film]), _reading("other", other[film])] for film in one]
    found = findings_alpha(readings, classes)
    return "-" if found is None else f"{found:.2f}"


def _reading(reader: str, boxes: Sequence[LabelledBox]) -> Annotation:
    verdict = "finding" if boxes else "no_finding"
    return Annotation(reader, "", 1, reader, verdict, tuple(boxes), "2017-01-01T00:00:00Z")


def row(one: Films, other: Films, classes: Sequence[str], iou: float) -> list[str]:
    """Return boxes of both, shared ones, their mean IoU, mean film agreement and alpha."""
    names = {name: name for name in classes}
    ours, theirs = named(one, names), named(other, names)
    films = [film for film in ours if ours[film] or theirs[film]]
    found = [compare(ours[film], theirs[film], iou) for film in films]
    overlaps = [overlap for film in found for overlap in film.overlaps]
    agreement = [film_agreement([ours[film], theirs[film]], iou) for film in films]
    return [
        str(sum(map(len, ours.values()))),
        str(sum(map(len, theirs.values()))),
        str(len(overlaps)),
        f"{mean(overlaps):.2f}" if overlaps else "-",
        str(len(films)),
        f"{mean(agreement):.2f}" if agreement else "-",
        alpha(ours, theirs, classes),
    ]


def table(nih: Films, second: Films, of_films: Films, iou: float) -> Table:
    """Return a row for each group of findings and for each finding of the widest group."""
    made = Table(title=f"{len(nih)} films, boxes are the same from IoU {iou:g}")
    made.add_column("findings")
    for column in ("NIH", "second", "shared", "IoU", "films", "agreement", "alpha", "weak alpha"):
        made.add_column(column, justify="right")
    for group, names in GROUPS.items():
        ours, theirs, labels = (named(films, names) for films in (nih, second, of_films))
        classes = sorted(set(names.values()))
        made.add_row(group, *row(ours, theirs, classes, iou), alpha(labels, theirs, classes))
    made.add_section()
    for name in classes:
        title = "opacities as one" if name == "Infiltrate" else name
        made.add_row(title, *row(ours, theirs, [name], iou), alpha(labels, theirs, [name]))
    return made


def main() -> None:
    """Compare the two, and say what could not be compared."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, required=True, help="a folder with NIH's layout")
    parser.add_argument("--second", type=Path, required=True, help="chestx_det.json")
    parser.add_argument("--iou", type=float, default=ReadingParams().iou)
    args = parser.parse_args()
    labels, second = read_labels(args.root), read_second(args.second)
    nih = {film: list(labels.boxes.boxes.get(film, ())) for film in second}
    console = Console(width=120)
    console.print(table(nih, second, weak(labels, second), args.iou))
    console.print("agreement: mean over the films on which either drew such a box;")
    console.print(
        "alpha: NIH's boxes and the second's, weak alpha: NIH's weak labels and the second's"
    )
    left = Counter(
        box.label for boxes in second.values() for box in boxes if box.label not in ALIKE
    )
    listed = ", ".join(f"{count} {name}" for name, count in left.most_common())
    console.print(f"the second's boxes that are none of the eight findings: {listed}")


if __name__ == "__main__":
    main()
