"""The reader report as tables: the same rows for DVC's plots and for people."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lungal.reading.automation import MEASURES, Arm, Automation
from lungal.reading.performance import Performance


def reader_table(readers: Sequence[Performance]) -> pd.DataFrame:
    """Return a row per reader, or per reader and round: what DVC plots and people read."""
    columns = [name for name in Performance.__dataclass_fields__ if name != "round"]
    rows = [[getattr(one, name) for name in columns] for one in readers]
    table = pd.DataFrame(rows, columns=columns).round(4)
    if any(one.round is not None for one in readers):
        table.insert(0, "round", [one.round for one in readers])
    return table


def automation_table(found: Automation) -> pd.DataFrame:
    """Return a row (measure, arm, films, value) per measure and arm, then the differences.

    A difference is pre-drawn minus blind; its row has low and high too.
    """
    rows: list[tuple[object, ...]] = []
    for name in MEASURES:
        for arm, of_arm in arms(found).items():
            rows.append((name, arm, of_arm.films, of_arm.means[name], None, None))
        change = found.differences[name]
        rows.append((name, "difference", None, change.value, change.low, change.high))
    columns = ["measure", "arm", "films", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns).astype({"films": "Int64"}).round(4)


def seconds_table(of_readers: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    """Return a row (reader, reading, seconds) per reading; `reading` counts from 1."""
    rows = [
        (reader, number, value)
        for reader, values in of_readers.items()
        for number, value in enumerate(values, start=1)
    ]
    return pd.DataFrame(rows, columns=["reader", "reading", "seconds"])


def arms(found: Automation) -> dict[str, Arm]:
    """Return both arms by the names that tables give them."""
    return {"blind": found.blind, "drawn": found.drawn}
