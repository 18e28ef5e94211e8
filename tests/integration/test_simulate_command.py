"""`lungal simulate`: presets, campaigns from first film to last page, and none played twice."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from lungal.cli.main import main
from lungal.cli.simulate import parse_seeds
from lungal.errors import LungalError, ParamsError, UnknownNameError
from lungal.params import load_params
from lungal.simulation import preset
from lungal.simulation.arms import arms_of
from lungal.simulation.page import PROXY
from lungal.simulation.results import Point
from lungal.simulation.verdict import judge
from pipelines.campaign_report import log, write_nothing
from pipelines.simulate import read_real

REPOSITORY = Path(__file__).resolve().parents[2]
PLACE = Path(".simulations/ci")
REPORT = PLACE / "reports/simulation"
SMALL = ("stratified_random", "least_confidence", "claspd", "oracle")
"""The arms that are played here."""
TRAININGS = PLACE / "models/.training/simulation/trainings"


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project's root in which `lungal simulate` may play."""
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGAL_PLAYED", raising=False)
    return tmp_path


@pytest.fixture
def small(monkeypatch):
    """The preset ci, made even smaller."""
    whole = preset.read_preset

    def read(name):
        document = whole(name)
        document["data"]["phantom"]["films"] = 60
        document["simulate"] |= {"seeds": [0], "rounds": 1, "initial": 8, "budget": 4}
        document["simulate"]["arms"] = {name: document["simulate"]["arms"][name] for name in SMALL}
        return document

    monkeypatch.setattr(preset, "read_preset", read)


def test_a_preset_is_played_to_its_page_and_not_again(project, small, capfd):
    assert main(["simulate", "--preset", "ci", "--workers", "1"]) == 0
    page = (REPORT / "report.html").read_text(encoding="utf-8")
    assert PROXY in page
    assert "lungal simulate --preset ci --workers 1" in page
    for arm in SMALL:
        assert f'alt="The films of the first batch of {arm}"' in page
    assert page.count("Its first 4 films, in its order") == len(SMALL)
    assert page.count("Receipts of the first 4 films") == len(SMALL)
    assert "surest: " in page, "why least confidence chose a film"
    points = pd.read_csv(REPORT / "points.csv")
    assert points.groupby("arm")["films"].apply(list).to_dict() == {
        **{arm: [8, 12] for arm in SMALL},
        "full": [points.loc[points["arm"] == "full", "films"].item()],
    }
    picks = pd.read_csv(REPORT / "picks.csv")
    assert picks.groupby("arm").size().to_dict() == dict.fromkeys(SMALL, 4)
    summary = json.loads((PLACE / "reports/simulation.json").read_text())
    assert (summary["seeds"], summary["learner"]) == (1, "proxy")
    assert set(points["learner"]) == {"proxy"}
    assert not Path("data").exists(), "the project's own films are left alone"

    before = {path: path.stat().st_mtime_ns for path in TRAININGS.rglob("*.parquet")}
    assert before
    capfd.readouterr()
    assert main(["simulate", "--preset", "ci"]) == 0
    said = capfd.readouterr().err
    assert "trainings" not in said
    assert "draw phantoms" not in said
    after = {path: path.stat().st_mtime_ns for path in TRAININGS.rglob("*.parquet")}
    assert after == before

    check_mlflow(project)

    shutil.move(PLACE / "models/.training/simulation/chains", "elsewhere")
    shutil.rmtree(PLACE / "models")
    real = ("--played", "elsewhere", "--real", "real.csv")
    shutil.copy(REPORT / "points.csv", "real.csv")
    assert main(["simulate", "--preset", "ci", *real]) == 1
    assert "real.csv is of the learner 'proxy', not 'tfod'" in capfd.readouterr().err
    points.assign(learner="tfod").to_csv("real.csv", index=False)
    assert main(["simulate", "--preset", "ci", *real]) == 0
    assert not TRAININGS.exists()
    assert "rank_correlation_with_real" not in summary
    again = json.loads((PLACE / "reports/simulation.json").read_text())
    assert again.pop("rank_correlation_with_real") == 1.0, "of a campaign with itself"
    assert again == summary
    assert pd.read_csv(REPORT / "points.csv").equals(points)


