"""What readings come to: each policy by hand, and who never has a say."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_readings import box, logs, quick, reading

from lungal.params import ReadingParams
from lungal.reading.reconcile import Reconciled, reconcile
from lungal.reading.standing import by_film, standing

POLICIES = ("any", "majority", "fusion", "adjudicate")
HERE, NEAR, ELSEWHERE = box(x=0), box(x=8), box(x=500)


def says(reader, *boxes, verdict=None, number=0, **changes):
    verdict = verdict or ("finding" if boxes else "no_finding")
    changes = {"source_id": f"ls-{reader}-{number}", "at": "2026-11-23T10:00:00Z"} | changes
    return reading(0, reader=reader, verdict=verdict, boxes=boxes, **changes)


def passes(reader, verdict, **changes):
    return says(reader, verdict=verdict, **changes)


def of(policy, **values):
    return ReadingParams(policy=policy, **values)


def found(truth):
    return truth.verdict, [one.xyxy for one in truth.boxes]


params = st.builds(
    ReadingParams,
    policy=st.sampled_from(POLICIES),
    adjudicate_below=st.sampled_from([0.0, 0.5, 1.0]),
    weights=st.sampled_from([{}, {"ana": 3.0}, {"ana": 0.1, "ben": 0.2}]),
)


@quick
@given(logs(), params, st.randoms())
def test_the_order_of_the_log_and_repeats_mean_nothing(log, how, random):
    again = [random.choice(log) for _ in log] + log
    random.shuffle(again)
    once, other = (
        {film: reconcile(words, how) for film, words in by_film(standing(one)).items()}
        for one in (log, again)
    )
    assert once == other


@quick
@given(logs(), params, st.randoms())
def test_the_order_of_readings_means_nothing(log, how, random):
    for words in by_film(standing(log)).values():
        assert reconcile(random.sample(words, len(words)), how) == reconcile(words, how)


@quick
@given(logs(), params)
def test_controls_change_nothing(log, how):
    for words in by_film(standing(log)).values():
        others = [r for r in words if r.role != "control"]
        assert reconcile(words, how) == reconcile(others, how)


@quick
@given(logs(roles=("label", "adjudicate")), params)
def test_an_adjudication_in_the_last_round_wins(log, how):
    for words in by_film(standing(log)).values():
        last = max(r.round for r in words)
        judged = [r for r in words if r.round == last and r.role == "adjudicate"]
        judged = [r for r in judged if r.verdict != "skipped"]
        if len(judged) == 1:
            (judge,) = judged
            truth = reconcile(words, how)
            assert truth.readers == 1
            assert truth.verdict == judge.verdict.replace("unreadable", "excluded")
            assert [b.xyxy for b in truth.boxes] == [b.xyxy for b in judge.boxes]


@quick
@given(logs(), params)
def test_what_it_comes_to_is_consistent(log, how):
    for words in by_film(standing(log)).values():
        truth = reconcile(words, how)
        if truth is None:
            assert {r.role for r in words} == {"control"}
            continue
        assert bool(truth.boxes) == (truth.verdict == "finding")
        assert truth.agreement is None or (truth.readers > 1 and 0 <= truth.agreement <= 1)
        if truth.verdict == "disputed":
            assert how.policy == "adjudicate"
            assert truth.agreement < how.adjudicate_below


@quick
@given(logs(roles=("label", "reread", "import")), params)
def test_label_reread_and_import_are_alike(log, how):
    as_label = [replace(event, role="label") for event in log]
    for film, words in by_film(standing(log)).items():
        assert reconcile(words, how) == reconcile(by_film(standing(as_label))[film], how)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_single_reading_is_the_truth(policy):
    truth = reconcile([says("ana", HERE, ELSEWHERE)], of(policy))
    assert truth == Reconciled("finding", (HERE, ELSEWHERE), readers=1, agreement=None)
    assert reconcile([says("ana")], of(policy)) == Reconciled("no_finding", (), 1, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_nothing_but_controls_is_not_read(policy):
    assert reconcile([says("ana", HERE, role="control")], of(policy)) is None
    assert reconcile([], of(policy)) is None


def test_policies_by_hand():
    # Ana and Ben share a box, which Ben drew 8 pixels further right; Cao drew another.
    readings = [says("ana", HERE), says("ben", NEAR), says("cao", ELSEWHERE)]
    results = {policy: found(reconcile(readings, of(policy))) for policy in POLICIES}
    assert results["majority"] == ("finding", [HERE.xyxy])
    assert results["fusion"] == ("finding", [(4.0, 0.0, 104.0, 100.0)])
    assert results["any"][0] == "finding"
    assert sorted(results["any"][1]) == [HERE.xyxy, ELSEWHERE.xyxy]
    # Their agreement is (1 + 0 + 0) / 3.
    assert results["adjudicate"] == ("disputed", [])
    readings[2] = says("cao", NEAR)
    fused = found(reconcile(readings, of("adjudicate")))
    assert fused == ("finding", [pytest.approx((16 / 3, 0, 316 / 3, 100))])


def test_a_film_is_disputed_from_below_the_threshold_only():
    # One of two boxes is shared: F1 = 2 / 3.
    readings = [says("ana", HERE, ELSEWHERE), says("ben", HERE)]
    agreement = pytest.approx(2 / 3)
    kept = reconcile(readings, of("adjudicate", adjudicate_below=0.66))
    assert (*found(kept), kept.agreement) == ("finding", [HERE.xyxy], agreement)
    held = reconcile(readings, of("adjudicate", adjudicate_below=0.67))
    assert (*found(held), held.agreement, held.readers) == ("disputed", [], agreement, 2)
    half = [says("ana", HERE, ELSEWHERE), says("ben", HERE, box("Nodule"))]
    assert reconcile(half, of("adjudicate", adjudicate_below=0.5)).verdict == "finding"


def test_weights_make_a_majority():
    readings = [says("ana", HERE), says("ben", ELSEWHERE), says("cao")]
    heavy = of("majority", weights={"ana": 2.5})
    assert found(reconcile(readings, heavy)) == ("finding", [HERE.xyxy])
    # Two of three shares are most; 0.1 + 0.2 of 0.6 is half, whatever the rounding.
    half = of("majority", weights={"ana": 0.1, "ben": 0.2, "cao": 0.3})
    readings = [says("ana", HERE), says("ben", HERE), says("cao")]
    assert reconcile(readings, half).verdict == "excluded"
    assert found(reconcile(readings, of("majority"))) == ("finding", [HERE.xyxy])


def test_a_box_that_half_drew_was_not_drawn_by_most():
    readings = [says("ana", HERE, ELSEWHERE), says("ben", HERE)]
    assert found(reconcile(readings, of("fusion"))) == ("finding", [HERE.xyxy])
    assert len(reconcile(readings, of("any")).boxes) == 2


@pytest.mark.parametrize("policy", ["majority", "fusion"])
def test_a_film_is_free_of_findings_only_if_most_say_so(policy):
    free, one, other = says("ana"), says("ben", HERE), says("cao", ELSEWHERE)
    dora = says("dora")
    assert reconcile([free, one, dora], of(policy)).verdict == "no_finding"
    assert reconcile([free, one], of(policy)).verdict == "excluded"
    # All three saw something, each something else.
    apart = [says("ana", HERE), says("ben", ELSEWHERE), says("cao", box("Nodule"))]
    assert reconcile(apart, of(policy)) == Reconciled("excluded", (), 3, 0.0)
    assert reconcile([free, one, other], of(policy)).verdict == "excluded"


@pytest.mark.parametrize("policy", POLICIES)
def test_a_skip_is_no_opinion(policy):
    skip = passes("ben", "skipped")
    assert reconcile([says("ana", HERE), skip], of(policy)) == Reconciled(
        "finding", (HERE,), 1, None
    )
    assert reconcile([skip], of(policy)) == Reconciled("excluded", (), 0, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_film_that_most_cannot_read_is_excluded(policy):
    blurred = [passes("ben", "unreadable"), passes("cao", "unreadable")]
    assert reconcile([says("ana", HERE), *blurred], of(policy)) == Reconciled(
        "excluded", (), 3, None
    )
    half = [says("ana", HERE), blurred[0], passes("dora", "skipped")]
    assert reconcile(half, of(policy)) == Reconciled("finding", (HERE,), 1, None)


@pytest.mark.parametrize("policy", POLICIES)
def test_the_last_round_in_which_a_film_was_read_counts(policy):
    before = [says("ana", HERE), says("ben", HERE)]
    again = says("cao", role="reread", round=2)
    assert reconcile([*before, again], of(policy)) == Reconciled("no_finding", (), 1, None)
    control = says("cao", role="control", round=3)
    assert reconcile([*before, control], of(policy)) == reconcile(before, of(policy))


def test_an_adjudication_settles_a_dispute():
    dispute = [says("ana", HERE), says("ben")]
    how = of("adjudicate")
    assert reconcile(dispute, how).verdict == "disputed"
    judge = says("cao", ELSEWHERE, role="adjudicate", round=2)
    assert reconcile([*dispute, judge], how) == Reconciled("finding", (ELSEWHERE,), 1, None)
    # Somebody answers the old round late; the adjudication stays.
    late = says("dora", HERE, at="2026-11-25T10:00:00Z")
    assert reconcile([*dispute, judge, late], how).boxes == (ELSEWHERE,)


def test_an_adjudication_outweighs_any_number_of_readings_beside_it():
    crowd = [says(name, HERE, number=2) for name in ("ana", "ben", "cao")]
    first = says("dora", ELSEWHERE, role="adjudicate")
    assert reconcile([*crowd, first], of("fusion")).boxes == (ELSEWHERE,)
    later = says("eli", role="adjudicate", at="2026-11-23T10:00:01Z")
    assert reconcile([*crowd, later, first], of("fusion")) == Reconciled("no_finding", (), 1, None)
    blurred = passes("fay", "unreadable", role="adjudicate", at="2026-11-23T11:00:00Z")
    assert reconcile([*crowd, later, blurred], of("fusion")).verdict == "excluded"
    skipped = passes("fay", "skipped", role="adjudicate", at="2026-11-23T11:00:00Z")
    assert reconcile([*crowd, first, skipped], of("fusion")).boxes == (ELSEWHERE,)


def test_an_adjudicator_who_skips_leaves_the_film_out():
    dispute = [says("ana", HERE), says("ben")]
    skipped = passes("cao", "skipped", role="adjudicate", round=2)
    assert reconcile([*dispute, skipped], of("adjudicate")) == Reconciled("excluded", (), 0, None)


def test_a_film_whose_second_look_is_skipped_keeps_its_truth():
    before = says("ana", HERE)
    skipped = passes("ben", "skipped", role="reread", round=2)
    assert reconcile([before, skipped], of("adjudicate")) == reconcile([before], of("adjudicate"))


def test_what_was_said_of_a_box_is_not_said_of_the_truth():
    marked = replace(HERE, origin="moved", confidence="low", comment="?")
    for policy in POLICIES:
        assert reconcile([says("ana", marked)], of(policy)).boxes == (HERE,)
