"""What was chosen in campaigns, as a table."""

from collections.abc import Iterable
from dataclasses import asdict

import pandas as pd

from lungal.acquisition.pool import spell_components
from lungal.records import CLASSES
from lungal.simulation.results import Pick


def pick_table(picks: Iterable[Pick]) -> pd.DataFrame:
    """Return a row per chosen film: its receipt, and how many boxes of each class it held."""
    rows = [
        {name: value for name, value in asdict(pick).items() if name not in ("boxes", "components")}
        | {"components": spell_components(pick.components)}
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
