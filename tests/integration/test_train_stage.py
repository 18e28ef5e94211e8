"""The stage train, but for the training: what is left of it when it has ended."""

import shutil
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import ClassVar

import pytest
from plugins.trainable_project import PATHS, REPOSITORY

from lungal.params import TrainParams
from lungal.tuning.winner import Winner
from pipelines import train


class Notebook:
    """Stands for the round's run."""

    key = "0123456789abcdef"
    logged: ClassVar = {}

    def system_metrics(self):
        return nullcontext()

    def log_params(self, params):
        pass

    def log_metrics(self, metrics, step=0):
        self.logged |= {name: (value, step) for name, value in metrics.items()}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project as the search leaves it, and a training that takes no time."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((REPOSITORY / "params.yaml").read_text())
    Winner(TrainParams(batch_size=4, steps=99, warmup_steps=2)).write(PATHS.best)

    @contextmanager
    def round_run(stage, params):
        yield Notebook()

    def fit(*records, work, on_step):
        work.mkdir(parents=True)
        (work / "checkpoint").touch()
        return {"best_step": 60.0, "val/macro_ap40": 0.25}

    monkeypatch.setattr(train, "make_strategy", lambda: None)
    monkeypatch.setattr(train, "is_chief", lambda strategy: True)
    monkeypatch.setattr(train, "round_run", round_run)
    monkeypatch.setattr(train, "TfodTrainer", lambda: SimpleNamespace(fit=fit))
    monkeypatch.setattr(train, "export", lambda params, best, key: {})
    monkeypatch.setattr(train, "log_model", lambda tracked, params, run_json: None)
    return tmp_path


def test_the_checkpoints_of_a_finished_training_are_thrown_away(project):
    assert train.main() == 0
    assert not train.WORK.parent.exists()


def test_the_best_is_logged_at_the_last_step_so_that_a_later_trainings_takes_its_place(project):
    assert train.main() == 0
    assert Notebook.logged == {"best_step": (60.0, 99), "best_val/macro_ap40": (0.25, 99)}


def test_they_are_kept_if_a_parameter_changes_meanwhile(project, monkeypatch, capsys):
    shutil.copy(REPOSITORY / "dvc.yaml", project)

    def log_then_change(*given):
        text = (project / "params.yaml").read_text()
        (project / "params.yaml").write_text(text.replace("      steps: 500", "      steps: 600"))

    monkeypatch.setattr(train, "log_model", log_then_change)
    assert train.main() == 2
    assert "profiles.demo.train was changed while the stage ran" in capsys.readouterr().err
    assert (train.WORK / "checkpoint").exists()
