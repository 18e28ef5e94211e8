"""What makes two models of the same films two rounds' runs in MLflow, or one, and their lineage."""

import json
from pathlib import Path

import pytest
import yaml

from lungal.params import Params, load_params
from lungal.records import CLASSES
from pipelines.round_run import round_run, run_key
from pipelines.stage import PATHS

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in (PATHS.labels, PATHS.manifest):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"as they are")


def params(section: str = "select", **values) -> Params:
    """The project's parameters, some of a section changed, be it one of the profile's."""
    document = yaml.safe_load(PARAMS.read_text(encoding="utf-8"))
    profile = document["profiles"][document["profile"]]
    (document if section in document else profile)[section] |= values
    Path("params.yaml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_params(Path("params.yaml"))


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("records", {"detail": 1.0}),
        ("model", {"input_size": 192}),
        ("train", {"learning_rate": 0.5}),
        ("tune", {"trials": 7}),
    ],
)
def test_what_a_model_is_made_of_makes_another_key(section, values):
    assert run_key(params(section, **values)) != run_key(params())


@pytest.mark.parametrize(
    ("section", "values"),
    [
        ("records", {"shards": 9}),
        ("detect", {"fused": []}),
        ("select", {"budget": 30}),
        ("tune", {"storage": "sqlite:///elsewhere.db"}),
    ],
)
def test_what_changes_no_model_does_not(section, values):
    assert run_key(params(section, **values)) == run_key(params())


def test_other_labels_make_another_key():
    before = run_key(params())
    PATHS.labels.write_bytes(b"one more")
    assert run_key(params()) != before


RUN_JSON = {
    "model_version": "r2-0a1b2c3d",
    "round": 2,
    "classes": list(CLASSES),
    "architecture": "ssd_mobilenet_v2_fpnlite",
    "input_size": 320,
    "labelled_films": 80,
    "labelled_boxes": 71,
    "best_step": 60,
    "val": {"val/macro_ap40": 0.25},
    "weights_sha256": "0a1b2c3d" * 8,
    "run_key": "0123456789abcdef",
}
BEFORE_THE_MODEL = {
    "data/annotations.jsonl",
    "data/images",
    "data/labels.parquet",
    "data/manifest.parquet",
    "data/records/train",
    "data/records/val",
    "data/splits.parquet",
}


@pytest.mark.parametrize(
    ("stage", "known"),
    [
        ("tune", BEFORE_THE_MODEL),
        ("train", {*BEFORE_THE_MODEL, "tuning/best.yaml"}),
        (
            "evaluate",
            {"models/detector", "data/detections/val.parquet", "data/detections/test.parquet"},
        ),
        ("readers", {"models/detector"}),
    ],
)
def test_a_stage_says_of_dvc_lock_what_is_its_own_models(stage, known, monkeypatch):
    everything = [*BEFORE_THE_MODEL, "tuning/best.yaml", "models/detector"]
    everything += [f"data/detections/{split}.parquet" for split in ("val", "test")]
    outs = [{"path": path, "md5": f"md5 of {path}"} for path in everything]
    Path("dvc.lock").write_text(yaml.safe_dump({"stages": {"any": {"outs": outs}}}))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setattr("pipelines.round_run.read_round", lambda labels: 2)
    PATHS.model.mkdir(parents=True)
    (PATHS.model / "run.json").write_text(json.dumps(RUN_JSON))
    with round_run(stage, params()):
        pass
    (journal,) = Path("mlruns/outbox").glob("*.jsonl")
    opened = json.loads(journal.read_text().splitlines()[0])["data"]["tags"]
    assert {name for name in opened if name.startswith("dvc.")} == {f"dvc.{path}" for path in known}
