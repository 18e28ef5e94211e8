import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal import boxes
from lungal.errors import BoxError

SIDE = 1024
edges = st.floats(0, SIDE - 2, width=32)


@st.composite
def some_boxes(draw, most=8):
    rows = []
    for _ in range(draw(st.integers(0, most))):
        x1, y1 = draw(edges), draw(edges)
        x2 = draw(st.floats(x1 + 1, SIDE, exclude_min=True))
        y2 = draw(st.floats(y1 + 1, SIDE, exclude_min=True))
        rows.append((x1, y1, x2, y2))
    return boxes.as_boxes(rows)


@given(some_boxes())
def test_each_convention_gives_the_boxes_back(pixels):
    assert np.allclose(boxes.from_xywh(boxes.to_xywh(pixels)), pixels, atol=1e-3)
    percent = boxes.to_percent(pixels, SIDE, 800)
    assert np.allclose(boxes.from_percent(percent, SIDE, 800), pixels, atol=1e-3)
    normalised = boxes.to_normalised(pixels, SIDE, 800)
    assert np.allclose(boxes.from_normalised(normalised, SIDE, 800), pixels, atol=1e-3)


@given(some_boxes(), some_boxes())
def test_iou_is_symmetric_and_bounded(a, b):
    overlap = boxes.iou(a, b)
    assert overlap.shape == (len(a), len(b))
    assert np.allclose(overlap, boxes.iou(b, a).T)
    assert ((overlap >= 0) & (overlap <= 1 + 1e-6)).all()
    assert np.allclose(np.diag(boxes.iou(a, a)), 1)


def test_iou_by_hand():
    a = boxes.as_boxes([[0, 0, 10, 10]])
    b = boxes.as_boxes([[5, 0, 15, 10], [20, 20, 30, 30], [0, 0, 10, 10], [3, 3, 3, 9]])
    assert np.allclose(boxes.iou(a, b), [[50 / 150, 0, 1, 0]])


def test_each_convention_by_hand():
    box = boxes.as_boxes([[100, 200, 300, 600]])
    assert boxes.to_xywh(box).tolist() == [[100, 200, 200, 400]]
    assert boxes.to_percent(box, 1000, 2000).tolist() == [[10, 10, 20, 20]]
    assert np.allclose(boxes.to_normalised(box, 1000, 2000), [[0.1, 0.1, 0.3, 0.3]])
    assert boxes.area(box).tolist() == [80000]


@pytest.mark.parametrize(
    ("box", "why"),
    [
        ((0, 0, 10, 10), None),
        ((-0.5, 0, 1024.5, 10), None),  # rounding
        ((float("nan"), 0, 10, 10), "finite"),
        ((0, 0, float("inf"), 10), "finite"),
        ((10, 0, 10, 10), "no area"),
        ((20, 0, 10, 10), "no area"),
        ((-2, 0, 10, 10), "outside"),
        ((0, 0, 10, 1030), "outside"),
        ((1024, 10, 1025, 30), "no area on the 1024x1024 film"),  # but for rounding
        ((10, -1, 30, 0), "no area on the 1024x1024 film"),
        ((500.000001, 10, 500.000002, 30), "no area on the 1024x1024 film"),  # as float32
    ],
)
def test_impossible_boxes_are_named(box, why):
    said = boxes.why_impossible(box, SIDE, SIDE)
    assert said is None if why is None else why in said


def test_clip_keeps_boxes_on_the_film():
    clipped = boxes.clip(boxes.as_boxes([[-5, -5, 2000, 900]]), SIDE, 800)
    assert clipped.tolist() == [[0, 0, SIDE, 800]]


def test_wrong_shape_is_refused():
    with pytest.raises(BoxError, match=r"\(N, 4\)"):
        boxes.as_boxes([[1, 2, 3]])
    assert boxes.as_boxes([]).shape == (0, 4)
