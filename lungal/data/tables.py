"""Parquet tables of which equal rows are equal bytes, so that DVC's early cutoff works."""

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lungal.data.files import stage_output, whole_file

DAMAGED = (pa.ArrowInvalid, OSError)
"""What Arrow raises for a file that is no table, and for one that is damaged inside."""


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
    frame: pd.DataFrame = read_arrow(path, made_by).to_pandas()
    return frame


def read_arrow(path: Path, made_by: str) -> pa.Table:
    """Read a table that a stage has written, as Arrow has it.

    Raises:
        StageOrderError: as read_table.
    """
    with stage_output(path, made_by, *DAMAGED):
        return pq.read_table(path, partitioning=None)


def read_facts(path: Path, made_by: str) -> dict[str, str]:
    """Read what was written about a table as a whole.

    Raises:
        StageOrderError: as read_table.
    """
    with stage_output(path, made_by, *DAMAGED):
        schema = pq.read_schema(path)
    return {name.decode(): fact.decode() for name, fact in (schema.metadata or {}).items()}


def as_csv(table: pd.DataFrame) -> bytes:
    """Return a table as CSV, the same bytes on any system."""
    return table.to_csv(index=False, lineterminator="\n").encode()
