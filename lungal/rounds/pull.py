"""Pull a round: what readers have read goes into the annotation log, each reading once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungal.annotation.protocol import AnnotationStore, OnRefused, Refused
from lungal.boxes import why_impossible
from lungal.data.annotations import append_log, read_log
from lungal.records import Annotation, Split


@dataclass(frozen=True, slots=True)
class Film:
    """What a reading is checked against."""

    width: int  # pixels
    height: int  # pixels
    split: Split


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull did."""

    new: tuple[Annotation, ...]  # now in the log
    known: int  # were in the log before
    refused: tuple[Refused, ...]  # not in the log; come again with each pull until mended


def pull(store: AnnotationStore, log: Path, films: Mapping[str, Film]) -> PullReport:
    """Bring the log up to date with the store.

    One reading that cannot be trusted stops no other. The log changes in one step, at the end: a
    pull that is killed, or whose server goes down half-way, changes nothing and can be repeated.

    Args:
        store: where the readers read.
        log: data/annotations.jsonl; made if it is missing.
        films: image_id to film, of the manifest.

    Raises:
        AnnotationError: if the log itself is damaged.
        ServerError: if the store does not answer; run it again.
    """
    refused: list[Refused] = []
    known = {reading.source_id for reading in read_log(log)}
    fetched = {r.source_id: r for r in _trusted(store, films, refused.append)}
    # A known reading is not compared with the log's: the task under it may have moved on since.
    new = tuple(reading for source, reading in sorted(fetched.items()) if source not in known)
    if new:
        append_log(log, new)
    return PullReport(new, len(fetched) - len(new), tuple(refused))


def known_films(manifest: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Film]:
    """Return the films of a manifest by image_id."""
    rows = manifest.merge(splits[["image_id", "split"]], on="image_id", validate="one_to_one")
    columns = (rows["image_id"], rows["width"], rows["height"], rows["split"])
    return {
        image_id: Film(int(width), int(height), split)
        for image_id, width, height, split in zip(*columns, strict=True)
    }


def _trusted(
    store: AnnotationStore, films: Mapping[str, Film], refuse: OnRefused
) -> Iterator[Annotation]:
    for reading in store.fetch(refuse):
        if reason := _why_wrong(reading, films):
            refuse(Refused(reading.source_id, reason))
        else:
            yield reading


def _why_wrong(reading: Annotation, films: Mapping[str, Film]) -> str | None:
    film = films.get(reading.image_id)
    if film is None:
        return f"film {reading.image_id} is not in the manifest"
    if film.split != "train":
        return f"film {reading.image_id} is held out ({film.split}); only films of train are read"
    for box in reading.boxes:
        if reason := why_impossible(box.xyxy, film.width, film.height):
            return f"a box of {box.label} on film {reading.image_id} {reason}"
    return None
