"""The points of a campaign as a CSV file, and back."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lungal.errors import EvaluationError
from lungal.records import CLASSES
from lungal.simulation.curves import CURRENCIES
from lungal.simulation.results import Point

DIGITS = 5
"""After the point, of every number that a campaign's tables hold."""
LEARNER = "learner"
"""The column of `points` that says whose detectors they were."""
POINT_COLUMNS = ("arm", "seed", "round", *CURRENCIES, "score", *CLASSES)


def point_table(points: Sequence[Point], learner: str) -> pd.DataFrame:
    """Return a row per point, in order of arm, seed and round, with a column per class.

    The last column is the learner: numbers of a proxy are never without its name.
    """
    rows = [
        (p.arm, p.seed, p.round, p.films, p.boxes, p.seconds, p.score, *p.classes)
        for p in sorted(points, key=lambda p: (p.arm, p.seed, p.round))
    ]
    table = pd.DataFrame(rows, columns=list(POINT_COLUMNS)).round(DIGITS)
    return table.assign(**{LEARNER: learner})


def read_points(path: Path, learner: str) -> list[Point]:
    """Read what `point_table` was written to, as CSV.

    Args:
        path: of the file.
        learner: whose detectors the points must be of.

    Raises:
        EvaluationError: if the file is missing, is no such table, or is of another learner.
    """
    try:
        table = pd.read_csv(path, dtype={"arm": str})
        if set(POINT_COLUMNS) <= set(table.columns) and LEARNER not in table.columns:
            raise EvaluationError(
                f"{path} does not say whose points they are, as those of an earlier lungal; the "
                "same `lungal simulate` writes it anew, and plays nothing again"
            )
        table = table[[*POINT_COLUMNS, LEARNER]]
        if others := sorted(set(table[LEARNER].astype(str)) - {learner}):
            raise EvaluationError(f"{path} is of the learner {others[0]!r}, not {learner!r}")
        return [
            Point(
                str(row["arm"]),
                int(row["seed"]),
                int(row["round"]),
                *(int(row["films"]), int(row["boxes"]), float(row["seconds"])),
                float(row["score"]),
                tuple(float(row[name]) for name in CLASSES),
            )
            for row in table.to_dict("records")
        ]
    except (OSError, ValueError, KeyError) as error:
        raise EvaluationError(f"{path} holds no points of a campaign ({error})") from None
