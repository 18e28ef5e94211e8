"""params.yaml of the projects that tests make: the repository's, but for what a test changes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

SHIPPED = Path(__file__).resolve().parents[2] / "params.yaml"


def change_params(folder: Path = Path(), **sections: Mapping[str, Any]) -> None:
    """Change values in the params.yaml of a folder, which gets the repository's if it has none.

    Args:
        folder: the project's.
        sections: new values by section, be it one of all profiles or of the chosen one.
    """
    path = folder / "params.yaml"
    document = yaml.safe_load((path if path.exists() else SHIPPED).read_text(encoding="utf-8"))
    profile = document["profiles"][document["profile"]]
    for section, values in sections.items():
        (document if section in document else profile)[section] |= values
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
