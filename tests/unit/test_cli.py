"""The command line's edge: help, usage errors, errors as one line, and what the doctor says."""

import importlib.metadata
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer
from plugins.changed_params import change_params
from rich.console import Console

from lungal.cli import main
from lungal.cli.demo import READERS, Playground, read_round
from lungal.cli.doctor import Finding, examine
from lungal.cli.git import ask_git, git
from lungal.cli.main import app
from lungal.data.manifest import write_truth
from lungal.errors import (
    INTERRUPTED,
    DetectorError,
    LungalError,
    ParamsError,
    ServerError,
    SourceError,
    TokenError,
)

REPOSITORY = Path(__file__).resolve().parents[2]


def walk(command: Any, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(inner, *path, name)


COMMANDS = list(walk(typer.main.get_command(app)))
HEAVY = ("tensorflow", "mlflow", "optuna", "label_studio_sdk", "matplotlib", "sklearn", "dvc")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working directory a project in which nothing has been played."""
    for name in ("LABEL_STUDIO_URL", "LABEL_STUDIO_API_KEY", "LUNGAL_NIH_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "200")
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


# help


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    said = capsys.readouterr()
    (usage,) = [line for line in said.out.splitlines() if "Usage:" in line]
    assert f"{' '.join(command)} [" in usage
    assert said.err == ""


def test_the_arrows_of_the_loop_are_there() -> None:
    assert {("queue",), ("pull",), ("status",), ("label-studio", "start")} <= set(COMMANDS)
    assert {("readers",), ("label-studio", "invite"), ("answer",)} <= set(COMMANDS)


def test_help_imports_nothing_heavy() -> None:
    calls = "".join(f"main({[*command, '--help']!r});" for command in COMMANDS)
    check = f"print('heavy:', sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; from lungal.cli import main; {calls} {check}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    assert done.stdout.splitlines()[-1] == "heavy: []"


# errors


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nonsense"], "nonsense"),
        (["data", "nonsense"], "nonsense"),
        (["queue", "--nonsense"], "--nonsense"),
        (["detect"], "paths"),
        (["promote", "--iou", "7"], "--iou"),
        (["answer", "--limit", "many"], "--limit"),
        (["answer", "--wrong-class", "2"], "--wrong-class"),
    ],
)
def test_wrong_usage_is_one_line(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert said.startswith("lungal: ")
    assert named in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LungalError("a"), 1),
        (DetectorError("b"), 1),
        (ParamsError("c"), 2),
        (ServerError("d"), 3),
        (TokenError("e"), 3),
    ],
)
def test_an_error_is_one_line_and_its_exit_code(
    error: LungalError,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("lungal.cli.project.load_paths", raising(error))
    assert main(["status"]) == code
    assert capsys.readouterr().err == f"lungal: {error}\n"


def test_ctrl_c_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lungal.cli.project.load_paths", raising(KeyboardInterrupt()))
    assert main(["status"]) == INTERRUPTED == 130
    assert capsys.readouterr().err == "lungal: interrupted\n"


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lungal.cli.project.load_paths", raising(ZeroDivisionError("a defect")))
    with pytest.raises(ZeroDivisionError, match="a defect"):
        main(["status"])


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("command", ["queue", "pull", "status", "answer", "readers"])
def test_outside_of_a_project_a_command_says_so(
    command: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([command]) == 2
    said = capsys.readouterr().err
    assert "dvc.yaml is missing; run from the root of a lungal project" in said
    assert said.count("\n") == 1


# the doctor


def findings(project: Path) -> dict[str, Finding]:
    return {finding.what: finding for finding in examine(project)}


def test_the_doctor_looks_at_everything_and_says_how_to_mend(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor"]) == 1  # MLflow is away
    rows = {
        cells[0]: cells[1:]
        for line in capsys.readouterr().out.splitlines()
        if len(cells := [cell.strip() for cell in line.strip("│").split("│")]) == 4
    }
    assert {"python", "tensorflow", "gpu", "params.yaml", "films", "mlflow"} <= set(rows)
    assert {"label studio", "disk", "memory"} <= set(rows)
    assert rows["python"][0] == "ok"
    assert rows["params.yaml"] == ["ok", "profile demo, source phantom", ""]
    assert rows["mlflow"][0] == "bad"
    assert "127.0.0.1:9" in rows["mlflow"][1]
    assert "MLFLOW_TRACKING_URI" in rows["mlflow"][2]
    assert rows["label studio"][0] == "note"
    assert rows["label studio"][2] == "lungal label-studio start"


def test_a_note_is_no_failure(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "lungal.cli.doctor.CHECKS", {"gpu": lambda _: iter([Finding("gpu", "note", "none")])}
    )
    assert main(["doctor"]) == 0


def test_a_file_that_says_nonsense_is_a_finding_and_ends_no_check(project: Path) -> None:
    (project / "params.yaml").write_text("profile: nonsense\n")
    found = findings(project)
    assert found["project"].state == "bad"
    assert "params.yaml" in found["project"].seen
    assert "memory" in found


def test_a_folder_that_is_no_dvc_project(project: Path) -> None:
    (project / ".dvc").rmdir()
    assert findings(project)["dvc"].state == "bad"


def test_films_of_nih(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change_params(project, data={"source": "nih", "root": None})
    nowhere = findings(project)["films"]
    assert nowhere.state == "bad"
    assert "lungal data fetch" in nowhere.mend
    monkeypatch.setenv("LUNGAL_NIH_ROOT", str(project / "nih"))
    assert "no BBox_List_2017" in findings(project)["films"].seen
    (project / "nih").mkdir()
    (project / "nih/BBox_List_2017.csv").touch()
    assert findings(project)["films"].state == "ok"


def test_a_gpu_without_its_libraries_is_bad(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    smi = project / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA T4, 15360 MiB, 550.54'\n")
    smi.chmod(0o755)
    monkeypatch.setattr("lungal.cli.doctor.shutil.which", lambda name: str(smi))

    def version(package: str) -> str:
        if package == "nvidia-cudnn-cu12" and not installed:
            raise importlib.metadata.PackageNotFoundError(package)
        return "1.0"

    monkeypatch.setattr("lungal.cli.doctor.importlib.metadata.version", version)
    installed = False
    gpu = findings(project)["gpu"]
    assert (gpu.state, gpu.mend) == ("bad", "uv sync --extra gpu")
    installed = True
    assert findings(project)["gpu"].state == "ok"


def test_a_label_studio_elsewhere_needs_a_token(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    found = findings(project)["label studio"]
    assert found.state == "bad"
    assert "LABEL_STUDIO_API_KEY" in found.mend
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    unreachable = findings(project)["label studio"]
    assert unreachable.state == "bad"
    assert "does not answer" in unreachable.seen
    assert "0" * 40 not in unreachable.seen


# git


def test_git_says_why_it_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(SourceError, match=r"git log: .*not a git repository") as caught:
        git(tmp_path, "log")
    assert "\n" not in str(caught.value)
    assert ask_git(tmp_path, "log") == ""
    git(tmp_path, "init", "--quiet")
    assert git(tmp_path, "rev-parse", "--show-prefix") == ""
    assert ask_git(tmp_path, "rev-parse", "--is-inside-work-tree") == "true\n"


# the demo


class Recorder(Playground):
    """Stands for the playground and writes its commands down."""

    commands: ClassVar[list[tuple[str, ...]]] = []

    def run(self, *command: str) -> None:
        self.commands.append(command)


def commands_of_round() -> list[tuple[str, ...]]:
    Recorder.commands.clear()
    read_round(Recorder(Path(), "demo", Console()))
    return list(Recorder.commands)


def test_the_demo_has_two_readers_with_faults_of_their_own(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert len(READERS) == len(set(READERS.values())) == 2
    seeds = {faults[faults.index("--seed") + 1] for faults in READERS.values()}
    assert len(seeds) == 2
    write_truth(project / "data/truth.jsonl", {})
    for command in commands_of_round():
        assert main(command[1:]) == 3  # the command is understood; no server runs
        assert "lungal label-studio start" in capsys.readouterr().err


def test_both_readers_of_the_demo_read_and_nothing_is_left_open() -> None:
    commands = commands_of_round()
    assert {command[3] for command in commands} == set(READERS)
    for reader in READERS:  # the last turn of each is without a limit
        assert "--limit" not in [c for c in commands if c[3] == reader][-1]


def test_the_demo_does_not_write_to_the_servers_of_a_team(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_a_team = {
        "LABEL_STUDIO_URL": "https://labels.example.org",
        "LABEL_STUDIO_API_KEY": "secret",
        "MLFLOW_TRACKING_URI": "https://mlflow.example.org",
        "LUNGAL_S3": "s3://films",
        "LUNGAL_PSEUDONYM_KEY": "ab" * 32,
        "POSTGRE_HOST": "db.example.org",
    }
    for name, value in {**of_a_team, "LUNGAL_NIH_ROOT": "/films"}.items():
        monkeypatch.setenv(name, value)
    playground = Playground(tmp_path, "demo", Console())
    playground.run(
        sys.executable, "-c", "import os; open('seen', 'w').write('\\n'.join(os.environ))"
    )
    seen = (tmp_path / "seen").read_text(encoding="utf-8").splitlines()
    assert not set(of_a_team) & set(seen)
    assert {"LUNGAL_NIH_ROOT", "PATH"} <= set(seen)


def test_the_demo_knows_its_sources(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--source", "dicom"]) == 2
    assert capsys.readouterr().err == "lungal: unknown source 'dicom'; known: phantom, nih\n"
    assert not (project / ".demo").exists()


def test_the_demo_on_nih_needs_its_folder(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["demo", "--source", "nih"]) == 2
    assert "--source nih needs --root" in capsys.readouterr().err
    assert main(["demo", "--source", "nih", "--root", str(project / "gone")]) == 2
    assert capsys.readouterr().err == f"lungal: {project / 'gone'} is not a folder\n"
    monkeypatch.setenv("LUNGAL_NIH_ROOT", str(project / "elsewhere"))
    assert main(["demo", "--source", "nih"]) == 2
    assert capsys.readouterr().err == f"lungal: {project / 'elsewhere'} is not a folder\n"


def test_the_demo_outside_of_a_repository_is_one_line(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(project.parent))
    assert main(["demo"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("lungal: git worktree: ")
    assert said.count("\n") == 1
