"""Calibrated scores: how often they are right, their order, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_films import made_up, seen, truth
from sklearn.linear_model import LogisticRegression

from lungal.errors import EvaluationError
from lungal.evaluation.calibration import (
    BLEND,
    Calibration,
    ScoreCurve,
    as_json,
    calibrate,
    calibrate_films,
    from_json,
)
from lungal.evaluation.calibration_fit import (
    ISOTONIC_HITS,
    PLATT_HITS,
    PRIOR,
    fit_calibration,
    fit_curve,
    fit_platt,
)
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES

SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)
STEP = ScoreCurve("isotonic", 4, 2, scores=(0.2, 0.4, 0.6), values=(0.1, 0.1, 0.7))
CURVES = {
    "isotonic": STEP,
    "flat": ScoreCurve("platt", 4, 2, slope=1 / 3, offset=1.0),
    "steep": ScoreCurve("platt", 4, 2, slope=20.0, offset=-2.0),
    "identity": ScoreCurve(),
}


def only(label, curve):
    curves = [ScoreCurve()] * len(CLASSES)
    curves[label] = curve
    return Calibration(tuple(curves), 0.4)


def squares(count, hits, rng):
    """A class with so many detections a film each, so many of which are right, scores drawn."""
    truths = [
        truth(f"{k:05d}", [SQUARE] if k < hits else [], [0] * (k < hits)) for k in range(count)
    ]
    scores = rng.uniform(0.01, 0.99, count)
    return truths, [
        seen(t.image_id, [SQUARE], scores=[s], labels=[0])
        for t, s in zip(truths, scores, strict=True)
    ]


def test_an_isotonic_curve_by_hand():
    values = STEP([0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.9, 1.0])
    fitted = [0, 0.05, 0.1, 0.1, 0.4, 0.7, 0.7, 0.7]
    given_scores = [0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.9, 1.0]
    expected = [0.99 * f + 0.01 * s for f, s in zip(fitted, given_scores, strict=True)]
    assert values.tolist() == pytest.approx(expected, abs=1e-12)


def test_a_sigmoid_by_hand():
    # logit(.8) is ln 4; halved it is ln 2, and with ln 2 it is ln 4 again.
    curve = ScoreCurve("platt", 1, 1, slope=0.5, offset=float(np.log(2)))
    assert curve(0.8) == pytest.approx(0.8, abs=1e-12)
    assert curve([0.5])[0] == pytest.approx(0.99 * 2 / 3 + 0.01 * 0.5, abs=1e-12)


@pytest.mark.parametrize("name", CURVES)
@given(scores=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=30))
def test_every_curve_rises_and_stays_a_probability(name, scores):
    ordered = np.sort(np.array(scores, np.float64))
    values = CURVES[name](ordered)
    assert ((values >= 0) & (values <= 1)).all()
    apart = np.diff(ordered) > 1e-9
    assert (np.diff(values)[apart] > 0).all()
    assert (np.diff(values) >= 0).all()


def test_the_order_of_a_class_is_kept_on_a_step():
    film = seen("a", [SQUARE, ELSEWHERE, SQUARE], scores=[0.39, 0.3, 0.21], labels=[0, 0, 0])
    film = replace(film, class_scores=np.full((3, len(CLASSES)), 0.3, np.float32))
    after = calibrate(film, only(0, STEP))
    assert (np.diff(after.scores) < 0).all()
    np.testing.assert_array_equal(after.boxes, film.boxes)


def test_detections_move_whole_when_their_class_falls_behind():
    film = seen("a", [SQUARE, ELSEWHERE], scores=[0.9, 0.5], labels=[0, 1])
    columns = np.arange(16, dtype=np.float32).reshape(2, 8) / 100
    after = calibrate(
        replace(film, class_scores=columns),
        only(0, ScoreCurve("isotonic", 9, 1, scores=(0.1, 0.9), values=(0.01, 0.1))),
    )
    assert after.labels.tolist() == [1, 0]
    assert after.boxes.tolist() == [list(ELSEWHERE), list(SQUARE)]
    assert after.scores.tolist() == pytest.approx([0.5, 0.99 * 0.1 + 0.01 * 0.9])
    assert after.class_scores[0, 1:].tolist() == pytest.approx(columns[1, 1:].tolist())
    assert after.class_scores[1, 0] < after.class_scores[0, 0] < columns[1, 0]


def test_nothing_on_a_film_is_legal():
    after = calibrate(seen("a", [], scores=[], labels=[]), only(0, STEP))
    assert len(after) == 0
    assert after.scores.dtype == np.float32
    assert calibrate_films([], only(0, STEP)) == []


def test_without_a_calibration_nothing_changes():
    _, detections = made_up(np.random.default_rng(0), films=3, classes=np.arange(3))
    for film in detections:
        ordered = np.sort(film.scores)[::-1]
        np.testing.assert_array_equal(calibrate(film, Calibration()).scores, ordered)


def test_many_films_are_calibrated_as_each_alone():
    _, detections = made_up(np.random.default_rng(1), films=12, classes=np.arange(8))
    rng = np.random.default_rng(2)
    mixed = [
        replace(film, class_scores=rng.random((len(film), 8), np.float32)) if number % 3 else film
        for number, film in enumerate([seen("empty", [], scores=[], labels=[]), *detections])
    ]
    calibration = Calibration((STEP, CURVES["steep"], *[CURVES["flat"]] * 6), 0.4)
    before = [film.scores.copy() for film in mixed]
    together = calibrate_films(mixed, calibration)
    for film, kept, was in zip(mixed, together, before, strict=True):
        alone = calibrate(film, calibration)
        assert kept.image_id == film.image_id
        np.testing.assert_array_equal(kept.scores, alone.scores)
        np.testing.assert_array_equal(kept.boxes, alone.boxes)
        np.testing.assert_array_equal(film.scores, was)  # the film given stays as it was
        assert (kept.class_scores is None) == (film.class_scores is None)
        if film.class_scores is not None:
            np.testing.assert_array_equal(kept.class_scores, alone.class_scores)
            expected = CURVES["flat"](film.class_scores[:, 5])
            np.testing.assert_allclose(
                np.sort(kept.class_scores[:, 5]), np.sort(expected), rtol=1e-6
            )


def test_what_is_learnt_is_how_often_a_score_is_right():
    rng = np.random.default_rng(5)
    scores = rng.uniform(0, 1, 20_000)
    hits = rng.random(20_000) < scores**3  # .5 is right one time in eight
    curve = fit_curve(scores, hits, None)
    assert (curve.kind, curve.detections, curve.hits) == ("isotonic", 20_000, hits.sum())
    asked = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(curve(asked), asked**3, atol=0.05)


def drawn(slope, offset, count=400, seed=6):
    """Logits, and hits that a sigmoid of this slope and offset draws."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    return logits, rng.random(count) < 1 / (1 + np.exp(-(slope * logits + offset)))


