"""A run being written: metrics, files, data sets and models, journalled first and sent after."""

import getpass
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lungal.data.images import Pixels
from lungal.params import DetectParams
from lungal.tracking.entries import Entry, Operation, flatten, metric_name
from lungal.tracking.models import MODEL_VERSION, save_pyfunc
from lungal.tracking.outbox import FlushReport, Outbox
from lungal.tracking.system import PREFIX, SystemMetrics

if TYPE_CHECKING:
    import pandas as pd

    from lungal.tracking.tracker import Tracker

Status = Literal["FINISHED", "FAILED", "KILLED"]
Context = Literal["training", "validation", "testing"]

SAMPLE_SECONDS = 10.0
"""Interval of the system metrics."""


class Run:
    """A run being written: the round's own, or one nested in it. See `Tracker.open_round`."""

    def __init__(self, tracker: "Tracker", box: Outbox, key: str, *, nested: bool = False) -> None:
        """Bind; `begin` opens it."""
        self.key = key
        self._tracker, self._box, self._nested = tracker, box, nested

    @property
    def run_id(self) -> str | None:
        """MLflow's id of the run; None while the server is away."""
        return self._tracker.run_id(self.key)

    def begin(
        self, name: str, parent: str | None, tags: Mapping[str, str], params: Mapping[str, Any]
    ) -> None:
        """Open the run, making it if no run has its key."""
        tags = {"mlflow.user": _user(), **tags}
        self._write("open", {"name": name, "parent": parent, "tags": tags})
        if params:
            self.log_params(params)

    def nested(
        self,
        name: str,
        key: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> "Run":
        """Return a run inside this one, found again by its key among this one's, or made."""
        run = Run(self._tracker, self._box, f"{self.key}/{key}", nested=True)
        run.begin(name, self.key, tags or {}, params or {})
        return run

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Log parameters, nested ones with dots: {"train": {"steps": 9}} is train.steps."""
        self._write("params", flatten(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Log a point of each curve. Points are sent together, a few seconds' worth at a time.

        Where a name is none that MLflow takes, it is made one (`entries.metric_name`).
        """
        values = {metric_name(name): float(value) for name, value in metrics.items()}
        self._journal("metrics", {"step": step, "values": values})
        self._tracker.flush_in_time(self._box)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set or replace tags."""
        self._write("tags", flatten(tags))

    def log_dataset(self, name: str, path: Path, context: Context, *, digest: str) -> None:
        """Say what the run read.

        Args:
            name: of the data set, e.g. "records/train".
            path: where it lies.
            context: what it was used for.
            digest: DVC's md5, or another hash; 36 characters are kept.
        """
        data = {"name": name, "path": path.as_posix(), "context": context, "digest": digest}
        self._write("dataset", data)

    def log_artifact(self, path: Path, folder: str = "") -> None:
        """Log a file or a folder as it is now, into an artifact folder ("" is the top)."""
        copy = shutil.copytree if path.is_dir() else shutil.copyfile
        kept = self._box.keep(lambda to: copy(path, to), path.name)
        self._write("artifact", {"folder": folder}, kept)

    def log_table(self, frame: "pd.DataFrame", name: str) -> None:
        """Log a table that MLflow's UI shows and compares; `name` ends in .json."""
        text = frame.to_json(orient="split", index=False, date_format="iso")
        kept = self._box.keep(lambda to: _write_text(to, text), Path(name).name)
        self._write("table", {"name": name}, kept)

    def log_model(
        self,
        folder: Path,
        model_version: str,
        *,
        loader: str,
        detect: DetectParams,
        example: Pixels,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        """Log an exported detector, and register it as the candidate unless it is known already.

        Args:
            folder: e.g. models/detector.
            model_version: its identity, as in run.json: a version is registered once.
            loader: `package.module:callable`; of the folder and `detect` it makes a Detector.
            detect: how the served model looks at films.
            example: (H, W) uint8, a film as an example of the input.
            tags: of the registered version.
        """
        kept = self._box.keep(
            lambda to: save_pyfunc(folder, to, loader=loader, detect=detect, example=example),
            "model",
        )
        given = {**flatten(tags or {}), MODEL_VERSION: model_version, "lungal.run_key": self.key}
        self._write("model", {"tags": given}, kept)

    def tag_model(self, model_version: str, tags: Mapping[str, Any]) -> None:
        """Set or replace tags of a registered version, e.g. what it was judged on, and how."""
        self._write("model_tags", {"version": model_version, "tags": flatten(tags)})

    @contextmanager
    def system_metrics(self, interval_seconds: float = SAMPLE_SECONDS) -> Iterator[None]:
        """Log what the machine does for as long as the block runs."""
        first = self._tracker.next_step(self.key, PREFIX)
        monitor = SystemMetrics(self._sample, first, interval_seconds)
        monitor.start()
        try:
            yield
        finally:
            monitor.stop()

    def end(self, status: Status = "FINISHED") -> FlushReport:
        """Close the run until the next stage opens it again; try once more to send everything."""
        self._journal("end", {"status": status})
        return self._tracker.flush(self._box, patient=not self._nested)

    def _sample(self, step: int, metrics: Mapping[str, float]) -> None:
        # From the monitor's thread: the sending is left to the training's own.
        self._journal("metrics", {"step": step, "values": dict(metrics)})

    def _write(
        self, operation: Operation, data: Mapping[str, Any], kept: str | None = None
    ) -> None:
        self._journal(operation, data, kept)
        self._tracker.flush(self._box)

    def _journal(
        self, operation: Operation, data: Mapping[str, Any], kept: str | None = None
    ) -> None:
        self._box.append(Entry(operation, self.key, round(time.time() * 1000), data, kept))


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container the number of a user need not have a name
        return str(os.getuid())
