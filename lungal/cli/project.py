"""The project that a command works on, and where a command says what it did."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rich.console import Console

from lungal.params import Params, load_params
from lungal.paths import Paths, load_paths

ROOT = Path()
"""Of the project that a command is run in: the working directory."""


@dataclass(frozen=True)
class Project:
    """A project's folder; what it says of itself is read when it is first asked for."""

    root: Path = ROOT

    @cached_property
    def paths(self) -> Paths:
        """The paths of its dvc.yaml, relative to the root.

        Raises:
            ParamsError: if the folder is no project.
        """
        return load_paths(self.root / "dvc.yaml")

    @cached_property
    def params(self) -> Params:
        """What its params.yaml says.

        Raises:
            ParamsError: if the file is missing, or lungal does not understand it.
        """
        return load_params(self.root / "params.yaml")


def plain_console() -> Console:
    """Return the console of stderr: lines as they are, neither wrapped nor highlighted."""
    return Console(stderr=True, highlight=False, soft_wrap=True)
