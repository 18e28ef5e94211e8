"""The stage tune in a project of its own, with a toy trainer and MLflow away."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from plugins.changed_params import change_params

from lungal.data.labels import LABELS, write_labels
from lungal.detectors.tfod.weights import _hash_initial
from lungal.params import TrainParams
from pipelines import tune

REPOSITORY = Path(__file__).resolve().parents[2]
SetParams = Callable[..., None]


class ToyTrainer:
    """Instead of the OD API's: better the higher the learning rate."""

    def fit(self, train: Path, val: Path, model: Any, params: TrainParams, *, work: Path, on_step: Any) -> dict[str, float]:  # noqa: E501  # fmt: skip
        assert (train, val) == (Path("data/records/train"), Path("data/records/val"))
        on_step(1, {"val/weighted_ap": params.learning_rate})
        return {"val/weighted_ap": params.learning_rate, "best_step": 1}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SetParams:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setattr("lungal.detectors.tfod.train.TfodTrainer", ToyTrainer)
    write_labels(tmp_path / "data/labels.parquet", pd.DataFrame(columns=LABELS.names), number=1)
    for name in ("manifest.parquet", "records/train/0", "records/val/0"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())

    def set_tune(**changes: Any) -> None:
        change_params(tmp_path, tune=changes)

    return set_tune


def journal(root: Path) -> list[dict[str, Any]]:
    (path,) = (root / "mlruns/outbox").glob("*.jsonl")
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_search_writes_its_outputs_though_mlflow_is_away(
    project: SetParams, tmp_path: Path
) -> None:
    project(trials=3)
    assert tune.main() == 0
    best = yaml.safe_load((tmp_path / "tuning/best.yaml").read_text())
    rows = (tmp_path / "tuning/trials.csv").read_text().splitlines()
    assert len(rows) == 4
    assert best["value"] == best["train"]["learning_rate"] >= 0.002
    profiles = yaml.safe_load((tmp_path / "params.yaml").read_text())["profiles"]
    assert best["train"]["steps"] == profiles["demo"]["train"]["steps"]  # not the trials' few
    entries = journal(tmp_path)
    nested = [
        entry for entry in entries if entry["operation"] == "open" and entry["data"]["parent"]
    ]
    assert len(nested) == 3
    assert {entry["data"]["parent"] for entry in nested} == {entries[0]["run"]}
    datasets = [entry["data"] for entry in entries if entry["operation"] == "dataset"]
    assert [data["context"] for data in datasets] == ["training", "validation"]
    assert entries[-1]["operation"] == "end"
    assert entries[-1]["data"] == {"status": "FINISHED"}


def study(root: Path) -> str:
    return str(yaml.safe_load((root / "tuning/best.yaml").read_text())["study"])


def test_other_code_searches_anew(
    project: SetParams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project(trials=1)
    studies = []
    for code in ("one", "one", "two"):
        monkeypatch.setattr(tune, "hash_code", lambda _, code=code: code)
        assert tune.main() == 0
        studies.append(study(tmp_path))
    assert studies[0] == studies[1] != studies[2]


def test_other_weights_at_the_same_place_search_anew_and_the_same_elsewhere_do_not(
    project: SetParams, tmp_path: Path
) -> None:
    studies = []
    for place, content in (("a", b"1"), ("b", b"1"), ("a", b"2")):
        (tmp_path / place).mkdir(exist_ok=True)
        (tmp_path / place / "ckpt-1.index").write_bytes(content)
        set_weights(tmp_path, str(tmp_path / place))
        _hash_initial.cache_clear()  # another process runs the stage
        assert tune.main() == 0
        studies.append(study(tmp_path))
    assert studies[0] == studies[1] != studies[2]


def set_weights(root: Path, where: str) -> None:
    change_params(root, model={"initial_weights": where}, tune={"trials": 1})


def test_no_trials_read_no_weights(project: SetParams, tmp_path: Path) -> None:
    set_weights(tmp_path, "/gone.h5")
    assert tune.main() == 1
    change_params(tmp_path, tune={"trials": 0})
    assert tune.main() == 0


def test_the_code_is_that_of_the_modules_that_the_stage_depends_on(tmp_path: Path) -> None:
    deps = ["pipelines/tune.py", "lungal/one.py", "lungal/many", "data/records"]
    (tmp_path / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"tune": {"deps": deps}}}))
    names = ("pipelines/tune.py", "lungal/one.py", "lungal/many/inner/x.py", "lungal/other.py")

    def write(name: str, content: str) -> str:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
        return tune.hash_code(tmp_path) if (tmp_path / names[-1]).exists() else ""

    first = [write(name, "1") for name in names][-1]
    assert write("lungal/other.py", "2") == write("lungal/many/x.pyc", "2") == first
    changed = {write("lungal/one.py", "2"), write("lungal/many/inner/x.py", "2")}
    assert len(changed | {first}) == 3
    assert tune.hash_code(REPOSITORY) == tune.hash_code(REPOSITORY)


def test_no_trials_pass_the_parameters_on(project: SetParams, tmp_path: Path) -> None:
    project(trials=0)
    assert tune.main() == 0
    best = yaml.safe_load((tmp_path / "tuning/best.yaml").read_text())
    assert best["study"] is None
    assert best["train"]["learning_rate"] == 0.002
    assert (tmp_path / "tuning/trials.csv").read_text() == "number,state,value,steps\n"


def test_stage_before_its_input_says_what_makes_it(
    project: SetParams, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(trials=1)
    (tmp_path / "data/records/val/0").unlink()
    (tmp_path / "data/records/val").rmdir()
    assert tune.main() == 2
    assert capsys.readouterr().err == (
        "lungal tune: data/records/val is missing; the stage `records@val` makes it: dvc repro\n"
    )
    assert not (tmp_path / "tuning").exists()


def test_misspelt_parameter_of_the_search_is_named(
    project: SetParams, capsys: pytest.CaptureFixture[str]
) -> None:
    project(trails=1)
    assert tune.main() == 2
    assert "unknown key 'trails'" in capsys.readouterr().err
