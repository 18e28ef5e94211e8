"""The films of a campaign, and what is known of them without reading them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lungal.data.digests import hash_json
from lungal.data.splits import check_leaks
from lungal.errors import ParamsError
from lungal.records import Truth


@dataclass(frozen=True, slots=True)
class Films:
    """Who is dealt where. Nobody's truth is here but for a hash, so that nobody chooses by it."""

    train: tuple[str, ...]  # image_ids, sorted: labelled from the start, or waiting in the pool
    val: tuple[str, ...]  # whose labels everybody has, to choose checkpoints and to calibrate
    test: tuple[str, ...]  # by which detectors are judged; of other patients, never in the pool
    patients: Mapping[str, str]  # image_id to patient_id
    reports: Mapping[str, frozenset[str]]  # image_id to what its report names, if it has one
    sizes: Mapping[str, tuple[int, int]]  # image_id to width and height, pixels
    stored: str  # a hash of the files, for what is kept beside them
    content: str  # a hash of films and truth that is the same on every machine


def gather_films(
    manifest: pd.DataFrame, splits: pd.DataFrame, truth: Truth, drawn_from: str | None = None
) -> Films:
    """Return the films whose truth is known.

    Args:
        manifest: the rows of data/manifest.parquet.
        splits: the rows of data/splits.parquet.
        truth: what a reader would say. It is looked at only for whether a film has one, and
            for `content`.
        drawn_from: of phantoms, what they were drawn from; see `lungal.data.manifest.read_origin`.

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
        stored=hash_json(sorted(zip(names, rows["sha256"], strict=True))),
        content=hash_content(rows, truth, drawn_from),
    )


def hash_content(rows: pd.DataFrame, truth: Truth, drawn_from: str | None) -> str:
    """Return a hash of films and of their truth that is the same on every machine.

    Real films go by their files and boxes. Phantoms go by what they were drawn from and by their
    findings, as kinds of processor round pixels, and at times boxes, otherwise.

    Args:
        rows: `image_id` and `sha256` of the films.
        truth: image_id to boxes, of these films at least.
        drawn_from: None for real films.
    """
    if drawn_from is not None:
        names = sorted(rows["image_id"])
        return hash_json([drawn_from, [[at, [box.label for box in truth[at]]] for at in names]])
    files = sorted(zip(rows["image_id"], rows["sha256"], strict=True))
    boxes = {name: [[box.label, *box.xyxy] for box in truth[name]] for name, _ in files}
    return hash_json([files, boxes])
