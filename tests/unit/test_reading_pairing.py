"""Pairs: one to one, of one finding, with the most overlap, the same from either side."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from made_up_readings import FEW, box, box_lists, quick

from lungal.boxes import iou as overlap
from lungal.reading.pairing import pair
from lungal.records import to_arrays


def pairs(a, b, iou=0.4):
    return pair(*to_arrays(a), *to_arrays(b), iou)


def fitting(a, b, iou):
    overlaps = overlap(to_arrays(a)[0], to_arrays(b)[0])
    return {
        (i, j): float(overlaps[i, j])
        for i in range(len(a))
        for j in range(len(b))
        if a[i].label == b[j].label and overlaps[i, j] >= np.float32(iou)
    }


def best_by_hand(a, b, iou):
    """The largest total overlap of any assignment, by trying them all."""
    fits = fitting(a, b, iou)
    small, large = sorted([len(a), len(b)])
    best = 0.0
    for chosen in permutations(range(large), small):
        picked = [(i, j) if len(a) <= len(b) else (j, i) for i, j in enumerate(chosen)]
        best = max(best, sum(fits.get(one, 0.0) for one in picked))
    return best


@quick
@given(box_lists(FEW), box_lists(FEW))
def test_the_total_overlap_is_the_largest_there_is(a, b):
    fits = fitting(a, b, 0.3)
    found = pairs(a, b, 0.3)
    assert set(found) <= set(fits)
    for side in (0, 1):
        assert len({one[side] for one in found}) == len(found)
    assert sum(fits[one] for one in found) == pytest.approx(best_by_hand(a, b, 0.3), abs=1e-5)


@quick
@given(box_lists(FEW), box_lists(FEW))
def test_both_sides_are_alike(a, b):
    assert len(pairs(a, b)) == len(pairs(b, a))


@quick
@given(box_lists(FEW))
def test_boxes_pair_with_themselves(a):
    assert len(pairs(a, a)) == len(a)


def test_the_better_of_two_is_not_taken_from_the_one_that_has_no_other():
    # Greedily, the first of ours takes the first of theirs (IoU 1) and leaves the other alone.
    ours = [box(x=0), box(x=20)]
    theirs = [box(x=0), box(x=-40)]
    greedy = fitting(ours, theirs, 0.3)
    assert greedy[0, 0] == 1.0
    assert pairs(ours, theirs, 0.3) == [(0, 1), (1, 0)]


def test_another_finding_is_another_box():
    assert pairs([box("Mass")], [box("Nodule")]) == []


def test_an_overlap_of_exactly_the_threshold_is_enough():
    # 100 x 100 and 100 x 30 within it: 3/10.
    assert pairs([box()], [box(height=30)], 0.3) == [(0, 0)]
    assert pairs([box()], [box(height=29)], 0.3) == []


def test_of_equal_totals_the_one_with_more_pairs_is_taken():
    a = [box(width=80), box(x=60, width=40)]
    b = [box(width=100), box(width=32)]
    assert fitting(a, b, 0.3) == pytest.approx({(0, 0): 0.8, (0, 1): 0.4, (1, 0): 0.4})
    assert pairs(a, b, 0.3) == pairs(b, a, 0.3) == [(0, 1), (1, 0)]


def test_no_boxes_make_no_pairs():
    assert pairs([], []) == pairs([box()], []) == pairs([], [box()]) == []
