"""Entries: what a run says, as values that can wait on disk until a server listens."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Operation = Literal[
    "open",
    "params",
    "metrics",
    "tags",
    "dataset",
    "artifact",
    "table",
    "model",
    "model_tags",
    "end",
]

MAX_VALUE = 6000
"""Characters that MLflow keeps of a parameter or a tag, rounded down."""
MAX_NAME = 250
"""Characters that a metric's name may have."""
HASH_DIGITS = 8
ILLEGAL = re.compile(r"[^\w.\-: ]|^\.(?=\.|$)")
"""What a part of a metric's name must not hold (mlflow.utils.validation)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to be written to the run with key `run`; sending it twice changes nothing."""

    operation: Operation
    run: str
    time: int  # milliseconds since 1970
    data: Mapping[str, Any]
    file: str | None = None  # relative to the outbox: the copy to upload

    def to_json(self) -> str:
        """Return one line without its newline."""
        fields = {
            "operation": self.operation,
            "run": self.run,
            "time": self.time,
            "data": self.data,
            "file": self.file,
        }
        return json.dumps(fields, sort_keys=True)

    @classmethod
    def from_json(cls, line: str) -> "Entry":
        """Read a line of `to_json`.

        Raises:
            ValueError: if the line was cut short.
        """
        try:
            return cls(**json.loads(line))
        except TypeError as error:
            raise ValueError(str(error)) from None


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return {"augment": {"crop": True}} as {"augment.crop": "True"}."""
    flat: dict[str, str] = {}
    for key, value in nested.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{name}.")
        else:
            flat[name] = (value.as_posix() if isinstance(value, Path) else str(value))[:MAX_VALUE]
    return flat


def metric_name(name: str) -> str:
    """Return a name that MLflow takes for a metric's; different names stay different.

    It is read as a path. A part that is no legal one gets its illegal characters replaced by "_"
    and a hash of what it was: "readers/ann@clinic/IoU" is "readers/ann_clinic-ba0d0359/IoU".
    """
    legal = "/".join(map(_legal_part, name.split("/")))
    return legal if len(legal) <= MAX_NAME else _marked(legal[: MAX_NAME - HASH_DIGITS - 1], legal)


def _legal_part(part: str) -> str:
    kept = ILLEGAL.sub("_", part)
    return part if part and kept == part else _marked(kept, part)


def _marked(kept: str, before: str) -> str:
    return f"{kept}-{hashlib.sha256(before.encode()).hexdigest()[:HASH_DIGITS]}"
