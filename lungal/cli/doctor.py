"""`lungal doctor`: is everything there that the loop needs, and if not, what mends it."""

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from lungal.annotation.connection import TokenKind, open_http, talking_to, token_kind
from lungal.cli.connection import Connection, connect
from lungal.cli.project import Project
from lungal.errors import LungalError, PseudonymError, ServerError, TokenError

PACKAGES = (
    "tensorflow",
    "tf-models-research-object-detection",
    "mlflow",
    "dvc",
    "optuna",
    "label-studio-sdk",
    "opencv-python-headless",
)
HOW_TO_LOG_IN = "set LABEL_STUDIO_API_KEY to a token from its page Account & Settings"
REFUSED: dict[TokenKind, str] = {
    "legacy": "it may be withdrawn, or the organisation's page API Tokens has legacy tokens "
    "switched off; a personal access token works with either setting",
    "personal access": "it may be withdrawn or expired; make another on Account & Settings",
    "short-lived": "it lasts five minutes; take the personal access token that it was made from",
    "unknown": "a legacy token is 40 hexadecimal digits, a personal access token a long text with "
    "two dots; copy it again",
}
ENOUGH_DISK = 10 * 2**30
ENOUGH_MEMORY = 6 * 2**30
MARKS = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "bad": "[red]bad[/]"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the doctor's report.

    `bad` breaks the loop; a `note` is worth knowing. `mend` says what to do about either.
    """

    what: str
    state: Literal["ok", "note", "bad"]
    seen: str
    mend: str = ""


def doctor() -> None:
    """Check versions, GPU, MLflow, Label Studio and its token, films, disk; say how to mend each.

    Exit code 1 if something is bad.
    """
    root, console = Path.cwd(), Console()
    table = Table("what", "", "seen", "how to mend it")
    findings = list(examine(root))
    for finding in findings:
        words = escape(finding.seen), escape(finding.mend)
        table.add_row(finding.what, MARKS[finding.state], *words)
    console.print(table)
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def examine(root: Path) -> Iterator[Finding]:
    """Yield what is found, one check at a time; a check that fails is a finding, not an error."""
    for what, check in CHECKS.items():
        try:
            yield from check(root)
        except LungalError as error:
            yield Finding(what, "bad", str(error))


def _check_versions(_root: Path) -> Iterator[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    right = sys.version_info[:2] == (3, 11)
    yield Finding("python", "ok" if right else "bad", python, "" if right else "use Python 3.11")
    for package in PACKAGES:
        try:
            yield Finding(package, "ok", importlib.metadata.version(package))
        except importlib.metadata.PackageNotFoundError:
            yield Finding(package, "bad", "not installed", "uv sync")


def _check_gpu(_root: Path) -> Iterator[Finding]:
    cards = _list_gpus()
    if not cards:
        mend = "profile: demo or cpu in params.yaml suit this machine"
        yield Finding("gpu", "note", "none", mend)
        return
    try:
        importlib.metadata.version("nvidia-cudnn-cu12")
    except importlib.metadata.PackageNotFoundError:
        yield Finding("gpu", "bad", f"{cards}, but no CUDA libraries", "uv sync --extra gpu")
        return
    yield Finding("gpu", "ok", cards)


def _list_gpus() -> str:
    smi = shutil.which("nvidia-smi")
    if smi is None:
        return ""
    query = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    done = subprocess.run([smi, *query], capture_output=True, text=True, check=False)  # noqa: S603
    return "; ".join(done.stdout.strip().splitlines()) if done.returncode == 0 else ""


def _check_project(root: Path) -> Iterator[Finding]:
    params = Project(root).params
    yield Finding("params.yaml", "ok", f"profile {params.profile}, source {params.data.source}")
    if not (root / ".dvc").is_dir():
        yield Finding("dvc", "bad", f"{root} is no DVC project", "run from the project's root")
    if shutil.which("git") is None:
        yield Finding("git", "bad", "not on the PATH", "install git")


def _check_films(root: Path) -> Iterator[Finding]:
    data = Project(root).params.data
    if data.source == "phantom":
        yield Finding("films", "ok", "synthetic, made by `dvc repro`")
        return
    from lungal.data.sources.nih import ROOT_VARIABLE, nih_root

    folder = nih_root(data.root, os.environ)
    mend = (
        f"set data.root in params.yaml or {ROOT_VARIABLE}; `lungal data fetch` brings NIH's films"
    )
    if folder is None:
        yield Finding("films", "bad", "data.source is nih and no folder is named", mend)
    elif not any(folder.glob("BBox_List_2017*.csv")):
        yield Finding("films", "bad", f"no BBox_List_2017*.csv in {folder}", mend)
    else:
        yield Finding("films", "ok", f"{folder}; `lungal data check` looks closer")


def _check_tracking(root: Path) -> Iterator[Finding]:
    from lungal.tracking import OUTBOX, MlflowRegistry, tracking_uri

    uri = tracking_uri(root, os.environ)
    try:
        MlflowRegistry(uri).version("champion")
    except ServerError as error:
        mend = f"start it or unset MLFLOW_TRACKING_URI; runs wait in {OUTBOX} until then"
        yield Finding("mlflow", "bad", str(error), mend)
        return
    yield Finding("mlflow", "ok", uri.split("@")[-1])
    waiting = len(list((root / OUTBOX).glob("*.jsonl")))
    if waiting:
        yield Finding("mlflow outbox", "note", f"{waiting} runs wait", "lungal track flush")


def _check_label_studio(_root: Path) -> Iterator[Finding]:
    try:
        connection = connect(os.environ.get("LABEL_STUDIO_URL"))
    except TokenError as error:
        yield Finding("label studio", "bad", str(error), HOW_TO_LOG_IN)
        return
    except ServerError as error:
        yield Finding("label studio", "note", str(error), "lungal label-studio start")
        return
    kind = token_kind(connection.token)
    try:
        user = _whoami(connection)
    except TokenError as error:
        yield Finding("label studio", "bad", f"{error} ({kind} token)", REFUSED[kind])
        return
    yield Finding("label studio", "ok", f"{connection.url}, {kind} token of {user}")
    try:
        _ = connection.pseudonyms
    except PseudonymError as error:
        yield Finding("pseudonyms", "bad", str(error))
    else:
        yield Finding("pseudonyms", "ok", "there is a key; back it up with the data")


def _whoami(connection: Connection) -> str:
    with (
        talking_to(connection.url),
        open_http(connection.url, connection.token) as http,
    ):
        answer = http.get("/api/current-user/whoami").raise_for_status()
        return str(answer.json()["email"])


def _check_machine(root: Path) -> Iterator[Finding]:
    import psutil

    free, memory = shutil.disk_usage(root).free, psutil.virtual_memory().total
    mend = "the whole of NIH needs 45 GB, its boxed films 1 GB, a run some 2 GB"
    state: Literal["ok", "note"] = "ok" if free > ENOUGH_DISK else "note"
    yield Finding("disk", state, f"{free / 2**30:.0f} GB free", "" if state == "ok" else mend)
    enough = memory > ENOUGH_MEMORY
    mend = "" if enough else "train with a smaller batch_size or input_size"
    yield Finding("memory", "ok" if enough else "note", f"{memory / 2**30:.0f} GB", mend)


CHECKS: dict[str, Callable[[Path], Iterator[Finding]]] = {
    "versions": _check_versions,
    "gpu": _check_gpu,
    "project": _check_project,
    "films": _check_films,
    "mlflow": _check_tracking,
    "label studio": _check_label_studio,
    "machine": _check_machine,
}
