"""`lungal label-studio | queue | answer | pull` in a project, on a real server."""

import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from plugins.label_studio import ENVIRONMENT
from plugins.waiting import wait_for

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.protocol import Refused
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.server import LocalServer
from lungal.cli.main import main
from lungal.cli.pull import _puller
from lungal.data.annotations import read_log
from lungal.data.asked import read_asked
from lungal.data.detections import write_detections
from lungal.data.films import film_paths
from lungal.data.manifest import read_manifest, write_manifest, write_truth
from lungal.data.splits import read_splits, write_splits
from lungal.paths import load_paths
from lungal.records import LabelledBox
from lungal.rounds.pull import PullReport
from lungal.testing import make_detections

REPOSITORY = ENVIRONMENT.parents[1]
LOG, QUEUE = Path("data/annotations.jsonl"), Path("data/queue.jsonl")


@pytest.fixture
def project(
    tmp_path: Path, films: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> dict[str, Path]:
    """Make the working directory a project whose stage `select` has run; return its films."""
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "API_KEY", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"LABEL_STUDIO_{name}", raising=False)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, name)
    shutil.copytree(next(iter(films.values())).parent, "data/images")
    names = sorted(films)
    patients = [name[:8] for name in names]
    rows = pd.DataFrame({"image_id": names, "patient_id": patients})
    known = {"sha256": "0" * 64, "width": 96, "height": 96, "source": "phantom"}
    empty = dict.fromkeys(("view", "sex", "age", "findings", "official_split"))
    paths = [f"images/{name}.png" for name in names]
    write_manifest(Path("data/manifest.parquet"), rows.assign(path=paths, **known, **empty))
    write_splits(Path("data/splits.parquet"), rows.assign(split="train"))
    write_truth(Path("data/truth.jsonl"), {names[0]: (LabelledBox("Mass", 9, 9, 50, 60),)})
    write_detections(Path("data/detections/pool.parquet"), [make_detections(n, 3) for n in names])
    chosen = rows.head(3).assign(rank=[1, 2, 3], score=[0.9, 0.5, 0.1], reason="doubt", round=1)
    chosen.assign(model_version="r1-0a1b2c3d").to_csv("data/selection.csv", index=False)
    return films


def test_without_a_server_each_command_says_what_to_do(
    project: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("queue", "pull", "answer"):
        assert main([command]) == 3
        assert "lungal label-studio start" in capsys.readouterr().err
    assert main(["label-studio", "status"]) == 3
    assert main(["label-studio", "stop"]) == 0
    assert not LOG.exists()


def test_a_server_elsewhere_needs_a_token(
    project: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "--url", "http://127.0.0.1:9"]) == 3
    assert "LABEL_STUDIO_API_KEY" in capsys.readouterr().err


