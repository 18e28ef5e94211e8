"""The log: order means nothing, repeats mean nothing, and a reading is never lost."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from made_up_readings import logs, quick, reading

from lungal.data.annotations import append_log, current_round, from_json, read_log, to_json
from lungal.errors import AnnotationError
from lungal.records import CLASSES


@quick
@given(logs())
def test_a_line_says_all_of_a_reading(log):
    assert [from_json(to_json(r)) for r in log] == log
    assert all("\n" not in to_json(r) for r in log)


@pytest.mark.parametrize(("rounds", "current"), [([], 1), ([1], 2), ([3, 1, 2], 4)])
def test_the_round_is_read_off_the_log(rounds, current):
    assert current_round([reading(n, round=r) for n, r in enumerate(rounds)]) == current


@pytest.mark.parametrize("verdict", ["deleted", "refused"])
def test_a_round_in_which_nobody_read_is_not_over(verdict):
    taken_back = reading(2, round=5, verdict=verdict, boxes=())
    assert current_round([reading(1, round=2), taken_back]) == 3
    assert current_round([taken_back]) == 1


@pytest.mark.parametrize("verdict", ["no_finding", "unreadable", "skipped"])
def test_a_film_that_was_passed_on_was_read_in_its_round(verdict):
    assert current_round([reading(1, round=2, verdict=verdict, boxes=())]) == 3


def without(field):
    line = json.loads(to_json(reading(1)))
    del line[field]
    return json.dumps(line)


def changed(**fields):
    return json.dumps(json.loads(to_json(reading(1))) | fields)


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        (without("reader"), "reader: Field required"),
        (changed(colour="red"), "colour: Extra inputs"),
        (changed(verdict="maybe"), "verdict.*'finding'.*'no_finding'"),
        (changed(verdict="deleted"), "'deleted' does not go with 1 box"),
        (changed(role="boss"), "role.*'label'.*'control'"),
        (changed(blind="yes"), "blind"),
        (changed(deleted=[{"label": "Mass", "x1": 5, "y1": 5, "x2": 5, "y2": 9}]), "no area"),
        (changed(round=0), "round"),
        (changed(round="1"), "round"),
        (changed(at="yesterday"), "at: .*yesterday"),
        (changed(at="2026-11-23T10:00:00"), "time zone"),
        (changed(boxes=[]), "'finding' does not go with 0 box"),
        (changed(verdict="no_finding"), "'no_finding' does not go with 1 box"),
        (changed(boxes=[{"label": "Mass", "x1": 5, "y1": 5, "x2": 5, "y2": 9}]), "no area"),
        (changed(boxes=[{"label": "Mass", "x1": float("nan"), "y1": 5, "x2": 5, "y2": 9}]), "x1"),
    ],
)
def test_a_reading_that_cannot_be_trusted_is_refused(line, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        from_json(line)


def test_an_unknown_class_lists_the_known_ones():
    line = changed(boxes=[{"label": "Infiltration", "x1": 1, "y1": 1, "x2": 5, "y2": 9}])
    with pytest.raises(AnnotationError, match=f"'Infiltration'.*{', '.join(CLASSES)}"):
        from_json(line)


def test_a_known_source_id_with_another_content_is_refused(tmp_path):
    log = tmp_path / "annotations.jsonl"
    append_log(log, [reading(1)])
    with pytest.raises(AnnotationError, match="'ls-1'"):
        append_log(log, [reading(2), reading(1, reader="someone else")])
    assert read_log(log) == [reading(1)]


APPEND_FOREVER = """
import sys
from itertools import count
from pathlib import Path
from lungal.data.annotations import append_log, from_json

line = sys.stdin.readline()
for number in count():
    append_log(Path(sys.argv[1]), [from_json(line.replace("ls-1", f"{sys.argv[2]}-{number}"))])
    print(f"{sys.argv[2]}-{number}", flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals")
def test_a_killed_pull_loses_no_reading_that_it_had_written(tmp_path):
    log = tmp_path / "annotations.jsonl"
    acknowledged = set()
    for attempt in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", APPEND_FOREVER, str(log), f"run{attempt}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        ) as process:
            process.stdin.write(to_json(reading(1)) + "\n")
            process.stdin.close()
            acknowledged.add(process.stdout.readline().strip())
            time.sleep(0.01 + 0.017 * attempt)
            process.kill()
            acknowledged |= {line.strip() for line in process.stdout if line.endswith("\n")}
        assert acknowledged <= {r.source_id for r in read_log(log)}
    assert len(acknowledged) >= 4
    assert append_log(log, [reading(99)]) == 1
