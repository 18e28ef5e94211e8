"""The MLflow side of the outbox: writes entries to a tracking server or database."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungal.tracking import models
from lungal.tracking.connection import connect, without_secrets
from lungal.tracking.entries import Entry
from lungal.tracking.outbox import Away, Rejected

if TYPE_CHECKING:
    from mlflow import MlflowClient

EXPERIMENT = "lungal"
RUN_KEY = "lungal.run_key"
REFUSALS = {
    "BAD_REQUEST",
    "ENDPOINT_NOT_FOUND",
    "INVALID_PARAMETER_VALUE",
    "RESOURCE_ALREADY_EXISTS",
    "RESOURCE_DOES_NOT_EXIST",
}
"""Error codes that say the same tomorrow. All others may be the server's trouble of today."""
FOR_TODAY = {401, 403, 407, 408, 425, 429}
"""Statuses 4xx that may be mended by who runs the server or has the password, or that pass."""


class Store:
    """Sends entries; remembers which MLflow run stands for which key."""

    def __init__(self, uri: str, files: Path) -> None:
        """Set up without any contact.

        Args:
            uri: of the MLflow server or database.
            files: the folder that `Entry.file` is relative to.
        """
        self.uri = uri
        self._files = files
        self._client: MlflowClient | None = None
        self._runs: dict[str, str] = {}
        self._experiment: str | None = None
        self._senders: dict[str, Callable[[str, Entry], None]] = {
            "params": self._send_params,
            "tags": self._send_tags,
            "dataset": self._send_dataset,
            "artifact": self._send_artifact,
            "table": self._send_table,
            "model": self._send_model,
            "model_tags": self._send_model_tags,
            "end": self._send_end,
        }

    def send(self, entries: Sequence[Entry]) -> int:
        """Write the first entry, or the metrics at the head all at once; return how many.

        Raises:
            Away: if the server cannot be reached; nothing is known to be written.
            Rejected: if it refused the first entry for good.
        """
        first = entries[0]
        alike = list(takewhile(lambda e: (e.operation, e.run) == ("metrics", first.run), entries))
        with self._asking():
            if alike:
                self._send_metrics(self._run_id(first.run), alike)
            elif first.operation == "open":
                self._open(first)
            else:
                self._senders[first.operation](self._run_id(first.run), first)
        return len(alike) or 1

    def run_id(self, key: str) -> str:
        """Return the id of the run with this key.

        Raises:
            Away: if the server cannot be reached.
            Rejected: if there is no such run; it was deleted since it was opened.
        """
        with self._asking():
            return self._run_id(key)

    def last_step(self, key: str, prefix: str) -> int:
        """Return the highest step of the run's metrics whose names start so, or -1.

        Raises:
            Away: if the server cannot be reached.
            Rejected: if there is no such run.
        """
        with self._asking():
            run = self.client.get_run(self._run_id(key))
        metrics = run.data._metric_objs  # noqa: SLF001  as MLflow's own monitor does
        return max((m.step for m in metrics if m.key.startswith(prefix)), default=-1)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn whatever MLflow raises in the block into Away or Rejected."""
        try:
            yield
        except (Away, Rejected):
            raise
        except FileNotFoundError as error:
            raise Rejected(f"{error.filename} is gone") from None
        except Exception as error:
            # requests', SQLAlchemy's, MLflow's or a proxy's: no fault of a log may end a training.
            # A new client sees a server that came back.
            self._client = None
            text = without_secrets(" ".join(str(error).split()))[:500]
            raise (Rejected if _is_final(error) else Away)(text or repr(error)) from error

    @property
    def client(self) -> "MlflowClient":
        """The client, connected at first use."""
        if self._client is None:
            self._client = connect(self.uri)
        return self._client

    def _run_id(self, key: str) -> str:
        if (found := self._find(key)) is None:
            raise Rejected(f"no run has the key {key}")
        return found

    def _find(self, key: str) -> str | None:
        if key not in self._runs:
            runs = self.client.search_runs(
                [self.experiment()],
                filter_string=f"tags.`{RUN_KEY}` = '{key}'",
                order_by=["attributes.start_time ASC"],
                max_results=1,
            )
            if not runs:
                return None
            self._runs[key] = runs[0].info.run_id
        return self._runs[key]

    def experiment(self) -> str:
        """Return the id of the experiment, made at first need."""
        if self._experiment is None:
            found = self.client.get_experiment_by_name(EXPERIMENT)
            if found is None:
                self._experiment = self._create_experiment()
            else:
                self._experiment = found.experiment_id
                if found.lifecycle_stage == "deleted":
                    self.client.restore_experiment(found.experiment_id)
        return self._experiment

    def _create_experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        # A server knows where its artifacts go; a database alone would put them in the cwd.
        local = self.uri.startswith("sqlite:///")
        home = Path(self.uri.removeprefix("sqlite:///")).resolve().parent / "artifacts"
        try:
            return self.client.create_experiment(EXPERIMENT, home.as_uri() if local else None)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            if (found := self.client.get_experiment_by_name(EXPERIMENT)) is None:
                raise
            return found.experiment_id

    def _open(self, entry: Entry) -> None:
        tags = {**entry.data["tags"], RUN_KEY: entry.run}
        if (parent := entry.data["parent"]) is not None:
            tags["mlflow.parentRunId"] = self._run_id(parent)
        if (found := self._find(entry.run)) is not None:
            self.client.update_run(found, status="RUNNING")
            self._set_tags(found, tags)
            return
        run = self.client.create_run(
            self.experiment(), start_time=entry.time, tags=tags, run_name=entry.data["name"]
        )
        self._runs[entry.run] = run.info.run_id

    def _send_metrics(self, run_id: str, entries: Sequence[Entry]) -> None:
        from mlflow.entities import Metric

        metrics = [
            Metric(name, float(value), entry.time, entry.data["step"])
            for entry in entries
            for name, value in entry.data["values"].items()
        ]
        self.client.log_batch(run_id, metrics=metrics)

    def _send_params(self, run_id: str, entry: Entry) -> None:
        from mlflow.entities import Param

        # MLflow refuses to change a parameter: what was said first stays.
        known = self.client.get_run(run_id).data.params
        new = [Param(name, value) for name, value in entry.data.items() if name not in known]
        self.client.log_batch(run_id, params=new)

    def _send_tags(self, run_id: str, entry: Entry) -> None:
        self._set_tags(run_id, entry.data)

    def _set_tags(self, run_id: str, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def _send_dataset(self, run_id: str, entry: Entry) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        source = json.dumps({"uri": entry.data["path"]})
        dataset = Dataset(
            name=entry.data["name"],
            digest=entry.data["digest"][:36],
            source_type="local",
            source=source,
        )
        context = InputTag("mlflow.data.context", entry.data["context"])
        self.client.log_inputs(run_id, [DatasetInput(dataset, [context])])

    def _send_artifact(self, run_id: str, entry: Entry) -> None:
        path = self._file(entry)
        folder = entry.data["folder"]
        if path.is_dir():
            self.client.log_artifacts(
                run_id, str(path), "/".join(filter(None, [folder, path.name]))
            )
        else:
            self.client.log_artifact(run_id, str(path), folder or None)

    def _send_table(self, run_id: str, entry: Entry) -> None:
        # Not MlflowClient.log_table: it appends, so that a second sending would double the rows.
        name = entry.data["name"]
        folder = Path(name).parent.as_posix()
        self.client.log_artifact(run_id, str(self._file(entry)), None if folder == "." else folder)
        tag = "mlflow.loggedArtifacts"  # by which MLflow's evaluation view finds tables
        tables = json.loads(self.client.get_run(run_id).data.tags.get(tag, "[]"))
        if (this := {"path": name, "type": "table"}) not in tables:
            self.client.set_tag(run_id, tag, json.dumps([*tables, this]))

    def _send_model(self, run_id: str, entry: Entry) -> None:
        models.register(
            self.client, self._file(entry), run_id, self.experiment(), dict(entry.data["tags"])
        )

    def _send_model_tags(self, run_id: str, entry: Entry) -> None:
        tags: dict[str, Any] = entry.data["tags"]
        version = models.find_version(self.client, entry.data["version"])
        if version is None:
            raise Rejected(f"run {run_id} has no registered model {entry.data['version']}")
        models.set_version_tags(self.client, version, tags)

    def _send_end(self, run_id: str, entry: Entry) -> None:
        self.client.set_terminated(run_id, entry.data["status"], entry.time)

    def _file(self, entry: Entry) -> Path:
        path = self._files / (entry.file or "")
        if entry.file is None or not path.exists():
            raise FileNotFoundError(2, "the copy is gone", str(path))
        return path


def _is_final(error: Exception) -> bool:
    """Return whether the answer to the same question will be the same tomorrow."""
    if getattr(error, "error_code", None) in REFUSALS:
        return True
    # A proxy before the server has no codes of MLflow's: it says 413 to a model that is too large.
    status = getattr(getattr(error, "response", None), "status_code", None)
    return isinstance(status, int) and 400 <= status < 500 and status not in FOR_TODAY