def test_a_watch_is_no_dry_run(
    project: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pull", "--watch", "--dry-run"]) == 2
    assert "--dry-run" in capsys.readouterr().err


def test_a_watch_ends_with_what_a_single_pull_says(
    project: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    refused = (Refused("ls-1-1", "http://ls/1", "rotated"),)
    found = PullReport((), (), frozenset(), 3, refused, ("http://ls/2",), ("ls-1-7",), "no project")
    looked = []

    def look(*_: Any, everything: bool) -> PullReport:
        looked.append(everything)
        if len(looked) > 1:
            raise KeyboardInterrupt
        return found

    store = LabelStudio("http://ls", "token", "title", pseudonyms=Pseudonyms(b"a key of our own"))
    monkeypatch.setattr("lungal.cli.pull._project", lambda *_: store)
    monkeypatch.setattr("lungal.rounds.pull.pull", look)
    monkeypatch.setattr("lungal.cli.watch.hinted", lambda _: nullcontext(threading.Event()))
    assert main(["pull", "--watch", "--every", "0.1", "--all"]) == 130
    assert looked == [True, False]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith(" no project")
    assert lines[1:5] == [
        "nothing was queued yet: lungal queue",
        "no project",
        "waits to be mended http://ls/1: rotated",
        "left alone http://ls/2: lungal did not queue this film",
    ]
    assert lines[5].startswith("1 readings stand whose tasks were deleted as a whole, ls-1-7 for")
    assert lines[6].startswith("0 new, 3 known, 1 refused and not mended; see data/annotations")


def test_a_watch_learns_of_films_that_are_ingested_meanwhile(
    project: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths, seen = load_paths(Path("dvc.yaml")), []

    def note(store: LabelStudio, _log: Path, films: Mapping[str, Any], *_: Any) -> None:
        seen.append((len(films), len(store.films)))

    monkeypatch.setattr("lungal.rounds.pull.pull", note)
    manifest, splits = read_manifest(paths.manifest), read_splits(paths.splits)
    write_manifest(paths.manifest, manifest.head(5))
    write_splits(paths.splits, splits.head(5))
    films = film_paths(paths.manifest)
    store = LabelStudio(
        "http://ls", "token", "title", films, pseudonyms=Pseudonyms(b"a key of our own")
    )
    look = _puller(store, paths)
    look()
    paths.manifest.unlink()  # as DVC does before it makes it anew
    look()
    write_manifest(paths.manifest, manifest)
    write_splits(paths.splits, splits)
    look()
    assert seen == [(5, 5), (5, 5), (len(manifest), len(manifest))]


@pytest.mark.label_studio
@pytest.mark.slow
def test_a_round_by_commands(
    project: dict[str, Path],
    label_studio_server: LocalServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path(".label-studio").symlink_to(label_studio_server.folder)
    assert main(["label-studio", "start"]) == 0
    assert main(["label-studio", "status"]) == 0
    assert "answers at" in capsys.readouterr().err

    mine = ["--project", "by commands"]
    assert main(["pull", *mine]) == 0
    assert "there is no project 'by commands' at http" in capsys.readouterr().err
    assert main(["queue", *mine]) == 0
    assert "3 films queued, 0 were there" in capsys.readouterr().err
    assert main(["queue", *mine]) == 0
    assert "0 films queued, 3 were there" in capsys.readouterr().err
    assert main(["answer", *mine, "--miss-rate", "0", "--limit", "2"]) == 0

    assert main(["pull", *mine, "--dry-run"]) == 0
    told = capsys.readouterr().err
    assert "2 would be new (1 finding, 1 skipped), 0 known" in told
    assert sorted(project)[0] in told
    assert not LOG.exists()
    assert main(["pull", *mine]) == 0
    assert "2 new (1 finding, 1 skipped), 0 known, 0 refused" in capsys.readouterr().err
    (finding,) = [event for event in read_log(LOG) if event.boxes]
    assert finding.reader.startswith("reader-")
    kept = [box for box in finding.boxes if box.origin in {"accepted", "moved"}]
    assert all(box.origin for box in finding.boxes)
    assert len(kept) + len(finding.deleted) == len(read_asked(QUEUE)[0].seen)

    # The same server by its address: reached with a token, films uploaded.
    server = label_studio_server.status()
    assert server is not None
    key = (label_studio_server.folder / "pseudonym.key").read_text()
    Path(".label-studio").unlink()
    monkeypatch.setenv("LABEL_STUDIO_URL", server.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio_server.credentials().token)
    monkeypatch.setenv("LUNGAL_PSEUDONYM_KEY", key)
    assert main(["answer", *mine]) == 0
    assert main(["pull", *mine, "--until-done", "--every", "0.1"]) == 0
    assert f"reading of {sorted(project)[2]}" in capsys.readouterr().err
    assert main(["pull", *mine, "--all"]) == 0
    assert "0 new, 3 known, 0 refused" in capsys.readouterr().err
    assert main(["queue", "--project", "by address"]) == 0
    assert "3 films queued" in capsys.readouterr().err
    assert {(r.image_id, r.round) for r in read_log(LOG)} == {
        (name, 1) for name in sorted(project)[:3]
    }


def test_an_empty_selection_queues_nothing(
    project: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    selection = Path("data/selection.csv")
    pd.read_csv(selection).head(0).to_csv(selection, index=False)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "x" * 40)
    monkeypatch.setenv("LUNGAL_PSEUDONYM_KEY", "a key of our own")
    assert main(["queue", "--url", "http://127.0.0.1:9"]) == 0
    assert "the pool is empty" in capsys.readouterr().err


@pytest.mark.label_studio
@pytest.mark.slow
def test_a_watch_follows_its_readers_until_it_is_interrupted(
    project: dict[str, Path], label_studio_server: LocalServer, tmp_path: Path
) -> None:
    Path(".label-studio").symlink_to(label_studio_server.folder)
    mine = ["--project", "watched"]
    assert main(["queue", *mine]) == 0
    said = tmp_path / "watch.txt"
    command = [sys.executable, "-m", "lungal.cli", "pull", *mine, "--watch", "--every", "0.2"]
    with said.open("w") as out:
        # A shell lets what it runs in the background ignore Ctrl+C, and children inherit that.
        heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        watch = subprocess.Popen(command, stderr=out, stdout=out, preexec_fn=heeding)
    try:
        assert main(["answer", *mine]) == 0
        wait_for(lambda: said.read_text().count("reading of") == 3, watch)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 130
    finally:
        watch.kill()
        watch.wait()
    assert len(read_log(LOG)) == 3
    lines = said.read_text()
    assert "3 of 3 read" in lines
    assert "Traceback" not in lines
