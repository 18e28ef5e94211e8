"""Rows of data/selection.csv, checked before anything is queued from them."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from lungal.data.files import require
from lungal.errors import SelectionError
from lungal.records import Role

COLUMNS = ("rank", "image_id", "score", "reason", "round", "model_version")
ROLES: tuple[Role, ...] = tuple(role for role in get_args(Role) if role != "import")
FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


@dataclass(frozen=True, slots=True)
class Selected:
    """One film that is to be read."""

    round: int
    image_id: str
    rank: int  # 1 is read first
    uncertainty: float
    reason: str
    chosen_by: str  # strategy and selector
    model_version: str
    role: Role
    blind: bool
    readers: int


def read_selection(path: Path) -> pd.DataFrame:
    """Read data/selection.csv.

    Raises:
        StageOrderError: if the stage `select` has not run.
    """
    names = ("image_id", "patient_id", "reason", "strategy", "model_version", "role", "blind")
    return pd.read_csv(
        require(path, "select"), dtype=dict.fromkeys(names, str), keep_default_na=False
    )


def check_selection(selection: pd.DataFrame) -> list[Selected]:
    """Return the rows by rank. Without role, blind or readers a film is read once, for its label.

    Raises:
        SelectionError: saying what is wrong with which film.
    """
    if missing := [name for name in COLUMNS if name not in selection.columns]:
        raise SelectionError(f"the selection lacks the columns {', '.join(missing)}")
    if repeated := selection.loc[selection["image_id"].duplicated(), "image_id"].tolist():
        raise SelectionError(f"film {repeated[0]} is selected twice")
    if len(rounds := sorted(set(selection["round"]))) > 1:
        raise SelectionError(f"the selection mixes the rounds {rounds}")
    return [_selected(row) for row in selection.sort_values("rank").to_dict("records")]


def _selected(row: Mapping[Hashable, Any]) -> Selected:
    image_id, uncertainty = str(row["image_id"]), float(row["score"])
    if not isfinite(uncertainty):
        raise SelectionError(f"film {image_id} has the score {uncertainty}")
    role = str(row.get("role") or "label")
    if role not in ROLES:
        raise SelectionError(f"film {image_id} has the role {role!r}; known: {', '.join(ROLES)}")
    return Selected(
        round=int(row["round"]),
        image_id=image_id,
        rank=int(row["rank"]),
        uncertainty=uncertainty,
        reason=str(row["reason"]),
        chosen_by=_chosen_by(row),
        model_version=str(row["model_version"]),
        role=ROLES[ROLES.index(role)],
        blind=_flag(image_id, row.get("blind", False)),
        readers=_readers(image_id, row.get("readers", 1)),
    )


def _chosen_by(row: Mapping[Hashable, Any]) -> str:
    names = [str(row[name]) for name in ("strategy", "selector") if row.get(name)]
    return " and ".join(names) or str(row["reason"])


def _flag(image_id: str, said: object) -> bool:
    # pandas makes a bool of the column, or a number, or leaves the text.
    try:
        return FLAGS[str(said).strip().lower().removesuffix(".0")]
    except KeyError:
        raise SelectionError(
            f"film {image_id} is said to be blind: {said!r}; known: True, False"
        ) from None


def _readers(image_id: str, said: Any) -> int:
    try:
        number = float(said)
    except (TypeError, ValueError):
        number = 0.0
    if number < 1 or not number.is_integer():
        raise SelectionError(f"film {image_id} is to have {said!r} readers; 1 is the least")
    return int(number)
