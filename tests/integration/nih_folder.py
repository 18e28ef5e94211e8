"""Builds folders with NIH's layout, for the tests of ingest."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungal.data.images import encode_png

SIDE = 1024
ENTRIES = (
    "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position"
)


def film_pixels(number: int, height: int = SIDE, width: int = SIDE) -> NDArray[np.uint8]:
    """A smooth film that no other number has; compresses in milliseconds."""
    rows = (np.arange(height)[:, None] * (number + 1)) // 8
    return ((rows + np.arange(width)[None] // 4) % 256).astype(np.uint8)


def film_id(number: int) -> str:
    return f"{number:08d}_000"


def lay_out(
    root: Path,
    films: Mapping[int, bytes | None],
    rows: Sequence[str] | None = None,
) -> Path:
    """Write films (None: a plain PNG) and labels; without rows each film has one Mass."""
    (root / "images").mkdir(parents=True)
    for number, encoded in films.items():
        path = root / "images" / f"{film_id(number)}.png"
        path.write_bytes(encode_png(film_pixels(number)) if encoded is None else encoded)
    if rows is None:
        rows = [mass(number) for number in films]
    header = "Image Index,Finding Label,Bbox [x,y,w,h],,,"
    (root / "BBox_List_2017.csv").write_text("\n".join([header, *rows]) + "\n")
    entries = [f"{film_id(number)}.png,Mass,0,{number},57,M,PA" for number in films]
    (root / "Data_Entry_2017_v2020.csv").write_text("\n".join([ENTRIES, *entries]) + "\n")
    return root


def mass(number: int) -> str:
    return f"{film_id(number)}.png,Mass,{100 + number},200,50,60"
