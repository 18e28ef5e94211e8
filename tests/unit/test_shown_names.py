"""What a file, a group or a reason is called is shown as it is, whatever brackets it holds."""

import io
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from made_up_readings import reading
from rich.console import Console

from lungal.annotation.protocol import Refused
from lungal.cli import main
from lungal.cli.doctor import Finding
from lungal.cli.evaluation_tables import _groups_table
from lungal.cli.pull import _print
from lungal.cli.watch import describe
from lungal.data.images import encode_png
from lungal.evaluation.bootstrap import Interval
from lungal.evaluation.breakdown import Group
from lungal.records import Detections
from lungal.rounds.progress import RoundProgress
from lungal.rounds.pull import PullReport

ODD = "film [copy] of [/b]"


@pytest.fixture
def console() -> Console:
    return Console(file=io.StringIO(), width=200)


def shown(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_detect_names_the_file_that_it_skips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def detect(images):
        return [Detections.nothing(film.image_id) for film in images]

    detector = SimpleNamespace(detect=detect, classes=(), model_version="r1")
    infer = SimpleNamespace(load_detector=lambda *_: detector)
    monkeypatch.setitem(sys.modules, "lungal.detectors.tfod.infer", infer)
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    Path("good.png").write_bytes(encode_png(np.zeros((8, 8), np.uint8)))
    Path("film [copy].png").write_bytes(b"no film")
    assert main(["detect", "good.png", "film [copy].png", "--out", "[out]"]) == 0
    said = capsys.readouterr().err
    assert "skipped film [copy].png" in said
    assert "see [out]" in said


def test_the_groups_of_an_evaluation_have_their_names(console: Console) -> None:
    number = Interval(0.5, 0.4, 0.6)
    console.print(
        _groups_table(
            [Group("view", ODD, 3, 2, 1, number, number, 0.5, 0.5)], {"iou": 1, "score": 1}
        )
    )
    assert f"view {ODD}" in shown(console)


def test_a_pull_says_what_was_refused_and_why(console: Console) -> None:
    event = replace(reading(1, image_id=ODD), verdict="refused", boxes=(), reader="[a]")
    found = PullReport(
        (), (event,), frozenset(), 0, (Refused("t", "http://ls/[1]", ODD),), (f"[2] {ODD}",), ()
    )
    _print(found, Path("log"), console, dry=True)
    lines = shown(console)
    assert f"{ODD}  [a]" in lines
    assert f"waits to be mended http://ls/[1]: {ODD}" in lines
    assert f"left alone [2] {ODD}: " in lines


def test_a_watch_names_its_readers(console: Console) -> None:
    console.print(describe(RoundProgress(1, 1, 1, 0, {ODD: 1}, 1.0, None)))
    assert ODD in shown(console)


def test_the_doctor_says_what_it_sees(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    finding = Finding("films", "note", f"in {ODD}", f"move {ODD}")
    monkeypatch.setattr("lungal.cli.doctor.examine", lambda _: [finding])
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert f"in {ODD}" in said
    assert f"move {ODD}" in said
