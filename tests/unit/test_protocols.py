"""WSRPN's halves: disjoint patients, half of the boxes, seeds; and the numbers on them."""

import numpy as np
import pytest
from made_up_films import made_up, seen, truth

from lungal.errors import EvaluationError
from lungal.evaluation.precision_recall import macro_ap
from lungal.evaluation.protocols import HALVES, draw_half, wsrpn

SQUARE = (0, 0, 10, 10)


@pytest.fixture(scope="module")
def films():
    return made_up(np.random.default_rng(5), films=60, classes=np.arange(4))


@pytest.fixture(scope="module")
def patients(films):
    return {t.image_id: f"p{number // 3}" for number, t in enumerate(films[0])}


def test_a_half_has_whole_patients_and_about_half_of_the_boxes(films, patients):
    truths, _ = films
    boxes = sum(len(t.labels) for t in truths)
    largest = max(
        sum(len(t.labels) for t in truths if patients[t.image_id] == p)
        for p in set(patients.values())
    )
    for seed in range(HALVES):
        half = draw_half(truths, patients, seed)
        inside = {patients[image_id] for image_id in half}
        outside = {patients[t.image_id] for t in truths if t.image_id not in half}
        assert not inside & outside
        held = sum(len(t.labels) for t in truths if t.image_id in half)
        assert boxes / 2 - largest <= held <= boxes / 2 + 1


def test_halves_are_drawn_by_seed_whatever_the_order_of_films(films, patients):
    truths, _ = films
    assert draw_half(truths, patients, 3) == draw_half(truths[::-1], patients, 3)
    assert len({draw_half(truths, patients, seed) for seed in range(HALVES)}) == HALVES


def test_mean_and_standard_deviation_over_the_halves(films, patients):
    truths, detections = films
    found = wsrpn(truths, detections, patients, score=0.4)
    boxed = [t for t in truths if len(t.labels)]
    values = []
    for seed in range(HALVES):
        half = draw_half(boxed, patients, seed)
        values.append(
            macro_ap(
                [t for t in boxed if t.image_id in half],
                [d for d in detections if d.image_id in half],
                0.3,
            )
        )
    assert found["ap30"] == pytest.approx((np.mean(values), np.std(values, ddof=1)))
    assert found["ap50"].mean < found["ap30"].mean
    assert found["accuracy_iou10"].mean > found["accuracy_iou70"].mean
    assert 0 < found["rodeo"].mean < 1
    assert found["rodeo"].sd > 0


def test_films_without_a_box_do_not_count(films, patients):
    truths, detections = films
    more = [*truths, truth("empty", [], [])]
    alarms = [*detections, seen("empty", [SQUARE], scores=[1.0], labels=[0])]
    expected = wsrpn(truths, detections, patients, score=0.4)
    assert wsrpn(more, alarms, patients | {"empty": "p"}, score=0.4) == expected


def test_a_single_half_has_no_standard_deviation(films, patients):
    assert np.isnan(wsrpn(*films, patients, score=0.4, halves=1)["ap30"].sd)


def test_what_cannot_be_halved_is_refused():
    film = truth("a", [SQUARE], [0])
    with pytest.raises(EvaluationError, match="1 patients with a box cannot be halved"):
        wsrpn([film], [], {"a": "p"}, score=0.5)
    with pytest.raises(EvaluationError, match="0 patients"):
        wsrpn([truth("a", [], [])], [], {"a": "p"}, score=0.5)
    with pytest.raises(EvaluationError, match="'a' has no patient"):
        wsrpn([film], [], {}, score=0.5)
