"""The films of a campaign, and what is known of them without reading them."""

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

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


def gather_films(manifest: pd.DataFrame, splits: pd.DataFrame, truth: Truth) -> Films:
    """Return the films whose truth is known.

    Args:
        manifest: the rows of data/manifest.parquet.
        splits: the rows of data/splits.parquet.
        truth: what a reader would say. It is looked at only for whether a film has one.

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
    )
