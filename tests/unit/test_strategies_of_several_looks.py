"""Consistency, committee and contradiction by hand."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from lungal.acquisition.aggregation import MARGIN, Aggregation
from lungal.acquisition.agreement import BETA, agreements, divergence, doubt
from lungal.acquisition.committee import committee
from lungal.acquisition.consistency import consistency
from lungal.acquisition.contradiction import PRECISION, TEXT_PRECISION, Contradiction
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.strategies import build, precision_of
from lungal.errors import SelectionError
from lungal.records import CLASSES, Detections
from lungal.testing import make_select

ATELECTASIS, CARDIOMEGALY, MASS = 0, 1, 4


def look(*boxes):
    """Each box: (x1, y1, x2, y2, score, label)."""
    rows = np.array(boxes, np.float64).reshape(-1, 6)
    per_class = np.zeros((len(rows), len(CLASSES)), np.float32)
    per_class[np.arange(len(rows)), rows[:, 5].astype(int)] = rows[:, 4]
    return Detections(
        "00000001_000",
        rows[:, :4].astype(np.float32),
        rows[:, 4].astype(np.float32),
        rows[:, 5].astype(np.int32),
        per_class,
    )


HERE = (0, 0, 10, 10)
RIGHT = (5, 0, 15, 10)  # IoU with HERE: 50 / 150
FAR = (50, 50, 60, 60)


def test_agreement_by_hand():
    seen = look((*HERE, 0.8, MASS))
    assert agreements(seen, look((*HERE, 0.6, MASS))) == pytest.approx([1 + 0.5 * (0.8 + 0.6)])
    assert agreements(seen, look((*RIGHT, 0.6, MASS))) == pytest.approx([1 / 3 + 0.7])
    # another class altogether: JS is 1 bit, and place alone agrees
    assert agreements(seen, look((*HERE, 0.6, CARDIOMEGALY))) == pytest.approx([1.0])
    assert agreements(seen, look((*FAR, 0.6, MASS))) == pytest.approx([0.0])
    assert agreements(seen, look()) == pytest.approx([0.0])
    assert len(agreements(look(), seen)) == 0


def test_the_counterpart_is_the_box_that_overlaps_most():
    seen = look((*HERE, 1.0, MASS))
    other = look((*RIGHT, 1.0, MASS), (*HERE, 0.5, MASS))
    assert agreements(seen, other) == pytest.approx([1 + 0.75])


def test_divergence_is_scipys():
    random = np.random.default_rng(0)
    p, q = (random.dirichlet(np.ones(8), 20) for _ in range(2))
    expected = [jensenshannon(a, b, base=2) ** 2 for a, b in zip(p, q, strict=True)]
    assert divergence(p, q) == pytest.approx(expected)


def test_doubt_peaks_at_beta_and_stays_in_the_unit_interval():
    assert doubt(np.array([BETA])) == pytest.approx([1.0])
    assert doubt(np.array([0.0])) == pytest.approx([0.0])
    assert doubt(np.array([2.0])) == pytest.approx([1 - 0.7 / 1.3])


def test_consistency_averages_the_views():
    seen = look((*HERE, 0.8, MASS))
    views = (look((*HERE, 0.8, MASS)), look())
    ((value, label),) = [(d.value, d.label) for d in consistency(Evidence(seen, views))]
    assert value == pytest.approx(1 - abs((1.8 + 0.0) / 2 - 1.3) / 1.3)
    assert label == MASS
    steady = consistency(Evidence(look((*HERE, 1.0, MASS)), (look((*HERE, 1.0, MASS)),) * 2))
    assert value > steady[0].value


def test_without_scores_of_the_other_classes_a_box_is_its_class():
    plain = replace(look((*HERE, 0.8, MASS)), class_scores=None)
    other = replace(look((*HERE, 0.8, CARDIOMEGALY)), class_scores=None)
    assert agreements(plain, plain) == pytest.approx([1.8])
    assert agreements(plain, other) == pytest.approx([1.0])


def test_a_box_that_half_of_the_committee_sees_is_in_doubt():
    seen = look((*HERE, 1.0, MASS))
    (shared,) = committee(Evidence(seen, committee=(seen,)))
    assert shared.value == pytest.approx((0 + (1 - 0.7 / 1.3)) / 2)  # 2 of 2: no vote in doubt
    (alone,) = committee(Evidence(seen, committee=(look(),)))
    assert alone.value == pytest.approx((1 + 0) / 2)  # 1 of 2: one bit; nothing agrees
    assert alone.label == MASS


def test_boxes_that_only_others_see_count_and_none_counts_twice():
    mine = look((*HERE, 0.9, MASS))
    others = (look((*HERE, 0.8, MASS), (*FAR, 0.7, ATELECTASIS)), look((*FAR, 0.6, ATELECTASIS)))
    doubts = committee(Evidence(mine, committee=others))
    assert [d.label for d in doubts] == [MASS, ATELECTASIS]  # the surest first
    two_of_three = -(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3))
    mean = (1 + (0.9 + 0.8) / 2 + 0) / 2
    assert doubts[0].value == pytest.approx((two_of_three + 1 - abs(mean - 1.3) / 1.3) / 2)


def test_the_order_of_a_committee_without_ties_does_not_matter():
    mine = look((*HERE, 0.9, MASS))
    a, b = look((*RIGHT, 0.8, MASS)), look((*HERE, 0.7, MASS), (*FAR, 0.2, ATELECTASIS))
    assert committee(Evidence(mine, committee=(a, b))) == committee(
        Evidence(mine, committee=(b, a))
    )


@pytest.mark.parametrize(
    ("strategy", "says"), [("consistency", r"detect\.views"), ("committee", r"crossfit\.committee")]
)
def test_what_a_strategy_needs_and_misses_is_named(strategy, says):
    with pytest.raises(SelectionError, match=rf"00000001_000.*{says}"):
        build(make_select(strategy=strategy))(Evidence(look((*HERE, 0.9, MASS))))


@pytest.mark.parametrize("strategy", ["consistency", "committee"])
@pytest.mark.parametrize(("policy", "score"), [("first", 1.0), ("last", 0.0)])
def test_a_film_that_nobody_sees_anything_on(strategy, policy, score):
    nothing = Evidence(look(), (look(),), (look((*HERE, 0.01, MASS)),))
    params = make_select(strategy=strategy, without_detections=policy)
    assert build(params)(nothing) == score


def judge(**options):
    how = Aggregation("mean", 0.05, **options)
    return Contradiction(how, dict.fromkeys(CLASSES, 0.5) | {"Mass": 0.8})


def test_contradiction_by_hand():
    seen = look((*HERE, 0.9, CARDIOMEGALY), (*FAR, 0.25, MASS), (*RIGHT, 0.02, ATELECTASIS))
    agree = Evidence(seen, findings=frozenset({"Cardiomegaly", "Mass"}))
    assert judge()(agree) == pytest.approx(0.8 * 0.75)  # the mass that it names is hardly seen
    denied = Evidence(seen, findings=frozenset())
    assert judge()(denied) == pytest.approx(0.5 * 0.9)  # the heart that it does not name
    assert judge().explain(denied) == (
        "contradiction 0.45: the report does not name Cardiomegaly, detected with 0.90"
    )
    missed = Evidence(look(), findings=frozenset({"Mass"}))
    assert judge()(missed) == pytest.approx(0.8)
    assert judge().explain(missed) == (
        "contradiction 0.80: the report names Mass, detected with 0.00"
    )


def test_a_report_that_says_as_much_as_the_detector_comes_last():
    assert judge()(Evidence(look(), findings=frozenset())) == MARGIN


@pytest.mark.parametrize(("policy", "score"), [("first", 1.0), ("last", 0.0)])
def test_without_report_nothing_is_contradicted(policy, score):
    unknown = judge(without_detections=policy)
    assert unknown(Evidence(look((*HERE, 0.9, MASS)))) == MARGIN
    assert unknown(Evidence(look())) == score
    assert "no report" in unknown.explain(Evidence(look((*HERE, 0.9, MASS))))


def test_class_weights_weigh_contradictions():
    weights = tuple(0.5 if name == "Mass" else 1.0 for name in CLASSES)
    missed = Evidence(look(), findings=frozenset({"Mass"}))
    assert judge(weights=weights)(missed) == pytest.approx(0.4)


def test_findings_that_are_none_of_the_eight_contradict_nothing():
    assert judge()(Evidence(look(), findings=frozenset({"Hernia"}))) == MARGIN


def test_the_precision_of_nih_labels_and_of_others():
    assert set(PRECISION) == set(TEXT_PRECISION) == set(CLASSES)
    assert all(0 < precision <= 1 for precision in PRECISION.values())
    assert PRECISION["Infiltrate"] == pytest.approx(0.61)
    own = precision_of(make_select(label_precision={"Mass": 0.25}))
    assert own == {**PRECISION, "Mass": 0.25}
