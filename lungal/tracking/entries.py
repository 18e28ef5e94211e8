"""Entries: what a run says, as values that can wait on disk until a server listens."""

import json
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
