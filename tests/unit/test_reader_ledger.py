"""The ledger's books, refused readings that wait, and the report as a whole."""

import json
from dataclasses import replace
from random import Random

import pytest
from scripted_readings import box, said, saw

from lungal.params import ReadingParams
from lungal.reading.ledger import ledger
from lungal.reading.refusals import waiting
from lungal.reading.report import as_json, overlap, report

PARAMS = ReadingParams(iou=0.4, idle_seconds=100)


def only(readings):
    (entry,) = ledger(readings, PARAMS)
    return entry


def test_boxes_are_booked_by_what_was_done_to_them():
    entry = only(
        [
            said("a", box(origin="accepted"), box("Nodule", origin="moved"), deleted=(box(),)),
            said("b", box(origin="drawn"), blind=True),
            said("c", deleted=(box(), box("Mass", x=90))),
        ]
    )
    assert (entry.accepted, entry.moved, entry.drawn, entry.deleted) == (1, 1, 1, 3)
    assert (entry.films, entry.readings, entry.blind, entry.new_boxes) == (3, 3, 1, 3.0)
    assert entry.seconds == 30.0
    assert entry.seconds_per_new_box == 10.0


def test_passes_cost_time_and_bring_nothing():
    entry = only([said("a", verdict="skipped"), said("b", verdict="unreadable"), said("c", box())])
    assert (entry.films, entry.readings, entry.skipped, entry.unreadable) == (1, 3, 1, 1)
    assert entry.seconds_per_new_box == 30.0


@pytest.mark.parametrize("role", ["control", "reread", "adjudicate"])
def test_only_what_was_asked_for_its_label_is_new(role):
    entry = only([said("a", box()), said("b", box(), box("Nodule"), role=role)])
    assert entry.new_boxes == 1.0
    assert entry.seconds_per_new_box == 20.0
    counted = {
        "control": entry.controls,
        "reread": entry.rereads,
        "adjudicate": entry.adjudications,
    }
    assert counted == {name: int(name == role) for name in counted}


def test_what_readers_drew_is_no_box_of_the_models_that_an_adjudicator_keeps():
    judged = said("b", box(origin="drawn"), role="adjudicate", seen=(), deleted=(box(),))
    entry = only([said("a", box(origin="drawn"), deleted=(box(),)), judged])
    assert (entry.accepted, entry.moved, entry.drawn, entry.deleted) == (0, 0, 1, 1)


def test_a_box_whose_time_nobody_knows_makes_no_other_cheaper():
    log = [said("a", box()), said("b", box(), seconds=None), said("c", box(), box("Nodule"))]
    entry = only([*log, said("c", box(), reader="reader-b", seconds=None)])
    assert entry.new_boxes == 3.5
    assert entry.seconds_per_new_box == 20.0 / 3


def test_two_readers_of_a_film_do_not_find_its_boxes_twice():
    entry = only([said("a", box(), box("Nodule")), said("a", box(), reader="reader-b")])
    assert (entry.films, entry.readings, entry.new_boxes) == (1, 2, 1.5)


def test_idle_time_is_cut_and_unknown_time_is_none():
    assert only([said("a", box(), seconds=7200.0)]).seconds == PARAMS.idle_seconds
    assert only([said("a", box(), seconds=None)]).seconds_per_new_box is None
    assert only([said("a")]).seconds_per_new_box is None


def test_imports_are_told_apart():
    entry = only([said("a", box(), role="import", seconds=None), said("b", box())])
    assert (entry.imported, entry.films, entry.readings, entry.new_boxes) == (1, 1, 1, 1.0)


def test_each_round_has_its_line_oldest_first():
    entries = ledger([said("a", round=3), said("b", round=1), said("c", round=3)], PARAMS)
    assert [(entry.round, entry.readings) for entry in entries] == [(1, 1), (3, 2)]


# refused readings


def test_a_refused_reading_waits_until_it_is_mended_or_deleted():
    def event(thread, what, minute, verdict):
        at = f"2026-11-20T10:{minute:02d}:00.000000Z"
        return said("a", verdict=verdict, source_id=f"{thread}@{what}", at=at, comment=what)

    log = [
        event("mended", "refused-1", 1, "refused"),
        event("mended", "2", 2, "no_finding"),
        event("gone", "refused-1", 1, "refused"),
        event("gone", "deleted-3", 3, "deleted"),
        event("spoilt", "1", 1, "no_finding"),
        event("spoilt", "refused-4", 4, "refused"),
        event("never good", "refused-5", 5, "refused"),
    ]
    Random(0).shuffle(log)  # noqa: S311
    assert [event.thread for event in waiting(log)] == ["spoilt", "never good"]


# the report


LOG = [
    said("a", box(origin="accepted"), reader="reader-a"),
    said("a", box(x=12, origin="moved"), reader="reader-b"),
    said("b", blind=True, reader="reader-b"),
    said("b", blind=True, reader="reader-a"),
    said("c", box(origin="drawn"), role="control", reader="reader-a", round=2),
    said("d", box(origin="drawn"), role="adjudicate", reader="reader-a", round=2),
    said("d", role="adjudicate", reader="reader-b", round=2),
]


def judged(log=LOG):
    log = [replace(reading, seen=saw(box())) if reading.round == 1 else reading for reading in log]
    return report(log, {"c": (box(),)}, PARAMS)


def test_readers_who_read_the_same_films_are_compared():
    found = judged().overlap
    assert (found.films, found.readings, found.agreement) == (2, 4, 1.0)
    assert found.mean_iou == pytest.approx(38 / 42, abs=1e-6)
    assert found.alpha == pytest.approx(1.0)


def test_one_reader_agrees_with_nobody():
    found = overlap([said("a", box())], PARAMS)
    assert (found.films, found.agreement, found.mean_iou, found.alpha) == (0, None, None, None)


def test_the_file_has_its_groups_and_short_numbers():
    summary = as_json(judged())
    assert list(summary) == ["ledger", "readers", "blind", "agreement"]
    assert list(summary["ledger"]) == ["round_1", "round_2"]
    assert summary["readers"]["reader-a"]["sensitivity"] == 1.0
    assert summary["readers"]["reader-a"]["low"] == pytest.approx(0.2065, abs=5e-5)
    assert summary["blind"]["blind"]["films"] == 1
    assert summary["blind"]["difference"]["agreement"]["value"] == 1.0
    assert summary["agreement"]["mean_iou"] == 0.9048
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_the_order_and_repeats_of_the_log_change_nothing():
    shuffled = [*LOG, *LOG[:3]]
    Random(1).shuffle(shuffled)  # noqa: S311
    assert as_json(judged(shuffled)) == as_json(judged())


def test_nothing_read_is_a_report_too():
    summary = as_json(report([], {}, PARAMS))
    assert summary["ledger"] == summary["readers"] == {}
    assert summary["agreement"]["films"] == 0