def test_a_sigmoid_is_that_of_a_logistic_regression():
    logits, hits = drawn(0.4, 1.0, count=40_000)
    theirs = LogisticRegression(C=np.inf, tol=1e-10).fit(logits[:, None], hits)
    slope, offset = fit_platt(logits, hits)  # Platt's targets are nearly 1 and 0 of so many
    assert slope == pytest.approx(theirs.coef_[0, 0], rel=2e-3)
    assert offset == pytest.approx(theirs.intercept_[0], rel=2e-3)


def test_a_score_of_one_half_may_be_right_far_more_often():
    logits, hits = drawn(1.5, 1.5)
    hits[np.flatnonzero(hits)[ISOTONIC_HITS - 1 :]] = False
    some = 1 / (1 + np.exp(-logits)), hits
    curve = fit_curve(*some, (1.5, 1.5))
    assert curve.kind == "platt"
    assert curve.offset != 0
    often = 1 / (1 + np.exp(-logits)), drawn(1.5, 1.5)[1]
    slope, offset = fit_platt(logits, often[1])
    assert ScoreCurve("platt", slope=slope, offset=offset)(0.5) == pytest.approx(0.8, abs=0.06)


def test_a_class_of_few_hits_is_drawn_to_all_and_one_of_many_is_not():
    prior = (1.0, -3.0)
    logits, hits = drawn(1.0, 1.0, count=3000)
    offsets = [fit_platt(logits[:n], hits[:n], prior)[1] for n in (0, 4, 40, 3000)]
    assert offsets[0] == pytest.approx(-3.0)
    assert offsets == sorted(offsets)
    assert offsets[1] < -1.5
    assert offsets[-1] == pytest.approx(1.0, abs=0.2)


def test_the_prior_is_that_of_a_penalised_regression():
    logits, hits = drawn(0.8, 0.0)
    # About (0, 0) it is ridge regression, with the offset penalised as a column of ones is.
    columns = np.stack([logits, np.ones_like(logits)], axis=1)
    ridge = LogisticRegression(C=PRIOR**2, fit_intercept=False, tol=1e-10).fit(columns, hits)
    assert fit_platt(logits, hits, (0.0, 0.0)) == pytest.approx(tuple(ridge.coef_[0]), abs=1e-3)


def test_a_curve_rises_whatever_the_scores_say():
    logits = np.linspace(-3, 3, 60)
    slope, _ = fit_platt(logits, logits < 0)  # the higher the score, the more often wrong
    assert slope > 0


@pytest.mark.parametrize(
    ("hits", "misses", "kind"),
    [
        (ISOTONIC_HITS, ISOTONIC_HITS, "isotonic"),
        (ISOTONIC_HITS, ISOTONIC_HITS - 1, "platt"),
        (ISOTONIC_HITS - 1, ISOTONIC_HITS, "platt"),
        (PLATT_HITS, 0, "platt"),
        (PLATT_HITS - 1, 500, "identity"),
        (0, 500, "identity"),
    ],
)
def test_how_much_is_enough(hits, misses, kind):
    rng = np.random.default_rng(hits)
    truths, detections = squares(hits + misses, hits, rng)
    calibration = fit_calibration(truths, detections, iou=0.5)
    assert calibration.curves[0].kind == kind
    assert calibration.iou == 0.5


