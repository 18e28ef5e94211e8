"""Views and the way back from them, and a detector that looks through several."""

from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.boxes import area, intersection, iou
from lungal.data.images import warp
from lungal.detectors.views import VIEWS, View, detect_views
from lungal.params import DetectParams, ViewName
from lungal.records import Detections, Image
from lungal.testing import make_detections, make_film

sides = st.integers(64, 600)
views = st.sampled_from(sorted(VIEWS))


def found_at(boxes, image_id="film"):
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    count = len(boxes)
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)
    per_class = np.linspace(0, 1, count * 8, dtype=np.float32).reshape(count, 8)
    labels = np.arange(count, dtype=np.int32) % 8
    return Detections(image_id, boxes, scores, labels, per_class, np.ones(3, np.float32))


def seen_in(view, box, width, height):
    """Where a view shows a box: the upright hull of its four corners, one by one."""
    (a, b, c), (d, e, f) = view.matrix(width, height)
    x1, y1, x2, y2 = (float(v) for v in box)
    xs = [a * x + b * y + c for x in (x1, x2) for y in (y1, y2)]
    ys = [d * x + e * y + f for x in (x1, x2) for y in (y1, y2)]
    return [min(xs), min(ys), max(xs), max(ys)]


@st.composite
def a_box_well_inside(draw):
    width, height = draw(sides), draw(sides)
    x1 = draw(st.floats(0.2, 0.45)) * width
    y1 = draw(st.floats(0.2, 0.45)) * height
    x2 = draw(st.floats(0.5, 0.8)) * width
    y2 = draw(st.floats(0.5, 0.8)) * height
    return width, height, np.array([x1, y1, x2, y2], np.float32)


@given(views, a_box_well_inside())
def test_the_way_back_leads_to_where_the_box_was(name, film):
    width, height, box = film
    view = VIEWS[name]
    (back,) = view.back(found_at(seen_in(view, box, width, height)), width, height).boxes
    if view.degrees == 0:
        np.testing.assert_allclose(back, box, atol=1e-3)
        return
    # Turned there and back, it became the hull of a hull: all of the box, centred on it.
    assert (back[:2] <= box[:2] + 1e-3).all()
    assert (back[2:] >= box[2:] - 1e-3).all()
    np.testing.assert_allclose(back[:2] + back[2:], box[:2] + box[2:], atol=1e-2)
    sine, cosine = (abs(f(np.deg2rad(view.degrees))) for f in (np.sin, np.cos))
    turn = np.array([[cosine, sine], [sine, cosine]])
    np.testing.assert_allclose(back[2:] - back[:2], turn @ turn @ (box[2:] - box[:2]), atol=1e-2)


def test_a_square_grows_by_a_twentieth_when_it_is_turned_back():
    (back,) = VIEWS["turn_left"].back(found_at([400, 400, 600, 600]), 1000, 1000).boxes
    np.testing.assert_allclose(back, [394.9, 394.9, 605.1, 605.1], atol=0.1)


@given(views, st.integers(0, 30), sides, sides)
def test_what_comes_back_is_on_the_film_and_else_as_it_was(name, count, width, height):
    given_to = make_detections("film", count, width, height)
    back = VIEWS[name].back(given_to, width, height)
    assert back.image_id == "film"
    assert (back.boxes >= 0).all()
    assert (back.boxes <= [width, height, width, height]).all()
    assert (area(back.boxes) > 0).all()
    np.testing.assert_array_equal(back.scores, given_to.scores)  # no box was at the very rim
    np.testing.assert_array_equal(back.labels, given_to.labels)
    np.testing.assert_array_equal(back.class_scores, given_to.class_scores)


def test_a_box_in_the_black_around_a_shrunk_film_is_dropped():
    corner, centre = [1, 1, 9, 9], [100, 100, 150, 150]
    back = VIEWS["shrink"].back(found_at([corner, centre]), 200, 200)
    assert len(back) == 1
    assert back.labels.tolist() == [1]
    assert back.scores.tolist() == pytest.approx([0.1])
    assert back.class_scores.shape == (1, 8)
    np.testing.assert_allclose(back.boxes, [[100, 100, 155.556, 155.556]], atol=1e-3)
    assert back.embedding is None


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("width", "height"), [(400, 400), (300, 420)])
def test_a_mark_on_the_film_is_found_again(name, width, height):
    """Against the pixels themselves, not against the formula once more."""
    box = np.array([[60, 80, 140, 130]], np.float32)
    pixels = np.full((height, width), 20, np.uint8)
    pixels[80:130, 60:140] = 230
    seen = VIEWS[name].see(Image("film", pixels)).pixels
    assert seen.shape == pixels.shape
    assert seen.dtype == np.uint8
    bright = seen > 130
    ys, xs = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    hull = [xs[0], ys[0], xs[-1] + 1, ys[-1] + 1]
    back = VIEWS[name].back(found_at(hull), width, height).boxes
    if VIEWS[name].degrees:
        assert intersection(box, back)[0, 0] >= 0.99 * area(box)[0]
        assert iou(box, back)[0, 0] > 0.8
        np.testing.assert_allclose(back[:, :2] + back[:, 2:], box[:, :2] + box[:, 2:], atol=2)
    else:
        np.testing.assert_allclose(back, box, atol=0.75)


