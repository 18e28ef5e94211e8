"""Two whole rounds in a project of its own: this working tree's files, git, DVC, MLflow, readers.

Everything runs as a person would run it, in processes of their own, on tiny films.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from lungal.data.labels import read_labels

REPOSITORY = Path(__file__).resolve().parents[2]
BUDGET = 4
PSEUDONYM_KEY = "the key of a project in a test"
TITLE = "played in a test"  # of the Label Studio project: others use the same server

Done = subprocess.CompletedProcess[str]
Command = str | Path

TINY: dict[str, Any] = {
    "data": {"phantom": {"films": 48}},
    "label": {"initial": 16},
    # Whatever so short a training finds is uncertain enough to choose by, and is drawn.
    "select": {"budget": BUDGET, "score_threshold": 0.01},
    "queue": {"project": TITLE, "draw_threshold": 0.01, "blind_fraction": 0.0},
    "evaluate": {"bootstrap": 20, "gallery": 4},
    "records": {"shards": 2},
    "profiles": {
        "demo": {
            "model": {
                "architecture": "ssd_mobilenet_v2",
                "input_size": 96,
                "depth_multiplier": 0.35,
            },
            "train": {
                "steps": 20,
                "warmup_steps": 5,
                "learning_rate": 0.01,
                "batch_norm_decay": 0.8,
                "batch_size": 4,
                "validate_every": 10,
            },
            "tune": {"trials": 2, "steps": 4, "validate_every": 2},
        }
    },
}


@dataclass
class Project:
    """A project's folder, the environment its commands run in, and what became of two rounds.

    Attributes:
        commits: by what each holds: "code", "params", "round 1", "queue 1", "readings", ....
        labels: data/labels.parquet as it was after each round's `dvc repro`.
        promotions: how `lungal promote` ended after each round.
    """

    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    commits: dict[str, str] = field(default_factory=dict)
    labels: dict[int, pd.DataFrame] = field(default_factory=dict, repr=False)
    promotions: dict[int, Done] = field(default_factory=dict, repr=False)

    @property
    def tracking_uri(self) -> str:
        return f"sqlite:///{self.folder}/mlruns/mlflow.db"

    def run(self, *command: Command, cwd: Path | None = None, given: str = "") -> Done:
        """Run a command, whatever comes of it; `given` is what it reads."""
        return subprocess.run(
            list(map(str, command)),
            input=given,
            cwd=cwd or self.folder,
            env=dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
        )

    def do(self, *command: Command, cwd: Path | None = None, given: str = "") -> str:
        """Run a command that must succeed; return what it printed."""
        done = self.run(*command, cwd=cwd, given=given)
        if done.returncode:
            raise AssertionError(
                f"{' '.join(map(str, command))}: exit code {done.returncode}\n"
                f"{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
            )
        return done.stdout

    def commit(self, name: str) -> None:
        self.do("git", "add", "--all")
        self.do("git", "commit", "--quiet", "--message", name)
        self.commits[name] = self.do("git", "rev-parse", "HEAD").strip()

    def at(self, commit: str | None, path: str) -> Any:
        """Return a YAML or JSON file of a commit, or as it lies here, parsed."""
        if commit is None:
            text = (self.folder / path).read_text()
        else:
            text = self.do("git", "show", f"{self.commits[commit]}:{path}")
        return YAML(typ="safe").load(text)

    def hashes(self, commit: str | None) -> dict[str, str]:
        """Return DVC's hash of each output at a commit, or as it is now, by path."""
        stages = self.at(commit, "dvc.lock")["stages"].values()
        return {out["path"]: out["md5"] for stage in stages for out in stage.get("outs", [])}

    def play(self, number: int) -> None:
        """Play a round up to the queue."""
        self.do("dvc", "repro")
        self.commit(f"round {number}")
        self.labels[number] = read_labels(self.folder / "data/labels.parquet")
        self.promotions[number] = self.run("lungal", "promote")
        self.do("lungal", "queue")
        self.commit(f"queue {number}")

    def read(self) -> None:
        """Let a scripted reader answer, and bring the answers home."""
        self.do("lungal", "answer")
        self.do("lungal", "pull")
        self.commit("readings")


def make_project(home: Path, label_studio_url: str, label_studio_token: str) -> Project:
    """Lay a project out in `home`/project: the working tree's code as it is, and tiny parameters.

    No round is played. What has been played in the working tree stays behind.
    """
    folder = home / "project"
    _copy_working_tree(folder)
    kept_out = ("LABEL_STUDIO_", "LUNGAL_", "MLFLOW_", "DVC_", "GIT_", "VIRTUAL_ENV", "COLUMNS")
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(kept_out)}
    project = Project(
        folder,
        inherited
        | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder),  # this copy's code, not the one that is installed
            "COLUMNS": "200",
            "LABEL_STUDIO_URL": label_studio_url,
            "LABEL_STUDIO_API_KEY": label_studio_token,
            "LUNGAL_PSEUDONYM_KEY": PSEUDONYM_KEY,
            "DVC_SITE_CACHE_DIR": str(home / "dvc-site-cache"),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            **{f"GIT_{who}_NAME": "A Tester" for who in ("AUTHOR", "COMMITTER")},
            **{f"GIT_{who}_EMAIL": "tester@lungal.invalid" for who in ("AUTHOR", "COMMITTER")},
        },
    )
    project.do("git", "init", "--quiet", "--initial-branch", "main")
    project.commit("code")
    _change(folder / "params.yaml", TINY)
    project.commit("params")
    return project


def _copy_working_tree(folder: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (REPOSITORY / name).is_file():  # not one that was deleted and is still in the index
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(REPOSITORY / name, folder / name)
    reports = ("metrics", "ingest", "readers", "simulation")
    for played in ("dvc.lock", *(f"reports/{name}.json" for name in reports)):
        (folder / played).unlink(missing_ok=True)
    for grown in ("annotations", "queue"):
        (folder / f"data/{grown}.jsonl").write_text("")


def _change(params: Path, changes: Mapping[str, Any]) -> None:
    yaml = YAML()
    document = yaml.load(params)
    _merge(document, changes)
    yaml.dump(document, params)


def _merge(into: Any, changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping):
            _merge(into[key], value)
        else:
            assert key in into, key
            into[key] = value
