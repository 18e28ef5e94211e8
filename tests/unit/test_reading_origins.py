"""What became of each pre-drawn box, and which boxes are the reader's own."""

from dataclasses import replace

import pytest
from hypothesis import given
from made_up_readings import FEW, box, box_lists, quick

from lungal.errors import UnknownNameError
from lungal.reading.origins import trace
from lungal.records import SeenBox


def seen(said, score=0.5):
    return SeenBox(said.label, *said.xyxy, score)


def shifted(a_box, by):
    return replace(a_box, x1=a_box.x1 + by, x2=a_box.x2 + by)


def origins(shown, said):
    traced, deleted = trace([seen(one) for one in shown], said)
    return [one.origin for one in traced], list(deleted)


@quick
@given(box_lists(FEW))
def test_boxes_left_alone_are_accepted(shown):
    assert origins(shown, shown) == (["accepted"] * len(shown), [])


@quick
@given(box_lists(FEW))
def test_boxes_taken_away_are_deleted(shown):
    assert origins(shown, []) == ([], list(shown))


@quick
@given(box_lists(FEW))
def test_boxes_where_none_were_are_drawn(said):
    assert origins([], said) == (["drawn"] * len(said), [])


@quick
@given(box_lists(FEW), box_lists(FEW))
def test_every_pre_drawn_box_has_one_fate_and_nothing_else_changes(shown, said):
    traced, deleted = trace([seen(one) for one in shown], said)
    kept = sum(one.origin in ("accepted", "moved") for one in traced)
    assert kept + len(deleted) == len(shown)
    assert tuple(replace(one, origin=None) for one in traced) == said


def test_a_rounding_pixel_is_no_move():
    shown = box(x=10)
    assert origins([shown], [shifted(shown, 1.0)]) == (["accepted"], [])
    assert origins([shown], [shifted(shown, 1.1)]) == (["moved"], [])


def test_one_edge_that_was_dragged_is_a_move():
    assert origins([box()], [box(height=103)]) == (["moved"], [])


def test_a_box_elsewhere_is_drawn_and_the_pre_drawn_one_deleted():
    # Half of the union is still the same box; less is another one.
    assert origins([box()], [box(height=50)]) == (["moved"], [])
    assert origins([box()], [box(height=49)]) == (["drawn"], [box()])


def test_another_finding_given_to_a_box_is_a_move():
    assert origins([box("Mass")], [box("Nodule")]) == (["moved"], [])


def test_of_two_findings_in_one_place_the_deleted_one_is_the_one_that_is_not_there():
    # The reader's Mass, moved a little, overlaps the deleted Nodule more than the old Mass.
    shown = [box("Mass", width=100), box("Nodule", width=112)]
    assert origins(shown, [box("Mass", width=110)]) == (["moved"], [shown[1]])


def test_an_accepted_box_is_not_given_to_a_neighbour_that_moved():
    shown = [box(x=0), box(x=20)]
    said = [box(x=10), box(x=20)]
    assert origins(shown, said) == (["moved", "accepted"], [])


def test_two_boxes_left_where_one_was_are_one_accepted_and_one_drawn():
    assert origins([box()], [box(), box()]) == (["accepted", "drawn"], [])


def test_what_the_reader_said_of_a_box_stays():
    said = box(confidence="low", comment="behind the heart")
    (traced,), _ = trace([seen(box())], [said])
    assert traced == replace(said, origin="accepted")


def test_a_finding_that_nobody_knows_is_named():
    with pytest.raises(UnknownNameError, match="'Hernia'; known: Atelectasis"):
        trace([seen(box("Hernia"))], [])