def test_a_warp_counts_from_the_corner_of_the_film_as_boxes_do():
    pixels = np.array([[0, 100], [0, 100]], np.uint8)
    # Twice as large, the second pixel's centre, 1.5, shows what was at 0.75, a quarter of the way
    # from the first pixel's centre to the second's. OpenCV's own count would make it half.
    larger = warp(pixels, np.array([[2.0, 0, 0], [0, 1, 0]]))
    assert larger.tolist() == [[0, 25], [0, 25]]
    shifted = warp(pixels, np.array([[1.0, 0, -1], [0, 1, 0]]))
    assert shifted.tolist() == [[100, 0], [100, 0]]


@pytest.mark.parametrize("name", VIEWS)
def test_no_view_moves_the_heart(name):
    (a, b, _), (d, e, _) = VIEWS[name].matrix(300, 200)
    assert a * e - b * d > 0, "a mirror image"
    assert a > 0.8
    assert e > 0.8


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_changes_the_film_and_leaves_the_original(name):
    film = make_film("00000001_000", 120, 90)
    before = film.pixels.copy()
    first, again = VIEWS[name].see(film).pixels, VIEWS[name].see(film).pixels
    np.testing.assert_array_equal(film.pixels, before)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, before)


def test_gamma_darkens_and_brightens_and_keeps_black_and_white():
    film = Image("film", np.array([[0, 64, 128, 255]], np.uint8))
    up, down = (VIEWS[name].see(film).pixels for name in ("gamma_up", "gamma_down"))
    assert up.tolist() == [[0, 45, 108, 255]]  # 255 * (64 / 255) ** 1.25 = 45.3
    assert down.tolist() == [[0, 84, 147, 255]]


def test_the_parameters_name_the_views_that_there_are():
    assert get_args(ViewName) == tuple(VIEWS)
    with pytest.raises(ValueError, match="clahe twice"):
        DetectParams(views=("clahe", "shrink", "clahe"))
    with pytest.raises(ValueError, match="flip"):
        DetectParams(views=("flip",))


class Eyes:
    """Sees the bright part of a film; remembers how many films it was asked about at once."""

    classes = ("Mass",)

    def __init__(self):
        self.asked = []

    def detect(self, images):
        for image in images:
            self.asked.append(image.image_id)
            ys, xs = np.nonzero(image.pixels > 130)
            yield found_at([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1], image.image_id)


def marked(image_id, x):
    pixels = np.full((100, 150), 20, np.uint8)
    pixels[30:60, x : x + 40] = 230
    return Image(image_id, pixels)


def test_each_film_has_its_tuple_in_its_own_pixels():
    eyes = Eyes()
    films = [marked(f"{number:08d}_000", 20 + number) for number in range(40)]
    chosen = [VIEWS["shrink"], View(), VIEWS["clahe"]]
    tuples = list(detect_views(eyes, iter(films), chosen))
    assert len(tuples) == 40
    for film, of_views in zip(films, tuples, strict=True):
        x = 20 + int(film.image_id[:8])
        assert [found.image_id for found in of_views] == [film.image_id] * 3
        for found in of_views:
            np.testing.assert_allclose(found.boxes, [[x, 30, x + 40, 60]], atol=0.75)
        embeddings = [found.embedding for found in of_views]
        assert embeddings[0] is None
        assert embeddings[1] is not None, "the film as it is"
        assert embeddings[2] is None
    assert len(eyes.asked) == 120


def test_without_views_the_detector_is_asked_nothing():
    eyes = Eyes()
    assert list(detect_views(eyes, [marked("a", 1), marked("b", 2)], [])) == [(), ()]
    assert eyes.asked == []


def test_no_films_make_no_tuples():
    assert list(detect_views(Eyes(), [], [VIEWS["clahe"]])) == []
