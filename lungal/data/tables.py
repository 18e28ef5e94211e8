"""Parquet tables of which equal rows are equal bytes, so that DVC's early cutoff works."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lungal.data.files import require, whole_file
from lungal.errors import StageOrderError


def write_table(
    path: Path, frame: pd.DataFrame, schema: pa.Schema, facts: Mapping[str, str] | None = None
) -> None:
    """Write the schema's columns of a frame, sorted by the schema's first column.

    The same rows in any order give the same bytes: no index, no pandas metadata, no time.

    Args:
        path: written whole or not at all.
        frame: has at least the schema's columns; NaN and None become null.
        schema: names, types and order of the columns.
        facts: about the table as a whole.

    Raises:
        KeyError: if the frame lacks a column.
        pyarrow.ArrowInvalid: if a value does not fit its column's type.
    """
    ordered = frame.sort_values(schema.names[0], kind="stable")
    table = pa.Table.from_pandas(ordered, schema=schema, preserve_index=False)
    with whole_file(path) as temporary:
        pq.write_table(table.replace_schema_metadata(facts), temporary, compression="zstd")


def read_table(path: Path, made_by: str) -> pd.DataFrame:
    """Read a table that a stage has written.

    Lists come back as numpy arrays or None, missing text as NaN, and an integer column with
    nulls as float: what pandas makes of Arrow.

    Raises:
        StageOrderError: if the file is missing or damaged, naming the stage that makes it.
    """
    with _known_as(path, made_by):
        table = pq.read_table(require(path, made_by), partitioning=None)
    frame: pd.DataFrame = table.to_pandas()
    return frame


def read_facts(path: Path, made_by: str) -> dict[str, str]:
    """Read what was written about a table as a whole.

    Raises:
        StageOrderError: as read_table.
    """
    with _known_as(path, made_by):
        schema = pq.read_schema(require(path, made_by))
    return {name.decode(): fact.decode() for name, fact in (schema.metadata or {}).items()}


@contextmanager
def _known_as(path: Path, made_by: str) -> Iterator[None]:
    try:
        yield
    except pa.ArrowInvalid:
        raise StageOrderError(
            f"{path} is damaged; the stage `{made_by}` makes it: dvc repro -f {made_by}"
        ) from None


def as_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, the same bytes on any system."""
    return table.to_csv(index=False, lineterminator="\n").encode()
