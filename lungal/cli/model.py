"""Which model a command means: a folder, an alias of the registry, or a registered version."""

import os
from pathlib import Path

from lungal.cli.project import ROOT
from lungal.errors import DetectorError

MOST_NAMED = 10


def find_model(model: str, folder: Path) -> Path:
    """Return the exported detector that a name stands for.

    Args:
        model: a model folder; `champion` or `candidate`; a version as in run.json (r1-1a2b3c4d),
            or its number in the registry.
        folder: where a registered model is copied to.

    Raises:
        DetectorError: if nobody has that alias, or it is neither a folder nor registered.
        ServerError: if MLflow does not answer, or no longer has the model's files.
    """
    if os.sep in model or Path(model).is_dir():
        return Path(model)
    from lungal.tracking import MlflowRegistry, tracking_uri
    from lungal.tracking.models import CANDIDATE, CHAMPION

    registry = MlflowRegistry(tracking_uri(ROOT, os.environ))
    if model in (CHAMPION, CANDIDATE):
        version = registry.version(model)
        if version is None:
            makes = "`lungal promote` makes one" if model == CHAMPION else "`dvc repro` trains one"
            raise DetectorError(
                f"there is no {model} in the registry; {makes}; "
                "or name a model folder, such as models/detector"
            )
        return registry.detector(version, folder)
    versions = registry.versions()
    for version in versions:
        if model in (version.name, version.number):
            return registry.detector(version, folder)
    names = [CHAMPION, CANDIDATE, *(version.name for version in versions[:MOST_NAMED])]
    raise DetectorError(
        f"{model} is no model folder and no registered model; known: {', '.join(names)}"
    )
