"""The journal, the tracker while its server is away, and where runs come from: no MLflow here."""

import logging
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.tracking import (
    Tracker,
    connection,
    content_hash,
    dvc_hashes,
    dvc_tags,
    flush_outbox,
    git_tags,
    tracking_uri,
)
from lungal.tracking.entries import MAX_VALUE, Entry, flatten
from lungal.tracking.outbox import Away, Outbox, Rejected, outboxes
from lungal.tracking.run import Run
from lungal.tracking.store import Store

NOWHERE = "http://user:secret@127.0.0.1:9"  # the discard port: nobody listens


def entry(number: int, file: str | None = None) -> Entry:
    return Entry("tags", "key", number, {"n": str(number)}, file)


class Server:
    """Notes what it gets, one entry at a time, and does as it is told."""

    def __init__(self) -> None:
        self.got: list[int] = []
        self.faults: dict[int, BaseException] = {}

    def send(self, entries: Sequence[Entry]) -> int:
        if (fault := self.faults.pop(entries[0].time, None)) is not None:
            raise fault
        self.got.append(entries[0].time)
        return 1


@given(
    st.dictionaries(st.text(), st.text() | st.floats(allow_nan=False) | st.none()),
    st.text(min_size=1),
)
def test_entry_survives_its_line(data: dict[str, object], key: str) -> None:
    written = Entry("params", key, 7, data, None)
    line = written.to_json()
    assert "\n" not in line
    assert Entry.from_json(line) == written