def test_a_class_that_was_never_seen_has_the_curve_of_all():
    rng = np.random.default_rng(1)
    truths, detections = squares(200, 30, rng)
    calibration = fit_calibration(truths, detections, iou=0.5)
    assert [curve.kind for curve in calibration.curves] == ["platt"] * 8
    first, second = calibration.curves[:2]
    assert (second.detections, second.hits) == (0, 0)
    assert second.slope == pytest.approx(first.slope, abs=0.05)
    assert second.offset == pytest.approx(first.offset, abs=0.05)


def test_what_has_only_been_right_is_not_always_right():
    scores = np.concatenate([np.linspace(0.1, 0.4, 60), np.linspace(0.6, 0.9, 60)])
    curve = fit_curve(scores, scores > 0.5, None)
    assert curve.values[0] == pytest.approx(1 / 62)
    assert curve.values[-1] == pytest.approx(61 / 62)


def test_a_hit_is_what_the_matching_says():
    truths, detections = made_up(np.random.default_rng(3), films=80, classes=np.array([2]))
    calibration = fit_calibration(truths, detections, iou=0.5)
    matches = match_films(truths, detections, 0.5)
    mine = matches.of_class(2)
    assert calibration.curves[2].detections == mine.stop - mine.start
    assert calibration.curves[2].hits == matches.hits[mine].sum()


def test_order_of_films_does_not_matter():
    films = made_up(np.random.default_rng(4), films=160, classes=np.arange(2), ties=True)
    one = fit_calibration(*films, iou=0.4)
    assert one == fit_calibration(films[0][::-1], films[1][::-1], iou=0.4)
    assert {curve.kind for curve in one.curves} == {"isotonic", "platt"}


def test_json_gives_the_same_back():
    films = made_up(np.random.default_rng(4), films=60, classes=np.arange(3))
    calibration = fit_calibration(*films, iou=0.4)
    assert from_json(json.loads(json.dumps(as_json(calibration), allow_nan=False))) == calibration
    assert from_json(json.loads(json.dumps(as_json(Calibration())))) == Calibration()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_are_refused(value):
    film = seen("a", [SQUARE], scores=[value], labels=[0])
    with pytest.raises(EvaluationError, match="'a' has a score that is not finite"):
        calibrate(film, Calibration())
    with pytest.raises(EvaluationError, match="'a' has a score that is not finite"):
        fit_calibration([truth("a", [], [])], [film], iou=0.5)
    inside = replace(
        seen("a", [SQUARE], scores=[0.5], labels=[0]),
        class_scores=np.full((1, 8), value, np.float32),
    )
    with pytest.raises(EvaluationError, match="not finite"):
        calibrate(inside, Calibration())


GOOD = {
    "kind": "identity",
    "detections": 0,
    "hits": 0,
    "slope": 1.0,
    "offset": 0.0,
    "scores": [],
    "values": [],
}


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"kind": "temperature"}, "'temperature'; known: isotonic, platt"),
        ({"slope": float("nan")}, "no number"),
        ({"offset": float("inf")}, "no number"),
        ({"slope": 0.0}, "slope is 0.0"),
        ({"slope": "1"}, "no number"),
        ({"kind": "isotonic"}, "0 scores"),
        ({"scores": [0.1], "values": [0.1]}, "identity has 1 scores"),
        ({"kind": "isotonic", "scores": [0.1], "values": []}, "1 scores and 0 values"),
        ({"kind": "isotonic", "scores": [0.2, 0.1], "values": [0.1, 0.2]}, "does not rise"),
        ({"kind": "isotonic", "scores": [0.1, 0.2], "values": [0.2, 0.1]}, "does not rise"),
        ({"kind": "isotonic", "scores": [0.1, 0.1], "values": [0.1, 0.2]}, "does not rise"),
        ({"kind": "isotonic", "scores": [0.1], "values": [1.5]}, "does not rise within"),
        ({"kind": "isotonic", "scores": ["x"], "values": [0.5]}, "no number"),
        ({"scores": None}, "no number"),
        ({"temperature": 2}, "must hold detections"),
    ],
)
def test_a_damaged_curve_is_refused(bad, said):
    document = as_json(Calibration())
    document["curves"]["Mass"] = GOOD | bad
    with pytest.raises(EvaluationError, match=said):
        from_json(document)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "must hold `iou`"),
        ({"iou": 0.4}, "must hold `iou`"),
        ({"iou": 0.4, "curves": {"Mass": GOOD}}, "curve of each of Atelectasis"),
        ({"iou": 1.5, "curves": {}}, "iou of a calibration is 1.5"),
        ({"iou": float("nan"), "curves": {}}, "iou of a calibration is nan"),
    ],
)
def test_a_damaged_calibration_is_refused(document, said):
    with pytest.raises(EvaluationError, match=said):
        from_json(document)


def test_a_curve_for_each_class_or_none_at_all():
    with pytest.raises(EvaluationError, match="1 curves; there are 8"):
        Calibration((ScoreCurve(),), 0.5)


def test_the_blend_is_all_that_a_plateau_rises_by():
    low, high = STEP([0.2, 0.4])
    assert high - low == pytest.approx(BLEND * 0.2)
