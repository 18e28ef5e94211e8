"""The detector as an MLflow model, and its versions in the registry."""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungal.data.images import Pixels, encode_png
from lungal.params import DetectParams

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.models import ModelSignature

REGISTERED_MODEL = "lungal-detector"
MODEL_VERSION = "lungal.model_version"
CANDIDATE, CHAMPION = "candidate", "champion"

NEEDED = (
    "mlflow",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pyarrow",
    "pydantic",
    "pyyaml",
    "simplejpeg",
    "tensorflow",
    "tf-keras",
)
"""What a server of the model must install; lungal's own code travels with the model."""


def save_pyfunc(
    detector: Path, out: Path, *, loader: str, detect: DetectParams, example: Pixels
) -> None:
    """Wrap an exported detector as a self-contained MLflow model.

    Args:
        detector: the exported folder, e.g. models/detector.
        out: the new folder; everything that serving needs is copied into it.
        loader: `package.module:callable`; of the folder and `detect` it makes a Detector.
        detect: how the served model looks at films.
        example: (H, W) uint8, a film to show what an input looks like.
    """
    import mlflow
    import pandas as pd

    # A registered model answers about one film; views are for a pool.
    look = detect.model_dump(mode="json", exclude={"views"})
    package = Path(__file__).resolve().parents[1]
    mlflow.pyfunc.save_model(
        path=str(out),
        python_model=str(package / "tracking" / "pyfunc.py"),
        artifacts={"detector": str(detector)},
        model_config={"loader": loader, "detect": look},
        signature=_signature(),
        input_example=pd.DataFrame({"image": [encode_png(example)]}),
        pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
        code_paths=[str(package)],
    )


def _signature() -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    numbers = [ColSpec("double", name) for name in ("score", "x1", "y1", "x2", "y2")]
    return ModelSignature(
        inputs=Schema([ColSpec("binary", "image")]),
        outputs=Schema([ColSpec("long", "image"), ColSpec("string", "label"), *numbers]),
    )


def register(
    client: "MlflowClient", folder: Path, run_id: str, experiment_id: str, tags: Mapping[str, str]
) -> None:
    """Log a saved model to its run, register it once, and let the alias `candidate` name it.

    Args:
        client: connected.
        folder: written by `save_pyfunc`.
        run_id: of the run that made it.
        experiment_id: of that run.
        tags: of the version; MODEL_VERSION is its identity: known already, only its tags change.
    """
    if (known := find_version(client, tags[MODEL_VERSION])) is not None:
        set_version_tags(client, known, tags)
    else:
        logged = _log(client, folder, run_id, experiment_id, tags)
        if not client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            client.create_registered_model(REGISTERED_MODEL)
        # By its location: a database resolves `models:/<id>` through MLflow's global URI.
        client.create_model_version(
            REGISTERED_MODEL,
            logged.artifact_location,
            run_id,
            tags=dict(tags),
            model_id=logged.model_id,
        )
    # Also for a known version: the first sending may have been killed just before this.
    versions = client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
    newest = max(int(found.version) for found in versions)
    client.set_registered_model_alias(REGISTERED_MODEL, CANDIDATE, str(newest))


def _log(
    client: "MlflowClient", folder: Path, run_id: str, experiment_id: str, tags: Mapping[str, str]
) -> "LoggedModel":
    from mlflow.entities import LoggedModelOutput
    from mlflow.models import Model

    logged = client.create_logged_model(
        experiment_id, "detector", source_run_id=run_id, tags=dict(tags), model_type="detector"
    )
    # The model was saved before any server was asked: now it learns its own name.
    description = Model.load(str(folder))
    description.run_id = run_id
    description.model_id = description.model_uuid = logged.model_id
    description.artifact_path = logged.artifact_location
    description.save(str(folder / "MLmodel"))
    client.log_model_artifacts(logged.model_id, str(folder))
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(logged.model_id, step=0)])
    return logged


def find_version(client: "MlflowClient", model_version: str) -> "ModelVersion | None":
    """Return the registered version that carries this lungal model version, if there is one."""
    found = client.search_model_versions(
        f"name = '{REGISTERED_MODEL}' and tags.`{MODEL_VERSION}` = '{model_version}'"
    )
    return found[0] if found else None


def set_version_tags(
    client: "MlflowClient", version: "ModelVersion", tags: Mapping[str, Any]
) -> None:
    """Set or replace tags of a registered version."""
    for name, value in tags.items():
        client.set_model_version_tag(REGISTERED_MODEL, version.version, name, value)
