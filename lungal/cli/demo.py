"""`lungal demo`: two whole rounds on a branch of their own, with a scripted reader."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from ruamel.yaml import YAML

from lungal.cli.status import Round, read_rounds, show_rounds
from lungal.errors import LungalError, SourceError, UnknownNameError

SOURCES = ("phantom", "nih")
ROUNDS = 2
IDENTITY = ("-c", "user.name=lungal demo", "-c", "user.email=demo@lungal.invalid")


@dataclass(frozen=True, slots=True)
class Playground:
    """A git worktree with an environment of its own, where the demo plays.

    Attributes:
        folder: the worktree.
        branch: checked out there.
        console: where the demo says what it does.
    """

    folder: Path
    branch: str
    console: Console

    def run(self, *command: str) -> None:
        """Run a command of the playground's environment, and say so.

        Raises:
            LungalError: if it fails; what it printed has said why.
        """
        self.console.print(f"[bold cyan]$ {' '.join(command)}", highlight=False)
        done = subprocess.run(command, cwd=self.folder, env=self._environment(), check=False)  # noqa: S603
        if done.returncode:
            raise LungalError(
                f"`{' '.join(command)}` ended with exit code {done.returncode} in {self.folder}"
            )

    def commit(self, message: str) -> None:
        """Commit all that changed in the playground."""
        identity = () if _git_knows_author(self.folder) else IDENTITY
        _git(self.folder, "add", "--all")
        _git(self.folder, *identity, "commit", "--quiet", "--allow-empty", "-m", message)
        self.console.print(f"[bold green]committed[/] {message}", highlight=False)

    def _environment(self) -> dict[str, str]:
        """This process's environment, but with the playground's own Python in front."""
        inherited = {k: v for k, v in os.environ.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}
        binaries = self.folder / ".venv" / "bin"
        return inherited | {"PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}


def demo(
    source: Annotated[str, typer.Option(help="phantom: synthetic films | nih: real ones.")] = (
        "phantom"
    ),
    root: Annotated[Path | None, typer.Option(help="NIH's folder, for --source nih.")] = None,
) -> None:
    """Play two rounds: repro, queue, a scripted reader's answers, pull, repro.

    It plays on a branch of its own in a worktree under .demo/, which stays to be looked at.
    Your branch and files are not touched. Uncommitted changes do not take part.
    """
    console = Console()
    playground = open_playground(Path.cwd(), source, root, console)
    rounds: list[Round] = []
    playground.run("lungal", "label-studio", "start", "--port", "0")
    for number in range(1, ROUNDS + 1):
        console.rule(f"[bold]Round {number}")
        playground.run("dvc", "repro")
        playground.commit(f"Round {number}: train on what is labelled, choose what to read next")
        playground.run("lungal", "queue")
        if number < ROUNDS:
            playground.run("lungal", "answer")
            playground.run("lungal", "pull")
            playground.commit(f"Readings of round {number}")
    rounds = read_rounds(playground.folder)
    console.rule("[bold]What happened")
    show_rounds(rounds, console)
    _say_where(playground)


def open_playground(here: Path, source: str, root: Path | None, console: Console) -> Playground:
    """Make a branch and a worktree on it, set its source, and build its environments.

    Raises:
        UnknownNameError: if there is no such source.
        SourceError: if the folder is missing, or `here` is no git repository with a commit.
    """
    if source not in SOURCES:
        raise UnknownNameError("source", source, SOURCES)
    films = _find_films(source, root)
    name = f"{source}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
    folder, branch = here / ".demo" / name, f"demo/{name}"
    _git(here, "worktree", "add", "--quiet", "-b", branch, str(folder), "HEAD")
    playground = Playground(folder, branch, console)
    console.print(f"playing on branch [bold]{branch}[/] in [bold]{folder}", highlight=False)
    uv = shutil.which("uv")
    if uv is None:
        raise LungalError("uv is not on the PATH; `make demo` fetches it")
    playground.run(uv, "sync", "--locked", "--quiet")
    playground.run(uv, "sync", "--locked", "--quiet", "--project", "servers/label-studio")
    _set_source(folder / "params.yaml", source, films)
    playground.commit(f"Demo on {source} films")
    return playground


def _find_films(source: str, root: Path | None) -> Path | None:
    if source == "phantom":
        return None
    given = root or (
        Path(os.environ["LUNGAL_NIH_ROOT"]) if "LUNGAL_NIH_ROOT" in os.environ else None
    )
    if given is None:
        raise SourceError("--source nih needs --root (make demo SOURCE=nih NIH=<folder>)")
    if not given.is_dir():
        raise SourceError(f"{given} is not a folder")
    return given.resolve()


def _set_source(params: Path, source: str, films: Path | None) -> None:
    yaml = YAML()  # keeps the comments of the file
    yaml.width = 200
    document: Any = yaml.load(params)
    document["data"]["source"] = source
    document["data"]["root"] = None if films is None else str(films)
    yaml.dump(document, params)


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
        )
    except subprocess.CalledProcessError as error:
        raise SourceError(f"git {arguments[0]}: {error.stderr.strip().splitlines()[-1]}") from None
    return done.stdout.strip()


def _git_knows_author(folder: Path) -> bool:
    done = subprocess.run(
        ["git", "config", "user.email"],  # noqa: S607
        cwd=folder,
        check=False,
        capture_output=True,
    )
    return done.returncode == 0


def _say_where(playground: Playground) -> None:
    playground.console.print(
        f"\nAll of it stays: branch [bold]{playground.branch}[/], folder "
        f"[bold]{playground.folder}[/].\n"
        f"  cd {playground.folder} && source .venv/bin/activate\n"
        "  make ui                      compare the rounds in MLflow\n"
        "  lungal label-studio status   where the queue of the next round waits to be read\n"
        "  lungal status                where the loop stands\n"
        "  dvc metrics diff HEAD~2      what the second round changed\n"
        "  lungal label-studio stop     when you have seen enough\n"
        f"Remove it: git worktree remove --force {playground.folder}; "
        f"git branch -D {playground.branch}",
        highlight=False,
    )
