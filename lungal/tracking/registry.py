"""The registry of detectors as promotion sees it: aliases, versions, what they were judged on."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lungal.errors import ServerError
from lungal.tracking.connection import connect, without_secrets
from lungal.tracking.models import MODEL_VERSION, REGISTERED_MODEL
from lungal.tracking.outbox import Away

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion as Registered

TEST_HASH = "lungal.test_hash"
"""Tag of a version: the hash of the test set it was judged on."""
TEST_SCORE = "lungal.test."
"""What the tags of a version begin with that hold its macro APs on that test set."""


def detections_folder(model_version: str) -> str:
    """Return the artifact folder of what a model saw on the test films.

    A run may have several models: of the same films and parameters, by other code.
    """
    return f"detections/{model_version}"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """A registered detector."""

    number: str  # MLflow's own count
    name: str  # e.g. r1-1a2b3c4d, as in run.json
    run_id: str
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def test_hash(self) -> str | None:
        """Hash of the test set that it was judged on; None before `evaluate` has run."""
        return self.tags.get(TEST_HASH)

    def test_score(self, name: str) -> float | None:
        """Return a macro AP on that test set, e.g. of `macro_ap40`; None if it is not known."""
        said = self.tags.get(f"{TEST_SCORE}{name}", "None")
        return None if said == "None" else float(said)

    @property
    def detections(self) -> str:
        """Artifact of its run: what it saw on the test films."""
        return f"{detections_folder(self.name)}/test.parquet"


class MlflowRegistry:
    """The versions of `lungal-detector` on an MLflow server or database."""

    def __init__(self, uri: str) -> None:
        """Set up without contact."""
        self._uri = uri
        self._connected: MlflowClient | None = None

    def version(self, alias: str) -> ModelVersion | None:
        """Return the version that an alias names, or None.

        Raises:
            ServerError: if MLflow does not answer.
        """
        with self._asked() as client:
            models = client.search_registered_models(f"name = '{REGISTERED_MODEL}'")
            if not models or alias not in models[0].aliases:
                return None
            found = client.get_model_version(REGISTERED_MODEL, models[0].aliases[alias])
        return _as_version(found)

    def versions(self) -> list[ModelVersion]:
        """Return all versions, the newest first.

        Raises:
            ServerError: if MLflow does not answer.
        """
        with self._asked() as client:
            found = client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
        return sorted(map(_as_version, found), key=lambda one: int(one.number), reverse=True)

    def point(self, alias: str, version: ModelVersion) -> None:
        """Let an alias name this version and no other.

        Raises:
            ServerError: if MLflow does not answer.
        """
        with self._asked() as client:
            client.set_registered_model_alias(REGISTERED_MODEL, alias, version.number)

    def metric(self, version: ModelVersion, name: str) -> float | None:
        """Return the last value of a metric of the version's run, or None if it has none.

        Raises:
            ServerError: if MLflow does not answer.
        """
        with self._asked() as client:
            value: float | None = client.get_run(version.run_id).data.metrics.get(name)
        return value

    @contextmanager
    def artifact(self, version: ModelVersion, path: str) -> Iterator[Path | None]:
        """Yield a local copy of an artifact of the version's run, or None if it has none.

        Raises:
            ServerError: if MLflow does not answer.
        """
        with tempfile.TemporaryDirectory() as folder:
            with self._asked() as client:
                siblings = client.list_artifacts(version.run_id, str(Path(path).parent))
                here = any(sibling.path == path for sibling in siblings)
                copy = client.download_artifacts(version.run_id, path, folder) if here else None
            yield None if copy is None else Path(copy)

    def detector(self, version: ModelVersion, folder: Path) -> Path:
        """Copy a version's model to a folder; return the exported detector in it.

        Raises:
            ServerError: if MLflow does not answer, or no longer has the model's files.
        """
        with self._asked() as client:
            from mlflow.artifacts import download_artifacts
            from mlflow.models import Model

            source = client.get_model_version_download_uri(REGISTERED_MODEL, version.number)
            try:
                copy = Path(
                    download_artifacts(source, dst_path=str(folder), tracking_uri=self._uri)
                )
                kept = Model.load(str(copy)).flavors["python_function"]["artifacts"]
            except OSError as error:
                raise ServerError(
                    f"the files of model {version.name} are gone: {error.strerror or error}"
                ) from None
        return Path(copy) / str(kept["detector"]["path"])

    @contextmanager
    def _asked(self) -> Iterator["MlflowClient"]:
        try:
            if self._connected is None:
                self._connected = connect(self._uri)
            from mlflow.exceptions import MlflowException
        except Away as error:
            raise ServerError(f"MLflow at {without_secrets(self._uri)} is away: {error}") from None
        try:
            yield self._connected
        except MlflowException as error:
            text = without_secrets(" ".join(str(error).split()))
            raise ServerError(f"MLflow at {without_secrets(self._uri)}: {text}") from None


def _as_version(found: "Registered") -> ModelVersion:
    return ModelVersion(
        str(found.version),
        found.tags.get(MODEL_VERSION, str(found.version)),
        found.run_id or "",
        dict(found.tags),
    )
