"""What makes two models of the same films two rounds' runs in MLflow, or one."""

from pathlib import Path

import pytest
import yaml

from lungal.params import Params, load_params
from pipelines.round_run import run_key
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
