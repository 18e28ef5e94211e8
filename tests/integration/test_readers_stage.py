"""The stage readers: the report, its plots, what reaches MLflow, and the commands that show it."""

import json
import shutil
from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungal.annotation.readings import deletion
from lungal.cli.main import main
from lungal.data.annotations import append_log, read_log
from lungal.data.asked import append_asked
from lungal.data.manifest import write_truth
from lungal.reading.scripted import Reader
from lungal.reading.standing import standing
from lungal.records import Annotation, Asked, LabelledBox, SeenBox
from pipelines import readers
from pipelines.stage import PATHS

REPOSITORY = Path(__file__).resolve().parents[2]
FILMS = [f"{number:08d}_000" for number in range(1, 61)]
MISSES = {"reader-careful": 0.05, "reader-hasty": 0.6}
PLOTS = ["blind", "drift", "seconds", "sensitivity"]


class Notebook:
    """Stands for the round's run and keeps what is logged."""

    def __init__(self):
        self.metrics, self.artifacts = {}, []

    def log_metrics(self, metrics, step=0):
        self.metrics |= metrics

    def log_artifact(self, path, folder=""):
        self.artifacts.append(f"{folder}/{path.name}".lstrip("/"))


def read_by(name, misses, truth, asked, number):
    """What a scripted reader says of what was asked, as pull would write it down."""
    shown = [LabelledBox(box.label, *box.xyxy) for box in asked.seen]
    reader = Reader(truth, misses, 2.0, seed=number)
    read = reader.read(asked.image_id, 256, 256, () if asked.blind else shown)
    return Annotation(
        source_id=f"ls-1-{asked.round}-{asked.image_id}-{name}@saved",
        image_id=asked.image_id,
        round=asked.round,
        reader=name,
        verdict=read.verdict,
        boxes=tuple(replace(box, origin="drawn") for box in read.boxes),
        at="2026-11-20T10:00:00.000000Z",
        seconds=read.seconds,
        role=asked.role,
        blind=asked.blind,
        seen=asked.seen,
    )


def ask(image_id, number, truth):
    """Every second film is a known case, every third is blind; the model sees half of all boxes."""
    seen = tuple(SeenBox(box.label, *box.xyxy, 0.5) for box in truth[image_id][::2])
    return Asked(
        round=1 + number % 2,
        image_id=image_id,
        rank=1 + number // 2,
        uncertainty=0.5,
        reason="doubt",
        model_version="r1-0a1b2c3d",
        role="control" if number % 4 < 2 else "label",
        blind=number % 3 == 0,
        readers=2,
        seen=seen,
        at="2026-11-20T09:00:00.000000Z",
    )


def play():
    """Write truth, queue and log into the cwd: two readers, two rounds, sixty films."""
    random = np.random.default_rng(0)
    truth = {}
    for image_id in FILMS:
        corners = random.uniform(10, 150, (random.integers(0, 4), 2)).round()
        names = random.choice(["Mass", "Nodule", "Effusion"], len(corners))
        truth[image_id] = tuple(
            LabelledBox(str(name), x, y, x + 60, y + 50)
            for name, (x, y) in zip(names, corners.tolist(), strict=True)
        )
    queue = [ask(image_id, number, truth) for number, image_id in enumerate(FILMS)]
    write_truth(PATHS.truth, truth)
    append_asked(PATHS.queue, queue)
    append_log(
        PATHS.annotations,
        [
            read_by(name, misses, truth, asked, number)
            for number, (name, misses) in enumerate(MISSES.items())
            for asked in queue
        ],
    )


def run_stage(patch):
    notebook = Notebook()

    @contextmanager
    def round_run(stage, params):
        assert stage == "readers"
        yield notebook

    patch.setattr(readers, "round_run", round_run)
    assert readers.main() == 0
    return notebook


def make_project(folder, patch):
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(REPOSITORY / name, folder)
    (folder / "data").mkdir()
    patch.chdir(folder)


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """A project in which two readers have read for two rounds, and what its run was told."""
    folder = tmp_path_factory.mktemp("played")
    with pytest.MonkeyPatch.context() as patch:
        make_project(folder, patch)
        play()
        return folder, run_stage(patch)


