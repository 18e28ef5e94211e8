"""`lungal simulate`: whole campaigns with the truth as the reader, to see what saves labels."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml
from rich.console import Console
from rich.markup import escape

from lungal.cli.project import Project
from lungal.data.files import whole_file
from lungal.errors import INTERRUPTED, LungalError, ParamsError, SourceError
from lungal.params import load_params

Learner = Literal["tfod", "proxy"]
FOLDER = Path(".simulations")
"""Where presets are played, each in a folder of its own, which is a project without git."""
PATIENCE_SECONDS = 10
"""How long an interrupted stage may take to end in good order."""


def simulate(
    preset: Annotated[
        str | None,
        typer.Option(
            help="ci | phantom | phantom_proxy | nih | nih_trainer: a campaign that came with "
            "lungal. "
            "Without it: the section `simulate` of params.yaml, on this project's films."
        ),
    ] = None,
    learner: Annotated[
        Learner | None,
        typer.Option(help="Who learns instead of the preset's own: the real trainer or the proxy."),
    ] = None,
    seeds: Annotated[str | None, typer.Option(help="Which seeds, as 0-4 or 0,2.")] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Campaigns at once.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="NIH's folder, for a preset on real films.")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Initial weights, as model.initial_weights, for a machine offline."),
    ] = None,
    played: Annotated[
        Path | None,
        typer.Option(help="A folder of campaigns that were played elsewhere, not to play again."),
    ] = None,
    real: Annotated[
        Path | None,
        typer.Option(
            help="points.csv of a campaign of the real trainer on the same films: does the proxy "
            "rank the arms as it does?"
        ),
    ] = None,
) -> None:
    """Play campaigns: every arm from the same films and weights, with the truth as the reader.

    Ends with reports/simulation/report.html. Killed, it goes on where it was when it is started
    again. A preset is played under .simulations/, beside the project's own films and reports.
    """
    report = Project().paths.simulation_report  # outside of a project: now, not later
    changes = {
        "learner": learner,
        "seeds": seeds,
        "workers": workers,
        "root": root,
        "weights": weights,
    }
    environment = dict(os.environ)
    if played is not None:
        environment["LUNGAL_PLAYED"] = str(_folder(played, "--played").resolve())
    if real is not None:
        if not real.is_file():
            raise SourceError(f"--real {real} is not a file")
        environment["LUNGAL_REAL"] = str(real.resolve())
    if preset is None:
        if given := [name for name, value in changes.items() if value is not None]:
            raise ParamsError(
                f"--{given[0]} is for presets; without one, params.yaml says what is played"
            )
        place = Path()
    else:
        place = FOLDER / (preset if learner is None else f"{preset}_with_{learner}")
        _set_up(place, preset, changes)
        environment.setdefault("MLFLOW_TRACKING_URI", f"sqlite:///{Path.cwd()}/mlruns/mlflow.db")
        _take_in(place, environment)
    options = {"preset": preset, **changes, "played": played, "real": real}
    environment["LUNGAL_COMMAND"] = _spell(options)
    _run("simulate", place, environment)
    page = place / report / "report.html"
    if page.exists():  # without seeds nothing was played
        Console().print(f"report: [bold]{escape(str(page))}", highlight=False, soft_wrap=True)


def parse_seeds(text: str) -> list[int]:
    """Return the seeds that a text names, as `0-4` or `0,2` or both, in its order.

    Raises:
        ParamsError: if it is anything else.
    """
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise ParamsError(f"--seeds {text!r} is not like 0-4 or 0,2")
        if not (named := range(int(first), int(last or first) + 1)):
            raise ParamsError(f"--seeds {text!r} is not like 0-4: {first} is more than {last}")
        found += named
    return list(dict.fromkeys(found))


def _set_up(place: Path, preset: str, changes: Mapping[str, Any]) -> None:
    from lungal.data.sources.nih import ROOT_VARIABLE, nih_root
    from lungal.simulation.preset import read_preset

    document = read_preset(preset)
    played = document["simulate"]
    if changes["learner"] is not None:
        played["learner"] = changes["learner"]
    if changes["seeds"] is not None:
        played["seeds"] = parse_seeds(changes["seeds"])
    if changes["workers"] is not None:
        played["workers"] = changes["workers"]
    if changes["root"] is not None:
        document["data"]["root"] = str(_folder(changes["root"], "--root").resolve())
    elif document["data"]["source"] == "nih" and (root := nih_root(None, os.environ)):
        # Written down, as the stages run in another folder, from which `../nih` is not there.
        document["data"]["root"] = str(_folder(root, ROOT_VARIABLE).resolve())
    if changes["weights"] is not None:
        model = document["profiles"][document["profile"]]["model"]
        for section in (model, document.setdefault("proxy", {})):
            section["initial_weights"] = _absolute(changes["weights"])
    with whole_file(place / "params.yaml") as part:
        part.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    load_params(place / "params.yaml")


def _spell(options: Mapping[str, Any]) -> str:
    """Return the command with these options, those that are None left out."""
    words = ["lungal", "simulate"]
    for name, value in options.items():
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join(words)


def _absolute(weights: str) -> str:
    path = Path(weights)
    return str(path.resolve()) if path.exists() else weights


def _folder(path: Path, option: str) -> Path:
    if not path.is_dir():
        raise SourceError(f"{option} {path} is not a folder")
    return path


def _take_in(place: Path, environment: Mapping[str, str]) -> None:
    """Take in and split the preset's films, unless that was done, of the same, as now."""
    from lungal.data.sources.nih import fingerprint
    from lungal.data.sources.phantom import DRAWING

    params = load_params(place / "params.yaml")
    root = params.data.root
    parts = [part.model_dump(mode="json") for part in (params.data, params.split)]
    version = DRAWING if params.data.source == "phantom" else root and fingerprint(root)
    wanted = json.dumps([*parts, version])
    stamp = place / "films.json"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return
    stamp.unlink(missing_ok=True)  # what is there is no longer what it says, whatever comes now
    for stage in ("ingest", "split"):
        _run(stage, place, environment)
    with whole_file(stamp) as part:
        part.write_text(wanted, encoding="utf-8")


def _run(stage: str, place: Path, environment: Mapping[str, str]) -> None:
    command = (sys.executable, "-m", f"pipelines.{stage}")
    child = subprocess.Popen(command, cwd=place, env=dict(environment))  # noqa: S603
    # A `kill` reaches this process alone, and what it has started would train for hours.
    before = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        code = child.wait()
    except KeyboardInterrupt:
        with suppress(subprocess.TimeoutExpired):
            child.wait(PATIENCE_SECONDS)  # of Ctrl+C it has heard itself
        child.terminate()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code < 0:
        raise LungalError(f"the stage `{stage}` was killed by signal {-code}")
    if code:  # it has said why
        raise typer.Exit(code)
