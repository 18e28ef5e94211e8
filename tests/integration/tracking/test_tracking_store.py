"""Runs, curves, data sets and models in a real MLflow database."""

import base64
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from mlflow.utils.validation import MAX_ENTITY_KEY_LENGTH, _validate_metric_name

from lungal.data.images import encode_png
from lungal.params import DetectParams
from lungal.tracking import MlflowRegistry, Run, Tracker
from lungal.tracking.connection import connect
from lungal.tracking.entries import Entry, metric_name
from lungal.tracking.store import Store


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def tracker(database: str, outbox: Path) -> Tracker:
    return Tracker(database, outbox)


@pytest.fixture
def client(database: str) -> MlflowClient:
    return connect(database)


def runs(client: MlflowClient) -> list:
    experiment = client.get_experiment_by_name("lungal")
    return client.search_runs([experiment.experiment_id])


def log_detector(run: Run, folder: Path, version: str, score: float = 0.75) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "score.txt").write_text(str(score))
    run.log_model(
        folder,
        version,
        loader="toy_loader:ToyDetector",
        detect=DetectParams(score_threshold=0.5, views=("clahe",)),
        example=np.zeros((32, 32), np.uint8),
        tags={"round": 1},
    )


def test_stages_share_the_run_of_their_round(
    database: str, outbox: Path, client: MlflowClient
) -> None:
    first = Tracker(database, outbox).open_round("k1", 1, {"lungal.stage": "tune"})
    first.end()
    second = Tracker(database, outbox).open_round(
        "k1", 1, {"lungal.stage": "train"}, {"train": {"steps": 9}}
    )
    for step in range(3):
        second.log_metrics({"loss": 3.0 - step, "rate": 0.1}, step)
    assert client.get_run(second.run_id).info.status == "RUNNING"
    second.end()
    other = Tracker(database, outbox).open_round("k2", 2)
    other.end("FAILED")
    assert first.run_id == second.run_id != other.run_id
    assert len(runs(client)) == 2
    run = client.get_run(first.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["lungal.stage"] == "train"
    assert run.data.params == {"train.steps": "9"}
    curve = client.get_metric_history(first.run_id, "loss")
    assert [(point.step, point.value) for point in curve] == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert client.get_run(other.run_id).info.status == "FAILED"
    assert list(outbox.iterdir()) == []


def test_everything_sent_twice_is_there_once(
    database: str, outbox: Path, client: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = Tracker("http://127.0.0.1:9", outbox)
    run = tracker.open_round("k1", 1, {}, {"a": 1})
    run.log_metrics({"loss": 1.0}, 1)
    run.log_dataset("train", Path("data"), "training", digest="f" * 32 + ".dir")
    run.log_table(pd.DataFrame({"x": [1, 2]}), "tables/t.json")
    run.nested("trial-0", "t0", params={"lr": 0.1}).end("KILLED")
    log_detector(run, outbox.parent / "detector", "r1-aa")
    run.tag_model("r1-aa", {"lungal.test_hash": "h"})
    run.end()
    lines = (outbox / "k1.jsonl").read_text().splitlines()
    entries = [Entry.from_json(line) for line in lines]
    for _ in range(2):
        store = Store(database, outbox)
        for entry in entries:
            assert store.send([entry]) == 1
    (parent,) = [run for run in runs(client) if "mlflow.parentRunId" not in run.data.tags]
    (nested,) = [run for run in runs(client) if "mlflow.parentRunId" in run.data.tags]
    assert nested.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (nested.info.status, nested.data.params) == ("KILLED", {"lr": "0.1"})
    assert len(client.get_metric_history(parent.info.run_id, "loss")) == 1
    (dataset,) = parent.inputs.dataset_inputs
    assert dataset.dataset.digest == "f" * 32 + ".dir"
    assert [(tag.key, tag.value) for tag in dataset.tags] == [("mlflow.data.context", "training")]
    table = Path(client.download_artifacts(parent.info.run_id, "tables/t.json", str(outbox.parent)))
    assert json.loads(table.read_text())["data"] == [[1], [2]]
    assert len(client.search_model_versions("name = 'lungal-detector'")) == 1


def test_refused_entry_does_not_block_the_others(tracker: Tracker, client: MlflowClient) -> None:
    run = tracker.open_round("k1", 1)
    run.set_tags({"a bad\x00name*": "x"})
    run.set_tags({"good": "y"})
    assert run.end().waiting == 0
    assert client.get_run(run.run_id).data.tags["good"] == "y"


def test_a_name_that_is_no_metrics_loses_none_of_the_others(
    tracker: Tracker, client: MlflowClient
) -> None:
    run = tracker.open_round("k1", 1)
    addresses = ("ann@clinic.example", "ann+clinic.example")
    values = {f"readers/{who}/sensitivity": float(n) for n, who in enumerate(addresses)}
    run.log_metrics(values | {"ledger/films": 9.0})
    assert run.end().waiting == 0
    logged = client.get_run(run.run_id).data.metrics
    assert logged.pop("ledger/films") == 9.0
    assert sorted(logged.values()) == [0.0, 1.0]
    assert all(name.startswith("readers/ann_clinic.example-") for name in logged)
    assert all(name.endswith("/sensitivity") for name in logged)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20) | st.text(alphabet="a/.@ ", max_size=9) | st.text(min_size=230))
