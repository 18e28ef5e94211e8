"""What is logged while MLflow is away, and arrives once it is back."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lungal.errors import ServerError
from lungal.tracking import MlflowRegistry, Tracker, flush_outbox
from lungal.tracking.connection import connect

NOWHERE = "http://127.0.0.1:9"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mlflow_server(database: str, artifacts: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
    command += ["--port", str(port), "--backend-store-uri", database, "--workers", "1"]
    command += ["--artifacts-destination", str(artifacts)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    environ = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # starts sooner
    server = subprocess.Popen(
        command, start_new_session=True, cwd=artifacts.parent, env=environ, **quiet
    )
    try:
        wait_for(port)
        yield server
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def wait_for(port: int) -> None:
    import requests

    for _ in range(720):
        try:
            if requests.get(f"http://127.0.0.1:{port}/health", timeout=2).ok:
                return
        except requests.RequestException:
            pass
        time.sleep(0.25)
    pytest.fail("mlflow server did not start in three minutes")


def test_log_of_an_unreachable_server_is_replayed(database: str, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    run = Tracker(NOWHERE, outbox).open_round("k1", 3, {"a": "b"}, {"train": {"steps": 2}})
    for step in range(50):
        run.log_metrics({"loss": float(step)}, step)
    (tmp_path / "plot.csv").write_text("1")
    run.log_artifact(tmp_path / "plot.csv", "plots")
    (tmp_path / "plot.csv").write_text("changed since")
    run.end()
    report = flush_outbox(outbox, database)
    assert (report.sent, report.rejected, report.waiting) == (54, 0, 0)
    assert list(outbox.iterdir()) == []
    client = connect(database)
    experiment = client.get_experiment_by_name("lungal")
    assert experiment is not None
    (found,) = client.search_runs([experiment.experiment_id])
    assert len(client.get_metric_history(found.info.run_id, "loss")) == 50
    plot = client.download_artifacts(found.info.run_id, "plots/plot.csv", str(tmp_path))
    assert Path(plot).read_text() == "1"
    assert flush_outbox(outbox, database).sent == 0


def test_next_stage_sends_what_the_last_one_could_not(database: str, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox"
    Tracker(NOWHERE, outbox).open_round("k1", 1).end()
    run = Tracker(database, outbox).open_round("k2", 2)
    client = connect(database)
    found = client.search_runs(
        [client.get_run(run.run_id).info.experiment_id], filter_string="tags.`lungal.round` = '1'"
    )
    assert len(found) == 1


def test_registry_says_that_the_server_is_away() -> None:
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:9 is away"):
        MlflowRegistry(NOWHERE).version("champion")


def written(path: Path) -> Path:
    path.write_text(path.stem)
    return path


@pytest.mark.slow
def test_server_killed_amid_training_and_started_again(database: str, tmp_path: Path) -> None:
    outbox, artifacts, port = tmp_path / "outbox", tmp_path / "artifacts", free_port()
    uri = f"http://127.0.0.1:{port}"
    tracker = Tracker(uri, outbox, cool_down=0)
    with mlflow_server(database, artifacts, port):
        run = tracker.open_round("k1", 1, {}, {"train": {"steps": 9}})
        run.log_metrics({"loss": 0.0}, 0)
        run.log_artifact(written(tmp_path / "one.txt"), "notes")
        run_id = run.run_id
        assert run_id is not None
    started = time.monotonic()
    for step in range(1, 100):
        run.log_metrics({"loss": float(step)}, step)
    run.log_artifact(written(tmp_path / "two.txt"), "notes")
    assert time.monotonic() - started < 10
    assert run.run_id is None
    with mlflow_server(database, artifacts, port):
        run.log_metrics({"loss": 100.0}, 100)
        assert run.end().waiting == 0
        assert run.run_id == run_id
        client = connect(uri)
        curve = client.get_metric_history(run_id, "loss")
        assert [point.step for point in curve] == list(range(101))
        names = {file.path for file in client.list_artifacts(run_id, "notes")}
        assert names == {"notes/one.txt", "notes/two.txt"}
        assert client.get_run(run_id).info.status == "FINISHED"
    assert list(outbox.iterdir()) == []
