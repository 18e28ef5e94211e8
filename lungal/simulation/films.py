"""The films of a campaign, and what is known of them without reading them."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import pandas as pd

from lungal.data.digests import hash_json
from lungal.data.sources.phantom import DRAWING
from lungal.data.splits import check_leaks
from lungal.errors import ParamsError
from lungal.records import Truth


@dataclass(frozen=True, slots=True)
class Films:
    """Who is dealt where. Nobody's truth is here, so that nobody chooses by it."""

    train: tuple[str, ...]  # image_ids, sorted: labelled from the start, or waiting in the pool
    val: tuple[str, ...]  # whose labels everybody has, to choose checkpoints and to calibrate
    test: tuple[str, ...]  # by which detectors are judged; of other patients, never in the pool
    patients: Mapping[str, str]  # image_id to patient_id
    reports: Mapping[str, frozenset[str]]  # image_id to what its report names, if it has one
    sizes: Mapping[str, tuple[int, int]]  # image_id to width and height, pixels
    content: str  # a hash of all films and of their truth, see `hash_content`


def gather_films(manifest: pd.DataFrame, splits: pd.DataFrame, truth: Truth) -> Films:
    """Return the films whose truth is known.

    Args:
        manifest: the rows of data/manifest.parquet.
        splits: the rows of data/splits.parquet.
        truth: what a reader would say. It is looked at only for whether a film has one, and
            for `content`.

    Raises:
        LeakError: if a patient is in two splits.
        ParamsError: if a split has no film with a known truth.
    """
    check_leaks(splits)
    known = splits[splits["image_id"].isin(list(truth))]
    dealt = {
        split: tuple(sorted(known.loc[known["split"] == split, "image_id"]))
        for split in ("train", "val", "test")
    }
    if bare := [split for split, names in dealt.items() if not names]:
        raise ParamsError(
            f"no film of the split {bare[0]} has a known truth; a campaign needs some in each of"
            f" {', '.join(dealt)}"
        )
    rows = manifest[manifest["image_id"].isin(known["image_id"])]
    names = rows["image_id"].tolist()
    return Films(
        **dealt,
        patients=dict(zip(names, rows["patient_id"], strict=True)),
        reports={
            name: frozenset(findings)
            for name, findings in zip(names, rows["findings"], strict=True)
            if findings is not None
        },
        sizes=dict(zip(names, zip(rows["width"], rows["height"], strict=True), strict=True)),
        content=hash_content(rows, truth),
    )


def hash_content(rows: pd.DataFrame, truth: Truth) -> str:
    """Return a hash of films and of their truth that is the same on every machine.

    A film goes by its file's SHA-256 and its boxes. A phantom goes by what was drawn, as kinds of
    processor round its pixels, and may round its boxes, otherwise: by its patient, view and
    findings, and by a count of the drawing code's changes.

    Args:
        rows: of these films in data/manifest.parquet.
        truth: image_id to boxes, of these films at least.
    """
    drawn = rows["source"] == "phantom"
    told = rows.loc[drawn, ["image_id", "patient_id", "sex", "age", "view", "findings"]]
    told = told.astype(object).where(told.notna(), None)
    phantoms = [
        [DRAWING, *row, [box.label for box in truth[row[0]]]]
        for row in told.itertuples(index=False, name=None)
    ]
    stored = rows.loc[~drawn, ["image_id", "sha256"]].itertuples(index=False, name=None)
    films = [[*row, [asdict(box) for box in truth[row[0]]]] for row in stored]
    return hash_json([sorted(phantoms), sorted(films)])
