"""What was chosen in campaigns, as a table."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict

import pandas as pd

from lungal.records import CLASSES
from lungal.simulation.results import Pick


def pick_table(picks: Iterable[Pick]) -> pd.DataFrame:
    """Return a row per chosen film: its receipt, and how many boxes of each class it held."""
    rows = [
        {name: value for name, value in asdict(pick).items() if name not in ("boxes", "components")}
        | {"components": _spell(pick)}
        | dict(zip(CLASSES, pick.boxes, strict=True))
        for pick in picks
    ]
    columns = [
        "arm",
        "seed",
        "round",
        "rank",
        "image_id",
        "score",
        "reason",
        "components",
        *CLASSES,
    ]
    return pd.DataFrame(rows, columns=columns)


def _spell(pick: Pick) -> str:
    said = {
        name: round(value, 6) if isinstance(value, float) else value
        for name, value in pick.components.items()
        if not (isinstance(value, float) and not math.isfinite(value))  # far from nothing
    }
    return json.dumps(said, sort_keys=True)
