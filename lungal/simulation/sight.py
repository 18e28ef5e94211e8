"""What a detector of a campaign sees: all that its detector is needed for, kept in a folder."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lungal.data.detections import read_detections, write_detections
from lungal.data.files import whole_folder
from lungal.data.looks import read_looks, write_looks
from lungal.records import Detections

PARTS = ("val", "test", "labelled", "pool")
MADE_BY = "simulate"
Looks = Sequence[tuple[str, Sequence[Detections]]]
"""Names, and what was seen of each film of the pool, sorted by image_id."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """Detections of films by what these are in a round, each part sorted by image_id."""

    val: Sequence[Detections]
    test: Sequence[Detections]
    labelled: Sequence[Detections]  # what the detector was trained on
    pool: Sequence[Detections]  # the rest of the training films
    views: Looks = ()  # the pool seen differently
    committee: Looks = ()  # the pool seen by others


def write_sight(folder: Path, sight: Sight) -> None:
    """Write all that was seen into a folder, whole or not at all."""
    with whole_folder(folder) as part:
        for name in PARTS:
            write_detections(part / f"{name}.parquet", getattr(sight, name))
        write_looks(part / "views", sight.views)
        write_looks(part / "committee", sight.committee)


def read_sight(folder: Path) -> Sight:
    """Read what write_sight wrote."""
    parts = {name: read_detections(folder / f"{name}.parquet", MADE_BY) for name in PARTS}
    views, committee = (list(read_looks(folder / name, MADE_BY)) for name in ("views", "committee"))
    return Sight(**parts, views=views, committee=committee)


def by_film(looks: Looks) -> Iterator[tuple[str, tuple[Detections, ...]]]:
    """Yield each film's image_id and its looks, in their order."""
    for seen in zip(*(detections for _, detections in looks), strict=True):
        yield seen[0].image_id, seen
