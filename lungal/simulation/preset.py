"""Campaigns that came with lungal: parameter files."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from lungal.errors import UnknownNameError


def preset_names() -> list[str]:
    """Return the names of the presets, sorted."""
    return sorted(Path(entry.name).stem for entry in _folder().iterdir())


def read_preset(name: str) -> dict[str, Any]:
    """Return a preset as the document of a whole params.yaml.

    Raises:
        UnknownNameError: if there is no such preset.
    """
    if name not in preset_names():
        raise UnknownNameError("preset", name, preset_names())
    document: dict[str, Any] = yaml.safe_load((_folder() / f"{name}.yaml").read_text("utf-8"))
    return document


def _folder() -> Any:
    return files("lungal.simulation") / "presets"