def check_mlflow(project):
    """One run for the campaign with the page, and one inside for each arm with its curve."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlruns/mlflow.db")
    (experiment,) = (one for one in client.search_experiments() if one.name != "Default")
    runs = client.search_runs([experiment.experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert len(parents) == 1, "the same campaign is the same run"
    inside = {run.data.tags["lungal.arm"]: run for run in runs if run not in parents}
    assert set(inside) == set(SMALL)
    curve = client.get_metric_history(inside["claspd"].info.run_id, "score")
    assert {point.step for point in curve} == {8, 12}
    files = {
        file.path for file in client.list_artifacts(parents[0].info.run_id, "simulation/simulation")
    }
    assert "simulation/simulation/report.html" in files


def test_the_curves_and_bands_of_several_seeds_are_logged(project, monkeypatch):
    from mlflow import MlflowClient

    uri = f"sqlite:///{project}/mlruns.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    Path("params.yaml").write_text(yaml.safe_dump(preset.read_preset("ci")))
    write_nothing()  # what it logs as files
    scores = {
        ("stratified_random", 0): (0.2, 0.3),
        ("stratified_random", 1): (0.3, 0.4),
        ("claspd", 0): (0.2, 0.5),
        ("claspd", 1): (0.3, 0.7),
    }
    points = [
        Point(arm, seed, number, 8 + 4 * number, 9, 60.0, score, (score,) * 8)
        for (arm, seed), curve in scores.items()
        for number, score in enumerate(curve)
    ]
    log(judge(points), points, load_params(Path("params.yaml")), {})
    client = MlflowClient(uri)
    (run,) = client.search_runs(
        [one.experiment_id for one in client.search_experiments()],
        "tags.`lungal.arm` = 'claspd'",
    )
    logged = {
        name: {at.step: at.value for at in client.get_metric_history(run.info.run_id, name)}
        for name in ("low", "score", "high")
    }
    # 0.2 and 0.3 ahead: 0.25, give or take 12.706 (t of one degree of freedom) times 0.05.
    assert logged["score"] == {8: 0.25, 12: 0.6}
    assert logged["low"] == {8: 0.25, 12: pytest.approx(0.6 - 0.6353, abs=1e-4)}
    assert logged["high"] == {8: 0.25, 12: pytest.approx(0.6 + 0.6353, abs=1e-4)}


@pytest.mark.parametrize("name", preset.preset_names())
def test_presets_are_whole_parameter_files(name, tmp_path):
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(preset.read_preset(name)))
    params = load_params(tmp_path / "params.yaml")
    names = {arm.name for arm in arms_of(params)}
    assert {"stratified_random", "least_confidence"} <= names
    # The confirmation on NIH asks about the candidate alone: each arm costs an hour.
    assert "random" in names or name == "nih_trainer"
    assert params.simulate.seeds


def test_nothing_is_claimed_on_the_films_that_strategies_were_tried_on():
    def films(name):
        return preset.read_preset(name)["data"]["phantom"]["seed"]

    assert films("phantom") not in {films("phantom_proxy"), films("ci"), 0, 1, 2, 3}


def test_the_presets_are_those_that_the_help_names():
    assert preset.preset_names() == ["ci", "nih", "nih_trainer", "phantom", "phantom_proxy"]
    known = "ci, nih, nih_trainer, phantom, phantom_proxy"
    with pytest.raises(UnknownNameError, match=f"preset 'other'.*{known}"):
        preset.read_preset("other")


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-2", [0, 1, 2]), ("3", [3]), ("0,2-3, 2", [0, 2, 3])]
)
def test_seeds_are_named_one_by_one_or_from_to(text, seeds):
    assert parse_seeds(text) == seeds


@pytest.mark.parametrize("text", ["", "a", "1-", "-1", "1,,2", "1.5", "4-0", "0,3-2"])
def test_other_seeds_are_one_clear_line(text):
    with pytest.raises(ParamsError, match="is not like 0-4"):
        parse_seeds(text)


def test_options_of_presets_need_one(project, capsys):
    assert main(["simulate", "--seeds", "0-1"]) == 2
    assert "--seeds is for presets" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--played", "--root"])
def test_a_folder_that_is_not_there_is_one_clear_line(project, capsys, option):
    assert main(["simulate", "--preset", "ci", option, "nowhere"]) == 2
    assert f"{option} nowhere is not a folder" in capsys.readouterr().err


def test_outside_of_a_project_nothing_is_played(project, capsys):
    Path("dvc.yaml").unlink()
    assert main(["simulate", "--preset", "ci"]) == 2
    assert "dvc.yaml is missing; run from the root of a lungal project" in capsys.readouterr().err
    assert not Path(".simulations").exists()


def test_points_that_are_not_there_are_one_clear_line(project, capsys):
    assert main(["simulate", "--preset", "ci", "--real", "nowhere.csv"]) == 2
    assert "--real nowhere.csv is not a file" in capsys.readouterr().err


def test_the_real_trainer_is_not_compared_with_itself(project):
    params = load_params(Path("params.yaml"))
    assert read_real(params, None) is None
    with pytest.raises(ParamsError, match="compared with one of the proxy"):
        read_real(params, "points.csv")


def test_another_learner_plays_beside_the_preset(project, monkeypatch):
    monkeypatch.setattr("lungal.cli.simulate._run", lambda *_: None)
    assert main(["simulate", "--preset", "phantom", "--learner", "proxy"]) == 0
    params = load_params(Path(".simulations/phantom_with_proxy/params.yaml"))
    assert params.simulate.learner == "proxy"


@pytest.fixture
def stages(monkeypatch):
    """The stages that are run, which do nothing; one that is in `broken` fails."""
    ran, broken = [], set()

    def run(stage, place, environment):
        ran.append(stage)
        if stage in broken:
            raise LungalError(f"the stage `{stage}` was killed by signal 9")

    monkeypatch.setattr("lungal.cli.simulate._run", run)
    return ran, broken


def folder_of_films(path, *names):
    path.mkdir()
    for name in names:
        (path / name).write_text(name)
    return path


def test_films_are_taken_in_again_when_their_folder_has_changed(project, monkeypatch, stages):
    ran, _ = stages
    one = folder_of_films(project / "one", "BBox_List_2017.csv", "00000001_000.png")
    play = ("simulate", "--preset", "nih", "--root", str(one))
    assert main(play) == main(play) == 0
    assert ran == ["ingest", "split", "simulate", "simulate"]
    (one / "images").mkdir()
    (one / "images/00000002_000.png").touch()
    ran.clear()
    assert main(play) == 0
    assert ran == ["ingest", "split", "simulate"]
    two = folder_of_films(project / "two", "BBox_List_2017.csv")
    for root in (one, two):
        ran.clear()
        monkeypatch.setenv("LUNGAL_NIH_ROOT", str(root.relative_to(project)))
        assert main(play[:3]) == 0
        params = load_params(Path(".simulations/nih/params.yaml"))
        assert params.data.root == root, "and not as it is called from where the command runs"
    assert ran == ["ingest", "split", "simulate"]


def test_phantoms_that_are_drawn_otherwise_now_are_drawn_again(project, monkeypatch, stages):
    ran, _ = stages
    play = ("simulate", "--preset", "phantom")
    assert main(play) == main(play) == 0
    assert ran == ["ingest", "split", "simulate", "simulate"]
    real = ("simulate", "--preset", "nih", "--root", str(folder_of_films(project / "one", "x.csv")))
    assert main(real) == 0
    monkeypatch.setattr("lungal.data.sources.phantom.DRAWING", 99)
    ran.clear()
    assert main(play) == main(real) == 0
    assert ran == ["ingest", "split", "simulate", "simulate"]


def test_films_of_a_stage_that_was_killed_are_not_taken_for_whole(project, stages):
    ran, broken = stages
    one, two = (folder_of_films(project / name, "BBox_List_2017.csv") for name in ("one", "two"))
    play = ("simulate", "--preset", "nih", "--root")
    assert main([*play, str(one)]) == 0
    broken.add("split")
    assert main([*play, str(two)]) == 1
    broken.clear()
    ran.clear()
    assert main([*play, str(one)]) == 0
    assert ran == ["ingest", "split", "simulate"]


def test_a_project_that_plays_nothing_says_so(project, capfd):
    assert main(["simulate"]) == 0
    said = capfd.readouterr()
    assert "nothing to do" in said.err
    assert said.out == "", "there is no page"
    assert json.loads(Path("reports/simulation.json").read_text()) == {}


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ({"strategie": "entropy"}, "simulate.arms.odd: strategie"),
        ({"aggregate": "median"}, "simulate.arms.odd: aggregate"),
        ({"control": "god"}, "simulate.arms.odd.control is 'god', not shuffled or oracle"),
    ],
)
def test_an_arm_that_is_misspelt_is_one_clear_line(project, capfd, arm, says):
    document = yaml.safe_load(Path("params.yaml").read_text())
    document["simulate"]["arms"]["odd"] = arm
    Path("params.yaml").write_text(yaml.safe_dump(document))
    assert main(["simulate"]) == 2
    said = capfd.readouterr().err
    assert says in said
    assert said.count("\n") == 1


def put_in_place_of_the_stage(project, *lines):
    """Let `lungal simulate` run these lines and no campaign."""
    (project / "pipelines").mkdir()
    (project / "pipelines/__init__.py").touch()
    (project / "pipelines/simulate.py").write_text("\n".join(("import os, signal, time", *lines)))


def test_a_stage_that_is_killed_says_nothing_so_the_command_does(project, capsys):
    put_in_place_of_the_stage(project, "os.kill(os.getpid(), signal.SIGKILL)")
    assert main(["simulate"]) == 1
    assert capsys.readouterr().err == "lungal: the stage `simulate` was killed by signal 9\n"


def test_a_kill_of_the_command_ends_the_campaign_too(project):
    put_in_place_of_the_stage(
        project, "open('pid', 'w').write(f'{os.getpid()}\\n')", "time.sleep(600)"
    )
    command = [sys.executable, "-m", "lungal.cli", "simulate"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as played:
        pid = Path("pid")
        until = time.monotonic() + 60
        while not (pid.exists() and pid.read_text().endswith("\n")):
            assert time.monotonic() < until, "the stage never began"
            time.sleep(0.1)
        played.terminate()
        assert played.communicate()[1] == "lungal: the stage `simulate` was killed by signal 15\n"
    assert played.returncode == 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
