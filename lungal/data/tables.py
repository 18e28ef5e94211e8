"""Parquet tables of which equal rows are equal bytes, so that DVC's early cutoff works."""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lungal.data.files import require, whole_file
from lungal.errors import StageOrderError


def write_table(path: Path, frame: pd.DataFrame, schema: pa.Schema) -> None:
    """Write the schema's columns of a frame, sorted by the schema's first column.

    The same rows in any order give the same bytes: no index, no pandas metadata, no time.

    Args:
        path: written whole or not at all.
        frame: has at least the schema's columns; NaN and None become null.
        schema: names, types and order of the columns.

    Raises:
        KeyError: if the frame lacks a column.
        pyarrow.ArrowInvalid: if a value does not fit its column's type.
    """
    ordered = frame.sort_values(schema.names[0], kind="stable")
    table = pa.Table.from_pandas(ordered, schema=schema, preserve_index=False)
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(None), temporary, compression="zstd")


def read_table(path: Path, made_by: str) -> pd.DataFrame:
    """Read a table that a stage has written.

    Lists come back as numpy arrays or None, missing text as NaN, and an integer column with
    nulls as float: what pandas makes of Arrow.

    Raises:
        StageOrderError: if the file is missing or damaged, naming the stage that makes it.
    """
    try:
        table = pq.read_table(require(path, made_by), partitioning=None)
    except pa.ArrowInvalid:
        raise StageOrderError(
            f"{path} is damaged; the stage `{made_by}` makes it: dvc repro -f {made_by}"
        ) from None
    frame: pd.DataFrame = table.to_pandas()
    return frame


def as_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, the same bytes on any system."""
    return table.to_csv(index=False, lineterminator="\n").encode()