@pytest.mark.parametrize("line", ['{"operation": "ta', "{}", "[1]", ""])
def test_cut_line_is_no_entry(line: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Entry.from_json(line)


def test_flatten_names_with_dots_and_cuts_long_values() -> None:
    flat = flatten({"train": {"augment": {"crop": True}, "steps": 3}, "root": Path("a/b")})
    assert flat == {"train.augment.crop": "True", "train.steps": "3", "root": "a/b"}
    assert len(flatten({"long": "x" * 9999})["long"]) == MAX_VALUE


def test_entries_are_sent_in_order_and_nothing_is_left(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    for number in range(5):
        box.append(entry(number))
    assert box.waiting() == 5
    assert box.flush(server.send).sent == 5
    assert server.got == [0, 1, 2, 3, 4]
    assert list(tmp_path.iterdir()) == []


def test_away_keeps_the_rest_for_the_next_process(tmp_path: Path) -> None:
    server = Server()
    for number in range(5):
        Outbox(tmp_path, "key").append(entry(number))
    server.faults[2] = Away("gone fishing")
    report = Outbox(tmp_path, "key").flush(server.send)
    assert (report.sent, report.waiting, report.why) == (2, 3, "gone fishing")
    Outbox(tmp_path, "key").append(entry(5))
    assert Outbox(tmp_path, "key").flush(server.send).sent == 4
    assert server.got == [0, 1, 2, 3, 4, 5]


def test_kill_while_sending_repeats_that_entry_only(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    for number in range(4):
        box.append(entry(number))
    server.faults[2] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        box.flush(server.send)
    box.flush(server.send)
    assert server.got == [0, 1, 2, 3]


def test_refused_entry_is_set_aside_and_blocks_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    for number in range(3):
        box.append(entry(number))
    server.faults[1] = Rejected("bad name")
    report = box.flush(server.send)
    assert (report.sent, report.rejected, report.waiting) == (2, 1, 0)
    assert Entry.from_json((tmp_path / "key.rejected").read_text()) == entry(1)
    assert "bad name" in caplog.text


def test_half_a_line_of_a_killed_writer_swallows_no_other(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    box.append(entry(0))
    with (tmp_path / "key.jsonl").open("a") as journal:
        journal.write('{"operation": "met')
    box.append(entry(1))
    box.append(entry(2))
    with (tmp_path / "key.jsonl").open("a") as journal:
        journal.write('{"opera')
    assert box.flush(server.send).sent == 3
    assert server.got == [0, 1, 2]
    assert list(tmp_path.iterdir()) == []


def test_what_is_appended_while_sending_is_sent_too(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    box.append(entry(0))

    def send(entries: Sequence[Entry]) -> int:
        if entries[0].time < 3:
            Outbox(tmp_path, "key").append(entry(entries[0].time + 1))
        return server.send(entries)

    box.flush(send)
    assert server.got == [0, 1, 2, 3]


def test_one_at_a_time_sends(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    box.append(entry(0))

    def send(entries: Sequence[Entry]) -> int:
        assert Outbox(tmp_path, "key").flush(server.send).sent == 0
        return server.send(entries)

    box.flush(send)
    assert server.got == [0]


def test_copy_lives_until_its_entry_is_sent(tmp_path: Path) -> None:
    box, server = Outbox(tmp_path, "key"), Server()
    kept = box.keep(lambda path: path.write_text("figure"), "a.png")
    box.append(entry(0, kept))
    server.faults[0] = Away("away")
    box.flush(server.send)
    assert (tmp_path / kept).read_text() == "figure"
    box.flush(server.send)
    assert list(tmp_path.iterdir()) == []


def test_key_of_a_journal_makes_a_file_name(tmp_path: Path) -> None:
    Outbox(tmp_path, "a/b:c").append(entry(0))
    assert [box.key for box in outboxes(tmp_path)] == ["a_b_c"]


def test_unreachable_server_costs_one_warning_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = Tracker(NOWHERE, tmp_path / "outbox")
    run = tracker.open_round("k1", 2, {"lungal.stage": "train"}, {"train": {"steps": 9}})
    for step in range(20):
        run.log_metrics({"loss": 1 / (step + 1)}, step)
    run.log_table(pd.DataFrame({"a": [1]}), "tables/a.json")
    (tmp_path / "a.txt").write_text("hello")
    run.log_artifact(tmp_path / "a.txt", "notes")
    report = run.end()
    assert report.waiting == 25
    assert run.run_id is None
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1
    assert "127.0.0.1" in warnings[0].getMessage()
    assert "secret" not in caplog.text
    lines = (tmp_path / "outbox/k1.jsonl").read_text().splitlines()
    operations = [Entry.from_json(line).operation for line in lines]
    assert operations == ["open", "params", *["metrics"] * 20, "table", "artifact", "end"]


def test_server_that_is_away_is_left_alone_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, now = [], [0.0]

    def probe(uri: str) -> None:
        asked.append(now[0])
        raise Away("no")

    monkeypatch.setattr(connection, "_probe", probe)
    tracker = Tracker(NOWHERE, tmp_path, cool_down=30, clock=lambda: now[0])
    run = tracker.open_round("k1", 1)
    for second in range(1, 100):
        now[0] = float(second)
        run.log_metrics({"loss": 0.5}, second)
    assert asked == [0.0, 30.0, 60.0, 90.0]
    run.end()
    assert asked[-1] == 99.0  # once more before the process goes


def test_flush_outbox_asks_a_dead_server_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "b", "c"):
        Outbox(tmp_path, key).append(entry(0))
    asked = []

    def probe(uri: str) -> None:
        asked.append(uri)
        raise Away("no")

    monkeypatch.setattr(connection, "_probe", probe)
    report = flush_outbox(tmp_path, NOWHERE)
    assert (report.sent, report.waiting, report.why) == (0, 3, "no")
    assert asked == [NOWHERE]


def test_tracking_uri_prefers_the_environment(tmp_path: Path) -> None:
    assert tracking_uri(tmp_path, {}) == f"sqlite:///{tmp_path}/mlruns/mlflow.db"
    assert tracking_uri(tmp_path, {"MLFLOW_TRACKING_URI": "http://a:5000"}) == "http://a:5000"
    assert tracking_uri(tmp_path, {"MLFLOW_TRACKING_URI": ""}).startswith("sqlite:///")


def test_dvc_hashes_let_outputs_speak(tmp_path: Path) -> None:
    lock = tmp_path / "dvc.lock"
    assert dvc_hashes(lock) == {}
    lock.write_text(
        """
schema: '2.0'
stages:
  train:
    cmd: x
    deps: [{path: data/labels.parquet, md5: stale}, {path: lungal/a.py, md5: code}]
    outs: [{path: models/detector, md5: aa.dir}]
  label:
    cmd: x
    deps: [{path: data/new, hash: md5}, {path: data/log.jsonl, md5: today}]
    outs: [{path: data/labels.parquet, md5: fresh}]
  readers:
    cmd: x
    deps: [{path: data/log.jsonl, md5: last week}]
""",
        encoding="utf-8",
    )
    hashes = dvc_hashes(lock)
    assert hashes["data/labels.parquet"] == "fresh"
    assert hashes["data/log.jsonl"] == "today"
    assert dvc_tags(hashes, [Path("models/detector"), Path("data/never")]) == {
        "dvc.models/detector": "aa.dir"
    }


def test_git_tags_name_the_commit(tmp_path: Path) -> None:
    assert git_tags(tmp_path) == {}

    def git(*words: str) -> str:
        command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *words]
        return subprocess.run(
            command, cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    git("init", "-q", "-b", "rounds")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-qm", "a")
    tags = git_tags(tmp_path)
    assert tags["mlflow.source.git.commit"] == git("rev-parse", "HEAD")
    assert tags["mlflow.source.git.branch"] == "rounds"
    assert tags["lungal.git.dirty"] == "false"
    (tmp_path / "a").write_text("2")
    assert git_tags(tmp_path)["lungal.git.dirty"] == "true"


def test_content_hash_sees_names_and_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub/x").write_text("1")
    before = content_hash(folder)
    assert content_hash(folder) == before
    (folder / "sub/x").rename(folder / "sub/y")
    renamed = content_hash(folder)
    (folder / "sub/y").write_text("2")
    assert len({before, renamed, content_hash(folder)}) == 3
    assert content_hash(folder / "sub/y") != content_hash(folder)


@pytest.mark.parametrize(
    ("uri", "shown"),
    [
        ("http://bob:secret@host:5000/x", "http://host:5000/x"),
        ("http://bob:se@cr/et@host", "http://host"),
        ("no answer from https://bob:secret@host: 503", "no answer from https://host: 503"),
        ("sqlite:////data/of@me/mlflow.db", "sqlite:////data/of@me/mlflow.db"),
        ("http://host/a", "http://host/a"),
    ],
)
def test_no_password_is_shown(uri: str, shown: str) -> None:
    assert connection.without_secrets(uri) == shown


class Answer(Exception):  # noqa: N818  what requests raises, which is no error of ours
    """An error as requests raises it: with a response, and without a code of MLflow's."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{status} from http://bob:secret@host")
        self.response = type("Response", (), {"status_code": status})()


class Coded(Exception):  # noqa: N818
    """An error as MLflow raises it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.error_code = code


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Answer(413), Rejected),
        (Answer(404), Rejected),
        (Answer(401), Away),
        (Answer(429), Away),
        (Answer(502), Away),
        (Coded("ENDPOINT_NOT_FOUND"), Rejected),
        (Coded("INVALID_PARAMETER_VALUE"), Rejected),
        (Coded("TEMPORARILY_UNAVAILABLE"), Away),
        (ValueError("odd"), Away),
    ],
)
def test_what_will_be_refused_tomorrow_too_blocks_nobody(
    tmp_path: Path, error: Exception, kind: type[Exception]
) -> None:
    store = Store("http://host", tmp_path)

    def refuse(_run: str, _entry: Entry) -> None:
        raise error

    store._runs["key"] = "run"
    store._senders["tags"] = refuse
    with pytest.raises(kind) as raised:
        store.send([entry(1)])
    assert "secret" not in str(raised.value)


def test_behind_a_proxy_no_socket_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(Away):
        connection._probe(NOWHERE)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:8")
    connection._probe(NOWHERE)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(Away):
        connection._probe(NOWHERE)


def test_a_user_without_a_name_has_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", fail)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    tracker = Tracker("http://127.0.0.1:9", tmp_path)
    run = tracker.open_run("key", "name", {}, {})
    assert isinstance(run, Run)
    assert '"mlflow.user": "12345"' in "".join(
        path.read_text() for path in tmp_path.rglob("*") if path.is_file()
    )
