"""Where the stages keep what they make: `vars.path` of dvc.yaml, as typed values."""

from dataclasses import dataclass, fields
from pathlib import Path

import yaml

from lungal.errors import ParamsError


@dataclass(frozen=True, slots=True)
class Paths:
    """The paths of dvc.yaml, relative to the project's root. Folders and files as named there."""

    images: Path
    manifest: Path
    truth: Path
    quarantine: Path
    splits: Path
    annotations: Path
    queue: Path
    labels: Path
    records: Path
    best: Path
    trials: Path
    model: Path
    detections: Path
    views: Path
    committee: Path
    selection: Path
    metrics: Path
    plots: Path
    calibration: Path
    readers: Path
    readers_plots: Path
    simulation: Path
    simulation_report: Path


def load_paths(path: Path) -> Paths:
    """Read the paths from a dvc.yaml, the one place that spells them.

    Raises:
        ParamsError: if the file is missing, is not YAML, or its `vars.path` lacks a name of
            `Paths` or holds one that `Paths` does not know.
    """
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        raise ParamsError(f"{path} is missing; run from the root of a lungal project") from None
    except yaml.YAMLError as error:
        raise ParamsError(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    spelled: dict[str, str] = {}
    for variables in document.get("vars", []):
        if isinstance(variables, dict):
            spelled |= variables.get("path", {})
    known = [field.name for field in fields(Paths)]
    if odd := sorted(set(spelled) ^ set(known)):
        raise ParamsError(f"{path}: vars.path and lungal disagree on {', '.join(odd)}")
    return Paths(**{name: Path(where) for name, where in spelled.items()})
