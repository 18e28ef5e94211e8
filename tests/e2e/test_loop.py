"""The whole loop, played for two rounds by the commands that people use, and looked at after."""

import base64
import json
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from played_project import BUDGET, PSEUDONYM_KEY, TINY, TITLE, Project, make_project

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import STREAM
from lungal.data.annotations import read_log
from lungal.data.detections import read_detections
from lungal.data.labels import films, pool
from lungal.records import CLASSES, Annotation

pytestmark = [pytest.mark.slow, pytest.mark.label_studio, pytest.mark.timeout(2400)]

ROUNDS = pytest.mark.parametrize("number", [1, 2])
DETERMINISTIC = (
    *("ingest", "split", "label", "records"),
    *("evaluate", "crossfit", "select", "readers", "simulate"),
)
REGISTERED = "lungal-detector"


@pytest.fixture(scope="session")
def played(label_studio_server: LocalServer, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project in which two rounds have been played and the third's readings are open."""
    status = label_studio_server.status()
    assert status is not None
    token = label_studio_server.credentials().token
    project = make_project(tmp_path_factory.mktemp("loop"), status.url, token)
    project.play(1)
    project.read()
    project.play(2)
    return project


# git and DVC


def test_the_copied_code_ran_and_not_the_installed(played: Project) -> None:
    where = "import lungal, pipelines; print(lungal.__file__, pipelines.__file__)"
    for found in played.do("python", "-c", where, cwd=Path("/")).split():
        assert Path(found).is_relative_to(played.folder)


def test_nothing_is_left_to_do(played: Project) -> None:
    assert played.do("dvc", "status").strip() == "Data and pipelines are up to date."
    again = played.do("dvc", "repro")
    assert "Running stage" not in again
    assert "Stage 'train' didn't change, skipping" in again
    assert played.do("git", "status", "--porcelain") == ""


def test_the_history_has_the_rounds(played: Project) -> None:
    history = played.do("git", "log", "--reverse", "--format=%s").splitlines()
    assert history == ["code", "params", "round 1", "queue 1", "readings", "round 2", "queue 2"]


def test_new_readings_spared_what_they_do_not_touch(played: Project) -> None:
    before, after = played.hashes("round 1"), played.hashes("round 2")
    changed = {path for path in after if before[path] != after[path]}
    assert {"data/labels.parquet", "data/records/train", "models/detector"} <= changed
    same = {"data/images", "data/manifest.parquet", "data/splits.parquet", "data/records/val"}
    assert not changed & same


def test_metrics_can_be_compared_between_rounds(played: Project) -> None:
    shown = played.do("dvc", "metrics", "diff", "--all", "--json", "HEAD~2")
    differences = json.loads(shown)["reports/metrics.json"]
    before, after = (played.at(f"round {n}", "reports/metrics.json") for n in (1, 2))
    for name in ("macro_ap30", "macro_ap40", "macro_ap50"):
        found = differences[f"test.{name}"]
        assert (found["old"], found["new"]) == (before["test"][name], after["test"][name])
    assert differences["round"]["diff"] == 1
    assert differences["labelled_films"]["diff"] == BUDGET
    assert "test.macro_ap40" in played.do("dvc", "metrics", "diff", "--all", "HEAD~2")


def test_params_can_be_compared_between_commits(played: Project) -> None:
    shown = json.loads(played.do("dvc", "params", "diff", "--json", played.commits["code"]))
    films_now = TINY["data"]["phantom"]["films"]
    assert shown["params.yaml"]["data.phantom.films"]["new"] == films_now
    assert json.loads(played.do("dvc", "params", "diff", "--json", "HEAD~2")) == {}


def test_plots_can_be_shown(played: Project, tmp_path: Path) -> None:
    played.do("dvc", "plots", "show", "--out", tmp_path)
    page = (tmp_path / "index.html").read_text()
    titles = ("Average precision per class", "Precision and recall", "Confusion", "Search")
    for title in (*titles, "Sensitivity at false positives a film"):
        assert title in page
    assert list(tmp_path.rglob("*gallery.png"))


def test_the_first_round_can_be_checked_out_again(played: Project, tmp_path: Path) -> None:
    then = tmp_path / "then"
    played.do("git", "worktree", "add", "--detach", then, played.commits["round 1"])
    try:
        played.do("dvc", "cache", "dir", "--local", played.folder / ".dvc/cache", cwd=then)
        played.do("dvc", "checkout", cwd=then)
        assert "up to date" in played.do("dvc", "status", cwd=then)
        model = json.loads((then / "models/detector/run.json").read_text())
        selection = pd.read_csv(then / "data/selection.csv")
    finally:
        played.do("git", "worktree", "remove", "--force", then)
    assert model["round"] == 1
    assert set(selection["model_version"]) == {model["model_version"]}


def test_a_clone_pulls_the_same_data(played: Project, tmp_path: Path) -> None:
    remote, clone = tmp_path / "remote", tmp_path / "clone"
    for where in (played.folder, clone):
        if where == clone:
            played.do("git", "clone", "--quiet", played.folder, clone)
        played.do("dvc", "remote", "add", "--local", "--default", "folder", remote, cwd=where)
        played.do("dvc", "push" if where == played.folder else "pull", cwd=where)
    played.do("dvc", "remote", "remove", "--local", "folder")
    assert "up to date" in played.do("dvc", "status", cwd=clone)
    for name in ("data/labels.parquet", "models/detector/saved_model/saved_model.pb"):
        assert (clone / name).read_bytes() == (played.folder / name).read_bytes()
    assert len(list((clone / "data/images").iterdir())) == TINY["data"]["phantom"]["films"]


# labels


@pytest.fixture(scope="session")
def readings(played: Project) -> list[Annotation]:
    return read_log(played.folder / "data/annotations.jsonl")


def test_the_readings_are_of_the_films_that_were_queued(
    played: Project, readings: list[Annotation]
) -> None:
    chosen = played.do("git", "show", f"{played.commits['round 1']}:data/annotations.jsonl")
    assert chosen == "", "readings before anyone read"
    assert len(readings) == BUDGET
    assert {reading.round for reading in readings} == {1}
    first = {reading.model_version for reading in readings}
    assert first == {played.at("round 1", "reports/metrics.json")["model_version"]}


def test_what_was_read_is_labelled_and_has_left_the_pool(
    played: Project, readings: list[Annotation]
) -> None:
    before, after = played.labels[1], played.labels[2]
    read = {reading.image_id for reading in readings}
    assert read <= set(pool(before))
    assert set(pool(after)) == set(pool(before)) - read
    by_film = after.set_index("image_id")
    for reading in readings:
        film = by_film.loc[reading.image_id]
        assert (film["state"], film["origin"]) == ("labelled", "reader")
        assert len(film["boxes"]) == len(reading.boxes)
    initial = TINY["label"]["initial"]
    assert [len(films(played.labels[n], "train", "labelled")) for n in (1, 2)] == [
        initial,
        initial + BUDGET,
    ]


def test_held_out_films_are_untouched(played: Project) -> None:
    held_out = [
        labels[labels["split"] != "train"].reset_index(drop=True)
        for labels in played.labels.values()
    ]
    assert not held_out[0].empty
    pd.testing.assert_frame_equal(*held_out)
    assert not set(pool(played.labels[2])) & set(held_out[1]["image_id"])


def test_the_status_shows_both_rounds(played: Project) -> None:
    shown = played.do("lungal", "status")
    for number in (1, 2):
        metrics = played.at(f"round {number}", "reports/metrics.json")
        (row,) = [
            line for line in shown.splitlines() if metrics["model_version"] in line and "│" in line
        ]
        cells = [cell.strip() for cell in row.strip("│ ").split("│")]
        assert cells[:2] == [str(number), str(metrics["labelled_films"])]
        assert cells[4] == f"{metrics['test']['macro_ap40']:.3f}"
        assert ("none yet" in row) == (number == 2)
    assert f"{BUDGET} readings" in shown
    assert f"queue of round 2: {BUDGET} films chosen, {BUDGET} not read yet" in shown


# Label Studio


@pytest.fixture(scope="session")
def tasks(played: Project) -> Iterator[list[dict[str, Any]]]:
    """Return what the data manager shows, in its order; the stream's next task comes in front."""
    store = LabelStudio(
        played.environment["LABEL_STUDIO_URL"],
        played.environment["LABEL_STUDIO_API_KEY"],
        TITLE,
        pseudonyms=Pseudonyms(PSEUDONYM_KEY.encode()),
    )
    with closing(store):
        project = store.project_id()
        assert project is not None
        (view,) = store.http.get("/api/dm/views", params={"project": project}).json()
        query = {"project": project, "view": view["id"], "fields": "all", "page_size": 100}
        shown = list(store.http.get("/api/tasks", params=query).json()["tasks"])
        streamed = store.next_task(project)
        assert streamed is not None
        yield [streamed, *shown]


def of_round(tasks: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [task for task in tasks[1:] if task["data"]["round"] == number]


def test_the_first_round_is_read_and_the_second_is_not(tasks: list[dict[str, Any]]) -> None:
    assert [task["total_annotations"] for task in of_round(tasks, 1)] == [1] * BUDGET
    assert [task["total_annotations"] for task in of_round(tasks, 2)] == [0] * BUDGET
    assert len(tasks[1:]) == 2 * BUDGET


def test_the_most_uncertain_film_comes_first(played: Project, tasks: list[dict[str, Any]]) -> None:
    selection = pd.read_csv(played.folder / "data/selection.csv", dtype={"image_id": str})
    pseudonym = Pseudonyms(PSEUDONYM_KEY.encode()).film
    chosen = [pseudonym(image_id) for image_id in selection.sort_values("rank")["image_id"]]
    queued = [task["data"]["film"] for task in of_round(tasks, 2)]
    assert sorted(queued) == sorted(chosen)
    uncertainty = [task["data"]["uncertainty"] for task in of_round(tasks, 2)]
    assert uncertainty == sorted(uncertainty, reverse=True)
    assert tasks[0]["data"]["film"] == chosen[0]


def test_the_model_s_boxes_are_drawn(played: Project, tasks: list[dict[str, Any]]) -> None:
    pseudonym = Pseudonyms(PSEUDONYM_KEY.encode()).film
    seen = {
        pseudonym(found.image_id): found
        for found in read_detections(played.folder / "data/detections/pool.parquet")
    }
    version = played.at("round 2", "reports/metrics.json")["model_version"]
    threshold = TINY["queue"]["draw_threshold"]
    drawn = 0
    for task in of_round(tasks, 2):
        (prediction,) = task["predictions"]
        assert prediction["model_version"] == STREAM
        assert task["data"]["model_version"] == version
        expected = min(10, len(seen[task["data"]["film"]].above(threshold)))
        assert len(prediction["result"]) == expected
        drawn += expected
    assert drawn > 0, "so short a training found nothing at all: nothing was tested"


# MLflow


@dataclass(frozen=True)
class Tracked:
    """What MLflow knows: the rounds' runs by number, their nested ones, the registered versions."""

    client: Any
    runs: list[Any]
    rounds: dict[int, list[Any]]
    versions: list[Any]

    def only(self, number: int) -> Any:
        (run,) = self.rounds[number]
        return run

    def nested(self, number: int) -> list[Any]:
        parent = self.only(number).info.run_id
        return [run for run in self.runs if run.data.tags.get("mlflow.parentRunId") == parent]

    def curve(self, run: Any, name: str) -> list[int]:
        """Return the steps of a metric."""
        points = self.client.get_metric_history(run.info.run_id, name)
        return sorted({point.step for point in points})

    def artifacts(self, run: Any) -> set[str]:
        waiting, found = [None], set()
        while waiting:
            for entry in self.client.list_artifacts(run.info.run_id, waiting.pop()):
                found.add(entry.path)
                waiting += [entry.path] if entry.is_dir else []
        return found


def ask_mlflow(project: Project) -> Tracked:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=project.tracking_uri)
    (experiment,) = client.search_experiments(filter_string="name = 'lungal'")
    runs = list(client.search_runs([experiment.experiment_id]))
    rounds: dict[int, list[Any]] = {}
    for run in runs:
        if "mlflow.parentRunId" not in run.data.tags:
            rounds.setdefault(int(run.data.tags["lungal.round"]), []).append(run)
    versions = sorted(
        client.search_model_versions(f"name = '{REGISTERED}'"), key=lambda v: int(v.version)
    )
    return Tracked(client, runs, rounds, versions)


@pytest.fixture(scope="session")
def tracked(played: Project) -> Tracked:
    return ask_mlflow(played)


def test_a_round_is_one_run_with_its_trials_nested(tracked: Tracked, played: Project) -> None:
    assert {number: len(runs) for number, runs in tracked.rounds.items()} == {1: 1, 2: 1}
    for number in (1, 2):
        assert tracked.only(number).info.status == "FINISHED"
        trials = tracked.nested(number)
        assert len(trials) == 2
        for trial in trials:
            assert tracked.curve(trial, "val/macro_ap40")
            assert "learning_rate" in trial.data.params
    assert not list((played.folder / "mlruns/outbox").glob("*.jsonl")), "something was not sent"


@ROUNDS
def test_a_run_has_params_curves_and_figures(tracked: Tracked, number: int) -> None:
    run = tracked.only(number)
    assert run.data.params["model.architecture"] == "ssd_mobilenet_v2"
    assert run.data.params["tuned.steps"] == "20"
    assert tracked.curve(run, "train/total_loss") == [10, 20]
    assert tracked.curve(run, "val/macro_ap40") == [10, 20]
    assert any(name.startswith("system/cpu") for name in run.data.metrics)
    names = ("gallery", "precision_recall", "froc", "confusion", "average_precision")
    plots = {f"{name}.png" for name in names}
    wanted = {f"plots/{name}" for name in plots} | {"tuning/best.yaml", "pipeline.config"}
    assert wanted <= tracked.artifacts(run)


@ROUNDS
def test_a_run_says_what_it_was_made_of(tracked: Tracked, played: Project, number: int) -> None:
    run = tracked.only(number)
    inputs = {
        (given.dataset.name, tag.value)
        for given in run.inputs.dataset_inputs
        for tag in given.tags
        if tag.key == "mlflow.data.context"
    }
    assert {
        ("data/records/train", "training"),
        ("data/records/val", "validation"),
        ("data/labels.parquet", "testing"),
    } <= inputs
    before = {1: "params", 2: "readings"}[number]
    assert run.data.tags["mlflow.source.git.commit"] == played.commits[before]
    hashes = played.hashes(f"round {number}")
    for path in ("data/labels.parquet", "data/records/train", "models/detector"):
        assert run.data.tags[f"dvc.{path}"] == hashes[path]


@ROUNDS
def test_a_run_s_figures_are_those_of_the_report(
    tracked: Tracked, played: Project, number: int
) -> None:
    reported = played.at(f"round {number}", "reports/metrics.json")["test"]["macro_ap40"]
    assert tracked.only(number).data.metrics["test/macro_ap40"] == pytest.approx(reported)


def test_each_round_registered_its_model(tracked: Tracked, played: Project) -> None:
    names = [version.tags["lungal.model_version"] for version in tracked.versions]
    expected = [played.at(f"round {n}", "reports/metrics.json")["model_version"] for n in (1, 2)]
    assert names == expected
    assert [v.run_id for v in tracked.versions] == [tracked.only(n).info.run_id for n in (1, 2)]
    aliases = tracked.client.get_registered_model(REGISTERED).aliases
    assert aliases["candidate"] == tracked.versions[-1].version


LOOK = """
import base64, json, sys
import mlflow, pandas as pd
uri = "models:/lungal-detector@candidate"
films = [base64.b64decode(text) for text in json.load(sys.stdin)]
signature = mlflow.models.get_model_info(uri).signature
found = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"image": films}))
import lungal
print(json.dumps({"signature": signature.to_dict(), "rows": found.to_dict("records"),
                  "columns": list(found.columns), "code": lungal.__file__}))
"""


def test_the_registered_model_serves(played: Project, tmp_path: Path) -> None:
    """Loaded by MLflow alone, far from the project: the model brings the code that it needs."""
    paths = sorted((played.folder / "data/images").iterdir())[:2]
    environment = {k: v for k, v in played.environment.items() if k != "PYTHONPATH"}
    elsewhere = Project(tmp_path, environment | {"MLFLOW_TRACKING_URI": played.tracking_uri})
    encoded = json.dumps([base64.b64encode(path.read_bytes()).decode() for path in paths])
    answer = json.loads(elsewhere.do(sys.executable, "-c", LOOK, given=encoded).splitlines()[-1])
    assert not Path(answer["code"]).is_relative_to(Path(__file__).parents[2])
    assert [column["name"] for column in json.loads(answer["signature"]["inputs"])] == ["image"]
    assert answer["columns"] == ["image", "label", "score", "x1", "y1", "x2", "y2"]
    assert {row["image"] for row in answer["rows"]} == {0, 1}
    for row in answer["rows"]:
        assert row["label"] in CLASSES
        assert 0 < row["score"] <= 1
        assert 0 <= row["x1"] <= row["x2"] <= 1024
        assert 0 <= row["y1"] <= row["y2"] <= 1024


def test_the_first_model_is_champion_until_a_better_one_comes(
    played: Project, tracked: Tracked
) -> None:
    first, second = (played.promotions[number] for number in (1, 2))
    assert first.returncode == 0, first.stderr
    assert "first champion" in first.stderr
    ap = [played.at(f"round {n}", "reports/metrics.json")["test"]["macro_ap40"] for n in (1, 2)]
    better = ap[1] > ap[0]
    assert second.returncode == (0 if better else 1), second.stderr
    assert ("not promoted" in second.stderr) != better
    champion = tracked.client.get_registered_model(REGISTERED).aliases["champion"]
    assert champion == tracked.versions[1 if better else 0].version


# Once more, what is up to date already: last, as it is no part of the two rounds


@dataclass(frozen=True)
class Again:
    """Before and after: dvc.lock's hashes, and what MLflow holds."""

    hashes: tuple[dict[str, str], dict[str, str]]
    tracked: tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="session")
def again(played: Project, tracked: Tracked) -> Again:
    before = played.hashes("round 2"), census(tracked)
    played.do("dvc", "repro", "--force", "--single-item", *DETERMINISTIC)
    return Again((before[0], played.hashes(None)), (before[1], census(ask_mlflow(played))))


def census(tracked: Tracked) -> dict[str, Any]:
    return {
        "runs": sorted(run.info.run_id for run in tracked.runs),
        "versions": [version.version for version in tracked.versions],
        "inputs": {n: len(tracked.only(n).inputs.dataset_inputs) for n in (1, 2)},
        "status": {n: tracked.only(n).info.status for n in (1, 2)},
    }


def test_stages_give_the_same_bytes_again(again: Again) -> None:
    before, after = again.hashes
    assert {path for path in before if before[path] != after[path]} == set()


def test_a_stage_that_runs_again_doubles_nothing_in_mlflow(again: Again) -> None:
    assert again.tracked[0] == again.tracked[1]
