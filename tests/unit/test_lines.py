"""Files of one JSON object a line, the annotation log and the queue: whole, and nothing is lost."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import pytest
from made_up_readings import asked, reading

from lungal.data import annotation_json, annotations
from lungal.data import asked as queue
from lungal.errors import AnnotationError
from lungal.records import LabelledBox


class Kept(NamedTuple):
    """A kind of record, and the module that keeps it."""

    make: Callable[[int], Any]
    read: Callable[..., Any]
    append: Callable[..., int]
    to_json: Callable[[Any], str]
    bad: Any  # a record that could not be read back
    complaint: str  # about it
    odd: Any  # a record with a line separator that is no end of a line


KINDS = {
    "annotations": Kept(
        reading,
        annotations.read_log,
        annotations.append_log,
        annotation_json.to_json,
        reading(2, boxes=(LabelledBox("Mass", 0.0, 0.0, float("inf"), 1.0),)),
        "'ls-2'",
        reading(1, reader="Ana\u2028María"),
    ),
    "queue": Kept(
        asked,
        queue.read_asked,
        queue.append_asked,
        queue.to_json,
        asked(2, readers=0),
        "00000002_000, asked in round 1: readers",
        asked(1, reason="größer\u2028als"),
    ),
}


@pytest.fixture(params=KINDS)
def kept(request):
    return KINDS[request.param]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "kept.jsonl"


def test_a_missing_file_is_empty(kept, path):
    assert kept.read(path) == []


def test_appending_adds_only_what_is_new(kept, tmp_path):
    path = tmp_path / "data" / "kept.jsonl"
    one, two, three = map(kept.make, (1, 2, 3))
    assert kept.append(path, [one, two]) == 2
    before = path.read_bytes()
    assert kept.append(path, [two, three, three]) == 1
    assert path.read_bytes().startswith(before)
    assert kept.append(path, [three]) == 0
    assert kept.read(path) == [one, two, three]


def test_a_last_line_without_newline_is_a_line(kept, path):
    path.write_text(kept.to_json(kept.make(1)), encoding="utf-8")
    assert kept.append(path, [kept.make(2)]) == 1
    assert kept.read(path) == [kept.make(1), kept.make(2)]


def test_windows_line_ends_and_line_separators_in_text_do_no_harm(kept, path):
    lines = kept.to_json(kept.odd), kept.to_json(kept.make(2))
    path.write_bytes("\r\n\r\n".join([*lines, ""]).encode())
    assert kept.read(path) == [kept.odd, kept.make(2)]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (b'{"round": 1, "ima', "no JSON"),
        (b"<<<<<<< HEAD", "no JSON"),
        (b"[]", "object"),
        (b"{}", "Field required"),
        (b'{"colour": "gr\xfcn"}', "can't decode byte 0xfc"),
    ],
)
def test_a_line_that_cannot_be_trusted_is_named_by_its_number(kept, path, line, complaint):
    path.write_bytes(kept.to_json(kept.make(1)).encode() + b"\n" + line + b"\n")
    before = path.read_bytes()
    with pytest.raises(AnnotationError, match=rf"kept\.jsonl:2: .*{complaint}"):
        kept.read(path)
    with pytest.raises(AnnotationError, match=r"kept\.jsonl:2"):
        kept.append(path, [kept.make(3)])
    assert path.read_bytes() == before


def test_nothing_is_appended_that_could_not_be_read_back(kept, path):
    with pytest.raises(AnnotationError, match=kept.complaint):
        kept.append(path, [kept.make(1), kept.bad])
    assert kept.read(path) == []


def test_a_failure_while_writing_leaves_the_old_file(kept, path, monkeypatch):
    kept.append(path, [kept.make(1)])

    def no_space(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        kept.append(path, [kept.make(2)])
    assert kept.read(path) == [kept.make(1)]
    assert list(path.parent.iterdir()) == [path]


def test_appends_at_the_same_time_lose_nothing(kept, path):
    def append(writer):
        # flock holds between file descriptions, so threads stand for processes.
        return sum(kept.append(path, [kept.make(100 * writer + n)]) for n in range(1, 26))

    with ThreadPoolExecutor(4) as executor:
        assert list(executor.map(append, range(4))) == [25] * 4
    expected = {kept.make(100 * writer + n) for writer in range(4) for n in range(1, 26)}
    assert set(kept.read(path)) == expected