def test_any_name_becomes_one_that_mlflow_takes_and_a_good_one_stays(name: str) -> None:
    made = metric_name(name)
    _validate_metric_name(made)
    assert len(made) <= MAX_ENTITY_KEY_LENGTH
    assert metric_name(made) == made


@pytest.mark.parametrize("name", ["test/macro_ap40", "tune/importance/learning rate", "a:b", "é-1"])
def test_good_names_are_left_alone(name: str) -> None:
    assert metric_name(name) == name


def test_folders_and_files_become_artifacts(
    tracker: Tracker, client: MlflowClient, tmp_path: Path
) -> None:
    plots = tmp_path / "plots"
    (plots / "inner").mkdir(parents=True)
    (plots / "inner" / "a.csv").write_text("1")
    run = tracker.open_round("k1", 1)
    run.log_artifact(plots)
    run.log_artifact(plots / "inner" / "a.csv", "detections")
    run.end()
    assert [file.path for file in client.list_artifacts(run.run_id, "plots/inner")] == [
        "plots/inner/a.csv"
    ]
    top = {file.path for file in client.list_artifacts(run.run_id)}
    assert top == {"plots", "detections"}
    location = client.get_run(run.run_id).info.artifact_uri
    assert "my%20project/mlruns/artifacts" in location or "my project/mlruns/artifacts" in location


def test_system_metrics_go_on_where_the_last_stage_ended(
    database: str, outbox: Path, client: MlflowClient
) -> None:
    for _ in range(2):
        run = Tracker(database, outbox).open_round("k1", 1)
        with run.system_metrics(interval_seconds=0.05):
            pass
        run.end()
    history = client.get_metric_history(run.run_id, "system/cpu_utilization_percentage")
    assert [point.step for point in history] == [0, 1]


def test_newest_model_is_the_candidate_and_is_served(
    database: str,
    tracker: Tracker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow
    from mlflow.pyfunc.scoring_server import infer_and_parse_data

    registry = MlflowRegistry(database)
    assert registry.version("candidate") is None
    run = tracker.open_round("k1", 1)
    log_detector(run, tmp_path / "one", "r1-aa")
    log_detector(run, tmp_path / "two", "r2-bb", score=0.25)
    log_detector(run, tmp_path / "one", "r1-aa")  # again: not a new version
    run.tag_model("r2-bb", {"lungal.test_hash": "h2", "macro_ap40": 0.5})
    run.end()
    candidate = registry.version("candidate")
    assert candidate is not None
    assert (candidate.name, candidate.number, candidate.test_hash) == ("r2-bb", "2", "h2")
    assert candidate.tags["lungal.run_key"] == "k1"
    assert candidate.run_id == run.run_id

    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    film = encode_png(np.zeros((20, 30), np.uint8))
    model = mlflow.pyfunc.load_model("models:/lungal-detector/1")
    over_http = {"columns": ["image"], "data": [[base64.b64encode(film).decode()]]}
    posted = infer_and_parse_data({"dataframe_split": over_http}, model.metadata.get_input_schema())
    for frame in (pd.DataFrame({"image": [film, film]}), posted):
        found = model.predict(frame)
        assert found["image"].tolist() == list(range(len(frame)))
        assert found.iloc[0].tolist() == [0, "Mass", 0.75, 0, 0, 30, 20]
    nothing = mlflow.pyfunc.load_model("models:/lungal-detector@candidate").predict(posted)
    assert list(nothing.columns) == list(found.columns)
    assert len(nothing) == 0  # .25 is below the threshold that was logged with the model


def test_registry_reads_metrics_and_artifacts_of_the_models_run(
    database: str, tracker: Tracker, tmp_path: Path
) -> None:
    run = tracker.open_round("k1", 1)
    run.log_metrics({"test/macro_ap40": 0.25})
    (tmp_path / "test.jsonl").write_text("{}")
    run.log_artifact(tmp_path / "test.jsonl", "truth")
    log_detector(run, tmp_path / "one", "r1-aa")
    run.end()
    registry = MlflowRegistry(database)
    version = registry.version("candidate")
    assert version is not None
    assert registry.metric(version, "test/macro_ap40") == 0.25
    assert registry.metric(version, "test/macro_ap50") is None
    with registry.artifact(version, "truth/test.jsonl") as path:
        assert path is not None
        assert path.read_text() == "{}"
    with registry.artifact(version, "detections/test.parquet") as path:
        assert path is None
    registry.point("champion", version)
    champion = registry.version("champion")
    assert champion is not None
    assert champion.name == "r1-aa"
