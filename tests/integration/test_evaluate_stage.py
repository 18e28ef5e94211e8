"""The stage evaluate on files: metrics, plots, and what reaches MLflow."""

import json
import os
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pytest
from examined_project import MODEL, examine, make_project
from plugins.changed_params import change_params

from lungal.data.detections import read_detections
from lungal.data.labels import ground_truth, read_labels
from lungal.data.manifest import read_truth
from lungal.errors import StageOrderError
from lungal.evaluation.calibration import as_json
from lungal.evaluation.calibration_fit import fit_calibration
from lungal.records import CLASSES
from pipelines import evaluate
from pipelines.examined import read_calibration
from pipelines.stage import PATHS

PLOTS = ["average_precision", "confusion", "froc", "precision_recall"]


class Notebook:
    """Stands for the round's run and keeps what is logged."""

    def __init__(self):
        self.metrics, self.artifacts, self.tags, self.truth = {}, [], {}, {}

    def log_metrics(self, metrics, step=0):
        self.metrics |= metrics

    def log_artifact(self, path, folder=""):
        self.artifacts.append(f"{folder}/{path.name}".lstrip("/"))
        if folder == "truth":
            self.truth = read_truth(path)

    def tag_model(self, model_version, tags):
        self.tags[model_version] = dict(tags)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """The project's folder and its labels."""
    root = tmp_path_factory.mktemp("project")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        labels = make_project()
    change_params(root, evaluate={"bootstrap": 10, "gallery": 3})
    return root, labels


@pytest.fixture(scope="module")
def notebook(project):
    """What the run was told, after the stage has run once."""
    notebook = Notebook()

    @contextmanager
    def round_run(stage, params):
        assert stage == "evaluate"
        yield notebook

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project[0])
        patch.setattr(evaluate, "round_run", round_run)
        assert evaluate.main() == 0
    return notebook


@pytest.fixture(autouse=True)
def _in_project(project, monkeypatch):
    monkeypatch.chdir(project[0])


@pytest.fixture
def metrics(notebook):
    return json.loads(PATHS.metrics.read_text())


def outputs():
    return [PATHS.metrics, PATHS.calibration, *PATHS.plots.iterdir()]


def files():
    return {path: path.read_bytes() for path in outputs()}


def test_it_writes_metrics_plots_and_a_gallery(notebook):
    names = [f"{name}.{kind}" for name in PLOTS for kind in ("csv", "png")]
    names += ["gallery.png", "measures.csv"]
    assert sorted(path.name for path in PATHS.plots.iterdir()) == sorted(names)


def test_metrics_and_tables_agree(metrics):
    assert {name: metrics[name] for name in ("round", "labelled_films", "labelled_boxes")} == {
        "round": 2,
        "labelled_films": 80,
        "labelled_boxes": 71,
    }
    assert metrics["model_version"] == MODEL.model_version
    assert set(metrics["test_ap40"]) == set(CLASSES)
    assert metrics["test"]["films"] == 12
    assert 0 < metrics["test"]["macro_ap50"] < metrics["test"]["macro_ap30"] <= 1
    bars = pd.read_csv(PATHS.plots / "average_precision.csv")
    assert bars[bars["iou"] == 0.4]["ap"].mean() == pytest.approx(
        metrics["test"]["macro_ap40"], abs=1e-5
    )
    pairs = pd.read_csv(PATHS.plots / "confusion.csv")
    found = (pairs["actual"] == pairs["predicted"]).sum()
    sensitivity = metrics["test"]["working_point"]["sensitivity"]
    assert found / metrics["test"]["boxes"] == pytest.approx(sensitivity, abs=1e-6)


