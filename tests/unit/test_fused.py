"""Several looks at a film become one: which boxes join, what they score, what the rim gets."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from lungal.boxes import iou
from lungal.detectors.fused import CROWDING_IOU, FusedDetector, fuse
from lungal.detectors.views import VIEWS, View
from lungal.records import Detections, Image
from lungal.testing import DetectorContract, make_film

SIDE = 200
ONCE, ZOOM = View(), VIEWS["zoom"]
BOX = [50, 60, 110, 140]


def look(*found, embedding=None, class_scores=True):
    """What one look saw: (box, score, label) each, surest first."""
    boxes, scores, labels = zip(*found, strict=True) if found else ((), (), ())
    scores = np.array(scores, np.float32)
    per_class = np.zeros((len(found), 8), np.float32)
    per_class[np.arange(len(found)), np.array(labels, int)] = scores
    return Detections(
        "film",
        np.array(boxes, np.float32).reshape(-1, 4),
        scores,
        np.array(labels, np.int32),
        per_class if class_scores else None,
        embedding,
    )


def fused(*looks, views=None):
    return fuse(looks, views or [ONCE] * len(looks), SIDE, SIDE)


def test_a_box_that_both_see_is_their_mean_by_score():
    found = fused(look((BOX, 0.6, 2)), look(([54, 60, 114, 140], 0.2, 2)))
    assert_allclose(found.boxes, [[51, 60, 111, 140]], atol=1e-4)
    assert_allclose(found.scores, [0.4], atol=1e-6)
    assert found.labels.tolist() == [2]
    assert_allclose(found.class_scores[0, 2], 0.4, atol=1e-6)


def test_a_box_that_one_sees_alone_has_half_of_its_score():
    found = fused(look((BOX, 0.6, 2)), look())
    assert_allclose(found.scores, [0.3], atol=1e-6)
    assert_allclose(found.boxes, [BOX])


def test_what_one_look_hardly_sees_counts_for_what_the_other_sees():
    looks = look((BOX, 0.5, 2)), look((BOX, 0.14, 2))
    found = fuse(looks, [ONCE, ONCE], SIDE, SIDE, least=0.3)
    assert_allclose(found.scores, [0.32], atol=1e-6)
    assert len(fuse(looks, [ONCE, ONCE], SIDE, SIDE, least=0.33)) == 0


def test_findings_do_not_join_or_crowd_each_other():
    found = fused(look((BOX, 0.6, 2)), look((BOX, 0.5, 3)))
    assert sorted(zip(found.labels.tolist(), found.scores.tolist(), strict=True)) == [
        (2, pytest.approx(0.3)),
        (3, pytest.approx(0.25)),
    ]


def test_boxes_that_overlap_a_little_are_two_and_some_more_are_one_too_many():
    aside = [90, 60, 150, 140]  # IoU 1/5 with BOX
    nearer = [77, 60, 137, 140]  # IoU 33/87, .38
    assert len(fused(look((BOX, 0.6, 2)), look((aside, 0.5, 2)))) == 2
    found = fused(look((BOX, 0.6, 2)), look((nearer, 0.5, 2)))
    assert_allclose(found.boxes, [BOX])
    assert_allclose(found.scores, [0.3], atol=1e-6)


def test_the_rim_that_an_enlarged_view_cuts_off_counts_in_full():
    margin = SIDE * (1 - 1 / 1.15) / 2  # 13 px
    at_rim, inside = [0, 0, 20, 20], [0, 0, 40, 40]
    assert margin == pytest.approx(13.04, abs=0.01)
    (rim, further_in) = fused(
        look((at_rim, 0.6, 2), (inside, 0.6, 3)), look(), views=[ONCE, ZOOM]
    ).scores
    assert (rim, further_in) == (pytest.approx(0.6), pytest.approx(0.3))


@pytest.mark.parametrize("sure", [(0.6, 0.4), (0.4, 0.6), (0.5, 0.5)])
@pytest.mark.parametrize(
    "box", [[0, 0, 30, 30], [0, 150, 40, 200], [0, 140, 50, 200], [170, 60, 200, 90]]
)
def test_a_box_that_the_enlarged_view_cuts_off_stays_whole(box, sure):
    """Wherever the surer look is: a costophrenic angle lies at the rim."""
    frame = ZOOM.frame(SIDE, SIDE)
    stub = np.concatenate([np.maximum(box[:2], frame[:2]), np.minimum(box[2:], frame[2:])])
    assert 0.2 < iou(np.array([box], np.float32), stub[None])[0, 0] < 0.8
    found = fused(look((box, sure[0], 2)), look((stub, sure[1], 2)), views=[ONCE, ZOOM])
    assert_allclose(found.boxes, [box], atol=1e-4)
    assert_allclose(found.scores, [0.5], atol=1e-6)


def test_what_only_the_enlarged_view_sees_ends_where_its_frame_does():
    stub = [*ZOOM.frame(SIDE, SIDE)[:2], 60, 60]
    found = fused(look(), look((stub, 0.4, 2)), views=[ONCE, ZOOM])
    assert_allclose(found.boxes, [stub])
    assert_allclose(found.scores, [0.2], atol=1e-6)


def test_frames_are_what_views_show():
    assert_allclose(ZOOM.frame(230, 115), [15, 7.5, 215, 107.5], atol=1e-4)
    for name in ("shrink", "turn_left", "clahe"):
        assert VIEWS[name].frame(230, 115).tolist() == [0, 0, 230, 115]


def test_the_embedding_is_the_first_look_s():
    first, second = np.ones(3, np.float32), np.zeros(3, np.float32)
    found = fused(look((BOX, 0.6, 2), embedding=first), look(embedding=second))
    assert found.embedding is first


def test_looks_without_class_scores_make_none():
    assert fused(look((BOX, 0.6, 2), class_scores=False), look((BOX, 0.2, 2))).class_scores is None
    assert fused(look(), look()).class_scores.shape == (0, 8)


def test_boxes_of_score_zero_or_without_area_are_borne():
    found = fused(look((BOX, 0.0, 2)), look(([5, 5, 5, 9], 0.2, 2), (BOX, 0.0, 2)))
    assert_allclose(found.scores, [0.1, 0.0], atol=1e-6)
    assert_allclose(found.boxes, [[5, 5, 5, 9], BOX], atol=1e-4)


@st.composite
def looks(draw):
    count = draw(st.integers(1, 4))
    return [draw(a_look()) for _ in range(count)]


@st.composite
def a_look(draw):
    found = []
    for _ in range(draw(st.integers(0, 6))):
        x, y = draw(st.integers(0, 150)), draw(st.integers(0, 150))
        box = [x, y, x + draw(st.integers(1, 50)), y + draw(st.integers(1, 50))]
        found.append((box, draw(st.floats(2**-7, 1, width=32)), draw(st.integers(0, 2))))
    return look(*sorted(found, key=lambda one: -one[1]))


@given(looks(), st.booleans())
def test_what_is_fused_is_sound(seen, zoomed):
    views = [ONCE, *([ZOOM if zoomed else ONCE] * (len(seen) - 1))]
    found = fuse(seen, views, SIDE, SIDE)
    assert np.all((found.scores > 0) & (found.scores <= 1))
    assert np.all(np.diff(found.scores) <= 0)
    for label in range(3):
        given_scores = np.concatenate([one.scores[one.labels == label] for one in seen])
        scores = found.scores[found.labels == label]
        assert (len(scores) == 0) == (len(given_scores) == 0)
        assert scores.max(initial=0) <= given_scores.max(initial=0) + 1e-6
    everything = np.concatenate([one.boxes for one in seen])
    if len(everything):
        assert np.all(found.boxes[:, :2] >= everything[:, :2].min(axis=0) - 1e-3)
        assert np.all(found.boxes[:, 2:] <= everything[:, 2:].max(axis=0) + 1e-3)
    rows = np.arange(len(found))
    assert_allclose(found.class_scores[rows, found.labels], found.scores, atol=1e-6)


@given(a_look())
def test_a_single_look_loses_only_crowded_boxes(seen):
    found = fuse([seen], [ONCE], SIDE, SIDE)
    assert set(found.scores.tolist()) <= set(seen.scores.tolist())
    if len(seen):
        assert found.scores[0] == seen.scores[0]
    overlap = iou(seen.boxes, seen.boxes) * (seen.labels[:, None] == seen.labels)
    np.fill_diagonal(overlap, 0)
    if overlap.max(initial=0) <= CROWDING_IOU:
        assert_allclose(found.boxes, seen.boxes, atol=1e-4)
        assert_allclose(found.scores, seen.scores)


class Eyes:
    """Sees the bright square of a film, the surer the larger it is."""

    classes = tuple("abcdefgh")

    def __init__(self):
        self.asked = []

    def detect(self, images):
        for image in images:
            self.asked.append(image.image_id)
            ys, xs = np.nonzero(image.pixels > 130)
            found = look(embedding=np.ones(2, np.float32))
            if len(xs):
                box = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]
                score = np.float32((xs.max() - xs.min()) / image.width)
                found = look((box, score, 1), embedding=np.full(2, score))
            yield replace(found, image_id=image.image_id)


def square(image_id, x, side=60, width=300, height=200):
    pixels = np.full((height, width), 20, np.uint8)
    pixels[70 : 70 + side, x : x + side] = 230
    return Image(image_id, pixels)


def test_films_of_several_sizes_are_looked_at_twice_and_answered_in_order():
    eyes = Eyes()
    films = [square(f"{n:03d}", 90 + n, width=300 + n) for n in range(30)]
    detector = FusedDetector(eyes, [ZOOM], threshold=0.01, limit=5)
    answers = list(detector.detect(iter(films)))
    assert detector.classes == eyes.classes
    assert eyes.asked == [film.image_id for film in films for _ in range(2)]
    for number, (film, found) in enumerate(zip(films, answers, strict=True)):
        assert found.image_id == film.image_id
        assert_allclose(found.boxes, [[90 + number, 70, 150 + number, 130]], atol=1)
        once, zoomed = 59 / film.width, 68 / film.width
        assert_allclose(found.scores, [(once + zoomed) / 2], atol=0.006)
        assert_allclose(found.embedding, once, atol=1e-6)


def test_few_and_sure_detections_are_kept():
    class Many:
        classes = tuple("abcdefgh")

        def detect(self, images):
            for _ in images:
                yield look(*(([k, 0, k + 9, 9], 1 - k / 100, k // 10) for k in range(0, 80, 10)))

    def kept(threshold, limit):
        detector = FusedDetector(Many(), [ONCE], threshold=threshold, limit=limit)
        (found,) = detector.detect([square("film", 90)])
        return found

    assert_allclose(kept(0.75, 9).scores, [1, 0.9, 0.8], atol=1e-6)
    assert len(kept(0.9001, 9)) == 1
    few = kept(0.0, 2)
    assert (len(few), few.boxes.shape, few.class_scores.shape) == (2, (2, 4), (2, 8))


class TestFusedDetector(DetectorContract):
    @pytest.fixture
    def detector(self):
        return FusedDetector(Eyes(), [ZOOM, VIEWS["turn_left"]], threshold=0.0, limit=100)

    @pytest.fixture
    def films(self):
        noisy = make_film("00000001_000", 96, 96)
        black = Image("00000004_000", np.zeros((96, 96), np.uint8))
        return [noisy, square("00000002_000", 90), square("00000003_000", 9), black]
