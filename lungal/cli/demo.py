"""`lungal demo`: two whole rounds on a branch of their own, with two scripted readers."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from ruamel.yaml import YAML

from lungal.cli.git import ask_git, git
from lungal.cli.readers import read_report, show_report
from lungal.cli.rounds import read_rounds, show_rounds
from lungal.errors import LungalError, SourceError, UnknownNameError

SOURCES = ("phantom", "nih")
ROUNDS = 2
READ_AT_FIRST = 8
"""Films that a reader reads before it is the other's turn."""
READERS = {
    "careful@localhost.localdomain": (
        *("--miss-rate", "0.05", "--jitter", "3", "--false-positives", "0.05"),
        *("--wrong-class", "0.02", "--accept", "0.9", "--pace", "1.3", "--seed", "1"),
    ),
    "hasty@localhost.localdomain": (
        *("--miss-rate", "0.25", "--jitter", "8", "--false-positives", "0.3"),
        *("--wrong-class", "0.1", "--accept", "1", "--pace", "0.7", "--seed", "2"),
    ),
}
"""The address of each scripted reader, and how well they read."""
OF_A_TEAM = (
    *("LABEL_STUDIO_", "MLFLOW_", "LUNGAL_S3", "LUNGAL_PSEUDONYM_KEY"),
    *("DJANGO_DB", "POSTGRE_", "TF_CONFIG"),
)
"""How variables begin that name servers and keys of a team, to which no demo must write."""
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
        self.console.print(f"[bold cyan]$ {escape(' '.join(command))}", highlight=False)
        done = subprocess.run(command, cwd=self.folder, env=self._environment(), check=False)  # noqa: S603
        if done.returncode:
            raise LungalError(
                f"`{' '.join(command)}` ended with exit code {done.returncode} in {self.folder}"
            )

    def commit(self, message: str) -> None:
        """Commit all that changed in the playground."""
        identity = () if ask_git(self.folder, "config", "user.email") else IDENTITY
        git(self.folder, "add", "--all")
        git(self.folder, *identity, "commit", "--quiet", "--allow-empty", "-m", message)
        self.console.print(f"[bold green]committed[/] {message}", highlight=False)

    def _environment(self) -> dict[str, str]:
        """This process's environment, the playground's own Python in front and no team in it."""
        dropped = ("VIRTUAL_ENV", "PYTHONPATH", *OF_A_TEAM)
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
        binaries = self.folder / ".venv" / "bin"
        return inherited | {"PATH": f"{binaries}{os.pathsep}{os.environ.get('PATH', '')}"}


def demo(
    source: Annotated[str, typer.Option(help="phantom: synthetic films | nih: real ones.")] = (
        "phantom"
    ),
    root: Annotated[Path | None, typer.Option(help="NIH's folder, for --source nih.")] = None,
) -> None:
    """Play two rounds of repro, queue, scripted readers and pull; end with the reader report.

    It plays on a branch of its own in a worktree under .demo/, which stays to be looked at.
    Your branch and files are not touched. Uncommitted changes do not take part. It has servers of
    its own, whatever LABEL_STUDIO_URL, MLFLOW_TRACKING_URI and the like name.
    """
    console = Console()
    playground = open_playground(Path.cwd(), source, root, console)
    playground.run("lungal", "label-studio", "start", "--port", "0")
    for number in range(1, ROUNDS + 1):
        console.rule(f"[bold]Round {number}")
        playground.run("dvc", "repro")
        playground.commit(f"Round {number}: train on what is labelled, choose what to read next")
        playground.run("lungal", "queue")
        playground.commit(f"Queue of round {number}")
        if number < ROUNDS:  # the last queue waits for whoever tries the demo
            read_round(playground)
            playground.run("lungal", "pull")
            playground.commit(f"Readings of round {number}")
    console.rule("[bold]What happened")
    show_rounds(read_rounds(playground.folder), console)
    show_report(read_report(playground.folder), console)
    _say_where(playground)


def read_round(playground: Playground) -> None:
    """Let the scripted readers read what Label Studio serves each of them."""
    first, second = READERS
    # Whoever reads last leaves nothing open: a film of the overlap waits for its other reader.
    for address, limit in ((first, READ_AT_FIRST), (second, None), (first, None)):
        faults = (*READERS[address], *(("--limit", str(limit)) if limit else ()))
        playground.run("lungal", "answer", "--as", address, *faults)


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
    git(here, "worktree", "add", "--quiet", "-b", branch, str(folder), "HEAD")
    playground = Playground(folder, branch, console)
    where = f"branch [bold]{branch}[/] in [bold]{escape(str(folder))}"
    console.print(f"playing on {where}", highlight=False)
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
    from lungal.data.sources.nih import nih_root

    given = nih_root(root, os.environ)
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


def _say_where(playground: Playground) -> None:
    folder = escape(str(playground.folder))
    playground.console.print(
        f"\nAll of it stays: branch [bold]{playground.branch}[/], folder "
        f"[bold]{folder}[/].\n"
        f"  cd {folder} && source .venv/bin/activate\n"
        "  make ui                      compare the rounds in MLflow\n"
        "  lungal label-studio status   where the queue of the last round waits to be read\n"
        "  lungal status                where the loop stands\n"
        "  lungal readers               the readers, once more\n"
        "  dvc metrics diff HEAD~2      what the second round changed\n"
        "  lungal label-studio stop     when you have seen enough\n"
        f"Remove it: git worktree remove --force {folder}; "
        f"git branch -D {playground.branch}",
        highlight=False,
    )