def test_the_measures_are_there_with_their_intervals(metrics):
    table = pd.read_csv(PATHS.plots / "measures.csv")
    assert list(table) == ["split", "measure", "at", "class", "value", "low", "high"]
    assert (table["low"] <= table["high"]).all()
    rows = table.set_index(["split", "measure", "at", "class"])["value"]
    for split in ("test", "val"):
        sensitivity = rows[split, "sensitivity", "0.5", "macro average"]
        assert metrics[split]["sensitivity"]["fp50"] == sensitivity
        assert metrics[split]["localisation"]["iou30"] > metrics[split]["localisation"]["iou70"]
        assert 0 < metrics[split]["rodeo"]["total"] < 1
        assert metrics[split]["coco_ap"] < metrics[split]["macro_ap50"]
    froc = pd.read_csv(PATHS.plots / "froc.csv")
    everything = froc[froc["class"] == "all boxes"]
    reached = everything[everything["false_positives"] <= 0.5]["sensitivity"].max()
    assert reached == rows["test", "sensitivity", "0.5", "all boxes"]


def test_scores_are_calibrated_on_validation_films_and_both_are_logged(metrics, notebook):
    calibration = read_calibration()
    known = {split: examined(split) for split in ("val", "test")}
    assert calibration == fit_calibration(*known["val"], iou=0.4)
    assert calibration != fit_calibration(*known["test"], iou=0.4)
    for split, name in (("test", "test"), ("val", "val_final")):
        found = metrics[split]["calibration"]
        assert set(found) == {"d_ece", "brier", "d_ece_calibrated", "brier_calibrated"}
        assert found["d_ece_calibrated"] != found["d_ece"]
        for measure, value in found.items():
            assert notebook.metrics[f"{name}/calibration/{measure}"] == value


def examined(split):
    truths = ground_truth(read_labels(PATHS.labels), split)
    return truths, read_detections(PATHS.detections / f"{split}.parquet")


def test_a_damaged_calibration_is_one_line(metrics):
    whole = PATHS.calibration.read_bytes()
    for broken in (b"{}", b"no json", whole.replace(b"0.4", b"NaN")):
        PATHS.calibration.write_bytes(broken)
        try:
            with pytest.raises(StageOrderError, match="dvc repro -f evaluate"):
                read_calibration()
        finally:
            PATHS.calibration.write_bytes(whole)
    assert as_json(read_calibration()) == json.loads(whole)


def test_the_run_hears_of_it(project, notebook, metrics):
    assert notebook.metrics["test/macro_ap40"] == metrics["test"]["macro_ap40"]
    assert notebook.metrics["val_final/macro_ap40"] == metrics["val"]["macro_ap40"]
    assert sorted(notebook.artifacts) == [
        "calibration.json",
        f"detections/{MODEL.model_version}/test.parquet",
        "metrics.json",
        "plots",
        "truth/test.jsonl",
    ]
    tags = notebook.tags[MODEL.model_version]
    assert tags["lungal.test.macro_ap40"] == metrics["test"]["macro_ap40"]
    assert len(tags["lungal.test_hash"]) == 64
    _, labels = project
    known = labels[labels["split"] == "test"].set_index("image_id")["boxes"]
    assert {film: len(boxes) for film, boxes in notebook.truth.items()} == known.map(len).to_dict()


def test_again_it_writes_the_same_bytes_and_mlflow_has_it(notebook, metrics, monkeypatch):
    for name in [name for name in os.environ if name.startswith("MLFLOW")]:
        monkeypatch.delenv(name)
    first = files()
    assert evaluate.main() == 0
    assert files() == first

    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("lungal")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["test/macro_ap40"] == metrics["test"]["macro_ap40"]
    assert run.info.status == "FINISHED"
    top = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"plots", "detections", "truth", "metrics.json", "calibration.json"} <= top


def test_a_film_that_was_not_examined_stops_the_stage(notebook, capsys):
    before = files()
    detections = read_detections(PATHS.detections / "test.parquet")
    examine("test", detections[1:])
    try:
        assert evaluate.main() == 2
    finally:
        examine("test", detections)
    assert "`detect`" in capsys.readouterr().err
    assert files() == before