@pytest.fixture(autouse=True)
def _in_a_project(tmp_path, monkeypatch):
    make_project(tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")


@pytest.fixture
def notebook(played, tmp_path):
    """What the run was told, with a copy of the played project as the working directory."""
    shutil.copytree(played[0], tmp_path, dirs_exist_ok=True)
    return played[1]


def summary():
    return json.loads(PATHS.readers.read_text())


def files():
    return {path: path.read_bytes() for path in [PATHS.readers, *PATHS.readers_plots.iterdir()]}


def test_it_tells_a_careful_reader_from_a_hasty_one(notebook):
    report = summary()
    careful, hasty = (report["readers"][name] for name in MISSES)
    assert careful["low"] > hasty["high"]
    assert careful["controls"] == hasty["controls"] == 30
    assert careful["readings"] == hasty["readings"] == 60
    assert [report["ledger"][name]["readings"] for name in ("round_1", "round_2")] == [60, 60]
    assert report["agreement"]["films"] == 60
    assert report["blind"]["blind"]["films"] == 20
    # A box that is drawn already is not overlooked.
    assert report["blind"]["difference"]["agreement"]["low"] > 0


def test_it_writes_a_picture_and_a_table_of_each(notebook):
    names = sorted(path.name for path in PATHS.readers_plots.iterdir())
    assert names == sorted(f"{name}.{kind}" for name in PLOTS for kind in ("csv", "png"))
    table = pd.read_csv(PATHS.readers_plots / "sensitivity.csv").set_index("reader")
    for name in MISSES:
        assert table.loc[name, "sensitivity"] == summary()["readers"][name]["sensitivity"]
    turns = pd.read_csv(PATHS.readers_plots / "drift.csv")
    assert turns.groupby("reader")["found"].sum().to_dict() == {
        name: summary()["readers"][name]["found"] for name in MISSES
    }
    blind = pd.read_csv(PATHS.readers_plots / "blind.csv")
    assert set(blind["arm"]) == {"blind", "drawn", "difference"}
    assert len(pd.read_csv(PATHS.readers_plots / "seconds.csv")) == len(read_log(PATHS.annotations))


def test_the_run_hears_of_it(notebook):
    report = summary()
    for name in MISSES:
        told = notebook.metrics[f"readers/{name}/sensitivity"]
        assert told == report["readers"][name]["sensitivity"]
    assert notebook.metrics["ledger/round"] == 2
    assert notebook.metrics["ledger/seconds"] == report["ledger"]["round_2"]["seconds"]
    assert "blind/difference/agreement/value" in notebook.metrics
    assert sorted(notebook.artifacts) == ["readers", "readers.json"]


def test_the_same_log_in_any_order_gives_the_same_bytes(notebook, monkeypatch):
    before = files()
    lines = PATHS.annotations.read_text().splitlines(keepends=True)
    PATHS.annotations.write_text("".join(lines[::-1] + lines[:7]))
    queue = PATHS.queue.read_text().splitlines(keepends=True)
    PATHS.queue.write_text("".join(queue[::-1]))
    run_stage(monkeypatch)
    assert files() == before


def test_before_anybody_has_read_there_is_a_report_too(monkeypatch):
    write_truth(PATHS.truth, {})
    for path in (PATHS.annotations, PATHS.queue):
        path.touch()
    notebook = run_stage(monkeypatch)
    assert summary()["ledger"] == summary()["readers"] == {}
    assert all(path.stat().st_size for path in PATHS.readers_plots.glob("*.png"))
    assert [pd.read_csv(path).empty for path in sorted(PATHS.readers_plots.glob("*.csv"))] == [
        False,  # blind: its measures, without values
        True,
        True,
        True,
    ]
    assert set(notebook.metrics.values()) == {0.0}


def test_without_truth_it_names_the_stage_to_run(capsys):
    assert readers.main() == 2
    assert "lungal readers: data/truth.jsonl is missing" in capsys.readouterr().err


# the commands


def cells(shown, start):
    (row,) = [line for line in shown.splitlines() if line.strip("│ ").startswith(start)]
    return [cell.strip() for cell in row.strip("│ ").split("│")]


def test_the_command_shows_the_same_numbers(notebook, capsys):
    report = summary()
    assert main(["readers"]) == 0
    shown = capsys.readouterr().out
    for name in MISSES:
        one = report["readers"][name]
        row = cells(shown, name)
        assert row[:3] == [name, "60", "30"]
        assert row[3] == f"{one['sensitivity']:.2f} ({one['low']:.2f}-{one['high']:.2f})"
    gained = report["blind"]["difference"]["agreement"]["value"]
    assert cells(shown, "agreement with the model")[3] == f"{gained:+.2f}"
    assert "60 films that several read" in shown


def test_the_report_fits_a_terminal_of_eighty_columns(notebook, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["readers"]) == 0
    shown = capsys.readouterr().out
    assert "\u2026" not in shown, "a word was cut off"
    for words in ("reader-careful", "seconds per new box", "sensitivity"):
        assert words in shown


def test_the_command_says_when_there_is_nothing_yet(capsys):
    assert main(["readers"]) == 0
    assert "nothing has been read yet" in capsys.readouterr().out


def test_without_truth_the_command_shows_what_it_can(notebook, capsys):
    PATHS.truth.unlink()
    assert main(["readers"]) == 0
    shown = capsys.readouterr().out
    assert "no truth of known cases here" in shown
    assert cells(shown, "reader-hasty")[2:4] == ["0", "-"]


def test_the_status_shows_the_ledger_and_what_waits(notebook, capsys):
    seen = read_log(PATHS.annotations)[0]
    refused = replace(
        seen,
        source_id="ls-1-99@refused-now",
        verdict="refused",
        boxes=(),
        comment="a [/rotated] Mass box: http://x/?task=9",
    )
    append_log(PATHS.annotations, [refused])
    waiting = replace(
        ask(FILMS[0], 0, {FILMS[0]: ()}), round=3, role="adjudicate", blind=False, readers=1
    )
    append_asked(PATHS.queue, [waiting])
    assert main(["status"]) == 0
    shown = capsys.readouterr().out
    entry = summary()["ledger"]["round_2"]
    for name in ("films", "readings"):
        assert cells(shown, f"{name} ")[2] == str(entry[name])
    assert cells(shown, "seconds per new box")[2] == f"{entry['seconds_per_new_box']:.1f}"
    assert "adjudications: 1 queued and not read yet" in shown
    assert f"refused: {seen.reader} on {seen.image_id}" in shown
    assert "a [/rotated] Mass box: http://x/?task=9" in shown


def test_the_status_counts_imported_labels_as_nobody_s_answers(notebook, capsys):
    before = read_log(PATHS.annotations)
    number = max(event.round for event in before)
    rows = [{"image_id": name, "round": number, "readers": 1} for name in FILMS]
    pd.DataFrame(rows).to_csv(PATHS.selection, index=False)
    assert main(["status"]) == 0
    (queue,) = [line for line in capsys.readouterr().out.splitlines() if "not read yet" in line]
    assert queue.startswith(f"queue of round {number}: ")
    imported = [
        replace(before[0], source_id=f"import-{name}", image_id=name, round=number, role="import")
        for name in FILMS
    ]
    append_log(PATHS.annotations, imported)
    assert main(["status"]) == 0
    assert queue in capsys.readouterr().out.splitlines()


def test_the_status_counts_an_adjudication_once_and_until_it_is_answered(notebook, capsys):
    asked = [
        replace(ask(FILMS[0], 0, {FILMS[0]: ()}), round=number, role="adjudicate", blind=False)
        for number in (3, 4)
    ]
    for question in asked:  # unread in round 3, it moved to round 4
        append_asked(PATHS.queue, [question])
        assert main(["status"]) == 0
        assert "adjudications: 1 queued and not read yet" in capsys.readouterr().out
    answer = read_by("reader-careful", 0, {FILMS[0]: ()}, asked[1], 0)
    append_log(PATHS.annotations, [answer])
    assert main(["status"]) == 0
    assert "queued and not read yet" not in capsys.readouterr().out


def test_the_status_counts_what_stands_and_survives_a_merge(notebook, capsys):
    log = read_log(PATHS.annotations)
    (once, *_) = [event for event in log if event.role == "label"]
    gone = deletion(once, "2026-12-01T00:00:00Z")
    append_log(PATHS.annotations, [gone])
    read_by = Counter(event.image_id for event in standing([*log, gone]) if event.round == 1)
    rows = [
        {"image_id": name, "round": 1, "readers": count + extra}
        for name, count in read_by.items()
        for extra in (0, 1)
    ]
    pd.DataFrame(rows).to_csv(PATHS.selection, index=False)
    PATHS.metrics.parent.mkdir(parents=True, exist_ok=True)
    PATHS.metrics.write_text("<<<<<<< HEAD\n{}\n", encoding="utf-8")
    assert main(["status"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert f"{len(rows)} films chosen, {len(rows) // 2} not read yet" in shown
    assert f"{len(standing([*log, gone]))} readings stand in" in shown


def test_a_reading_that_comes_in_while_readers_are_judged_is_judged_too(notebook, monkeypatch):
    seen = read_log(PATHS.annotations)[0]
    late = replace(seen, source_id="ls-1-late@saved", reader="reader-late")
    drawn = readers.plots

    def draw_then_pull(found):
        append_log(PATHS.annotations, [late])
        return drawn(found)

    monkeypatch.setattr(readers, "plots", draw_then_pull)
    run_stage(monkeypatch)
    assert "reader-late" in summary()["readers"]
    assert "reader-late" in (PATHS.readers_plots / "sensitivity.csv").read_text()
