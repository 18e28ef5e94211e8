"""Weighted box fusion: averages by hand, and what must not change them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_readings import FEW, box, box_lists, quick

from lungal.reading.fusion import fuse

weights = st.sampled_from([0.3, 0.7, 1.0, 2.0])


def corners(found):
    return [(one.box.label, *one.box.xyxy) for one in found]


def plain(boxes):
    return [(one.label, *one.xyxy) for one in boxes]


@quick
@given(box_lists(FEW), weights)
def test_one_reading_is_itself(boxes, weight):
    found = fuse([boxes], [weight], 0.4)
    assert corners(found) == plain(boxes)  # to the last bit
    assert [one.heaviest for one in found] == [one.box for one in found]
    assert all(one.support == 1 for one in found)


@quick
@given(box_lists(FEW), st.lists(weights, min_size=2, max_size=4))
def test_equal_readings_are_themselves_with_all_of_the_support(boxes, each):
    found = fuse([boxes] * len(each), each, 0.4)
    assert sorted(corners(found)) == sorted(plain(boxes))
    assert [one.support for one in found] == pytest.approx([1] * len(boxes))


readings = st.lists(st.tuples(box_lists(FEW), weights), min_size=1, max_size=4)


@quick
@given(readings, st.randoms())
def test_the_order_of_readings_means_nothing(pairs, random):
    mixed = random.sample(pairs, len(pairs))
    assert fuse(*zip(*mixed, strict=True), 0.4) == fuse(*zip(*pairs, strict=True), 0.4)


@quick
@given(readings)
def test_all_that_was_drawn_is_shared_out(pairs):
    each = [weight for _, weight in pairs]
    found = fuse([boxes for boxes, _ in pairs], each, 0.4)
    drawn = sum(weight * len(boxes) for boxes, weight in pairs)
    assert sum(one.support for one in found) * sum(each) == pytest.approx(drawn)
    assert all(0 < one.support <= 1 for one in found)


@quick
@given(readings)
def test_a_fused_box_lies_between_those_that_it_was_made_of(pairs):
    said = [one for boxes, _ in pairs for one in boxes]
    for one in fuse([boxes for boxes, _ in pairs], [weight for _, weight in pairs], 0.4):
        same = [other for other in said if other.label == one.box.label]
        for side in ("x1", "y1", "x2", "y2"):
            edges = [getattr(other, side) for other in same]
            assert min(edges) - 1e-9 <= getattr(one.box, side) <= max(edges) + 1e-9


def test_corners_are_averaged_by_weight():
    # (3 * 0 + 1 * 8) / 4 = 2, (3 * 100 + 1 * 108) / 4 = 102
    (found,) = fuse([[box(x=8)], [box(x=0)]], [1.0, 3.0], 0.4)
    assert found.box.xyxy == (2.0, 0.0, 102.0, 100.0)
    assert found.heaviest == box(x=0)
    assert found.support == 1.0


def test_support_is_the_share_of_weight_that_drew_it():
    found = fuse([[box()], [box(x=4)], []], [1.0, 1.0, 2.0], 0.4)
    assert [(one.box.x1, one.support) for one in found] == [(2.0, 0.5)]


def test_boxes_that_overlap_too_little_stay_apart():
    found = fuse([[box()], [box(height=39)]], [1.0, 1.0], 0.4)
    assert sorted((one.box.y2, one.support) for one in found) == [(39.0, 0.5), (100.0, 0.5)]


def test_another_finding_stays_apart():
    found = fuse([[box("Mass")], [box("Nodule")]], [1.0, 1.0], 0.4)
    assert sorted(one.box.label for one in found) == ["Mass", "Nodule"]


def test_two_boxes_of_one_reader_are_two_findings_however_they_overlap():
    near = [box(), box(x=4)]
    assert corners(fuse([near], [1.0], 0.4)) == plain(near)
    found = fuse([near, [box(x=5)]], [1.0, 1.0], 0.4)
    assert sorted((one.box.x1, one.support) for one in found) == [(0.0, 0.5), (4.5, 1.0)]


def test_a_third_reader_is_held_against_the_average_of_the_first_two():
    # IoU of the third with each of the two is 60/140 and 100/100; with their average 80/120.
    found = fuse([[box(x=0)], [box(x=40)], [box(x=40)]], [1.0, 1.0, 1.0], 0.42)
    (one,) = found
    assert one.box.x1 == pytest.approx(80 / 3)
    assert one.support == 1.0


def test_what_one_reader_said_of_a_box_is_not_said_of_the_fused_one():
    (found,) = fuse([[box(origin="moved", confidence="low", comment="?")]], [1.0], 0.4)
    assert found.box == found.heaviest == box()


def test_as_many_weights_as_readings():
    with pytest.raises(ValueError, match="zip"):
        fuse([[box()]], [1.0, 1.0], 0.4)
