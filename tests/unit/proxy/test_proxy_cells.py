"""Cells that stand for boxes, and boxes back from cells."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.detectors.proxy.cells import assign_targets, boxes_of, centres
from lungal.records import GroundTruth

SIDE, GRID = 80.0, 8  # cells of 10 pixels, centres at 5, 15, ...


def truth(*rows, labels=None):
    labels = [0] * len(rows) if labels is None else labels
    return GroundTruth(
        "film", np.array(rows, np.float32).reshape(-1, 4), np.array(labels, np.int32)
    )


def test_centres_go_row_by_row():
    at = centres(2)
    assert at.tolist() == [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]


def test_a_box_by_hand():
    # From 10 to 50: its middle is 30, its core from 20 to 40, with the centres 25 and 35.
    hits, weights, reach = assign_targets(truth([10, 10, 50, 50]), SIDE, GRID)
    core = [2 * GRID + 2, 2 * GRID + 3, 3 * GRID + 2, 3 * GRID + 3]
    assert np.flatnonzero(hits[:, 0]).tolist() == core
    assert weights[core, 0].tolist() == [0.25] * 4
    rest = [row * GRID + column for row in range(1, 5) for column in range(1, 5)]
    assert weights[sorted(set(rest) - set(core)), 0].tolist() == [0.0] * 12
    assert weights[:, 0].sum() == 64 - 16 + 1
    assert (weights[:, 1:] == 1).all()
    assert np.exp(reach[core[0], 0]) * SIDE == pytest.approx([15, 15, 25, 25], rel=1e-5)


def test_a_box_smaller_than_a_cell_has_the_nearest():
    hits, weights, _ = assign_targets(truth([11, 11, 14, 14]), SIDE, GRID)
    assert np.flatnonzero(hits[:, 0]).tolist() == [GRID + 1]
    assert weights[GRID + 1, 0] == 1


def test_a_small_box_is_not_hidden_by_one_of_its_kind_around_it():
    hits, _, reach = assign_targets(truth([0, 0, 80, 80], [30, 30, 50, 50]), SIDE, GRID)
    cell = 3 * GRID + 3  # its centre is 35, 35
    assert hits[cell, 0] == 1
    assert np.exp(reach[cell, 0]) * SIDE == pytest.approx([5, 5, 15, 15], rel=1e-5)


def test_nothing_there_is_background_everywhere():
    hits, weights, _ = assign_targets(truth(), SIDE, GRID)
    assert hits.sum() == 0
    assert (weights == 1).all()


@given(st.tuples(*[st.floats(5, 30)] * 4), st.integers(0, 7))
def test_boxes_come_back_from_their_cells(numbers, label):
    x, y, width, height = numbers
    box = [x, y, x + width + 15, y + height + 15]
    hits, _, reach = assign_targets(truth(box, labels=[label]), SIDE, GRID)
    cells = np.flatnonzero(hits[:, label])
    inside = np.exp(reach[cells, label]).min(axis=1) > 0.5 / GRID + 1e-6  # not moved to the least
    back = boxes_of(cells, reach[cells, label], GRID)[inside] * SIDE
    assert back == pytest.approx(np.tile(box, (inside.sum(), 1)), abs=1e-3)
