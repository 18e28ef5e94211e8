"""Groups of films: who is in them, and how they are judged."""

import numpy as np
import pytest
from made_up_films import made_up, seen, truth

from lungal.data.images import brightness
from lungal.evaluation.breakdown import UNKNOWN, age_band, break_down, exposure_thirds
from lungal.evaluation.precision_recall import macro_ap
from lungal.params import EvaluateParams

PARAMS = EvaluateParams(bootstrap=20)
SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)


@pytest.mark.parametrize(
    ("age", "band"),
    [
        (0, "0-17"),
        (17, "0-17"),
        (18, "18-39"),
        (40, "40-64"),
        (64, "40-64"),
        (65, "65 and over"),
        (120, "65 and over"),
        (None, UNKNOWN),
        (-1, UNKNOWN),
    ],
)
def test_age_bands(age, band):
    assert age_band(age) == band


def test_thirds_of_brightness():
    thirds = exposure_thirds({f"{k}": float(k) for k in range(9)})
    assert [thirds[f"{k}"] for k in range(9)] == ["low"] * 3 + ["middle"] * 3 + ["high"] * 3
    assert exposure_thirds({}) == {}


def test_films_of_the_same_brightness_are_never_parted():
    assert set(exposure_thirds({f"{k}": 80.0 for k in range(7)}).values()) == {"low"}


def test_brightness_is_of_the_film_and_not_of_the_padding():
    film = np.full((100, 50), 120, np.uint8)
    film[:50] = 60
    assert brightness(film, 40) == pytest.approx(90, abs=1)
    assert brightness(film, 200) == pytest.approx(90, abs=1)


def test_a_group_is_judged_by_its_own_films():
    truths, detections = made_up(np.random.default_rng(2), films=40, classes=np.arange(4))
    view = {t.image_id: "AP" if number % 3 else "PA" for number, t in enumerate(truths)}
    patients = {t.image_id: t.image_id for t in truths}
    groups = break_down(truths, detections, {"view": view}, PARAMS, patients)
    assert [(one.by, one.value) for one in groups] == [("view", "AP"), ("view", "PA")]
    for one in groups:
        mine = [t for t in truths if view[t.image_id] == one.value]
        found = [d for d in detections if view[d.image_id] == one.value]
        assert one.films == one.patients == len(mine)
        assert one.boxes == sum(len(t.labels) for t in mine)
        assert one.ap.value == pytest.approx(macro_ap(mine, found, 0.4))
        assert one.ap.low <= one.ap.value <= one.ap.high
    assert sum(one.films for one in groups) == 40


def test_the_working_point_of_a_group_by_hand():
    truths = [truth("a", [SQUARE], [0]), truth("b", [SQUARE], [0]), truth("c", [], [])]
    found = [
        seen("a", [SQUARE, ELSEWHERE], scores=[0.9, 0.8], labels=[0, 0]),
        seen("b", [SQUARE], scores=[0.1], labels=[0]),
        seen("c", [ELSEWHERE], scores=[0.9], labels=[3]),
    ]
    sex = {"a": "F", "b": "F", "c": UNKNOWN}
    women, unknown = break_down(truths, found, {"sex": sex}, PARAMS, {k: k for k in sex})
    assert (women.found, women.false_positives) == (0.5, 0.5)
    assert women.sensitivity.value == 1
    assert unknown.false_positives == 1
    assert np.isnan([unknown.found, unknown.ap.value, unknown.sensitivity.value]).all()


def test_groups_stand_in_their_own_order_and_unknown_last():
    names = ["65 and over", UNKNOWN, "0-17", "40-64", "18-39"]
    truths = [truth(f"{k}", [SQUARE], [0]) for k in range(5)]
    age = {f"{k}": name for k, name in enumerate(names)}
    groups = break_down(truths, [], {"age": age}, PARAMS, {k: k for k in age})
    assert [one.value for one in groups] == ["0-17", "18-39", "40-64", "65 and over", UNKNOWN]
    exposure = {f"{k}": name for k, name in enumerate(["high", "low", "middle", "low", "low"])}
    groups = break_down(truths, [], {"exposure": exposure}, PARAMS, {k: k for k in age})
    assert [one.value for one in groups] == ["low", "middle", "high"]
