"""The verdict on whole campaigns: one that shows something, and those that cannot."""

import json
import math
from dataclasses import replace

import pytest
from made_up_campaigns import SPEEDS, campaign, points_of

from lungal.errors import EvaluationError
from lungal.simulation.results import FULL
from lungal.simulation.summary import summary
from lungal.simulation.tables import tables
from lungal.simulation.verdict import Rules, judge
from lungal.simulation.wording import headline, remarks


@pytest.fixture(scope="module")
def played():
    return campaign()


@pytest.fixture(scope="module")
def verdict(played):
    return judge(played[0])


def test_a_faster_arm_is_shown_to_save(verdict):
    assert verdict.candidates == ("ppal", "claspd")
    assert verdict.shown[0] == "claspd"
    assert headline(verdict).startswith("claspd saves films: it reaches 90 % of the full-label")
    better, saved = verdict.comparison("claspd"), verdict.saving("claspd")
    assert better.won == better.seeds == 5
    assert better.p < better.p_holm < 0.05
    assert better.together[0] < better.interval[0] < better.difference < better.interval[1]
    assert 0 < saved.together[0] <= saved.interval[0] <= saved.measured.low
    assert all(arm in one for arm, one in zip(verdict.shown[1:], remarks(verdict), strict=True))


def test_controls_come_out_as_they_have_to(verdict):
    assert [(check.arm, check.passed) for check in verdict.checks] == [
        ("shuffled", True),
        ("oracle", True),
    ]
    assert math.isnan(verdict.comparison("oracle").p_holm)


def test_a_control_that_fails_says_so():
    points, _ = campaign(SPEEDS | {"shuffled": 3.0, "oracle": 0.9})
    verdict = judge(points)
    shuffled, oracle = verdict.checks
    assert sum("A control failed" in remark for remark in remarks(verdict)) == 2
    assert (shuffled.passed, oracle.passed) == (False, False)
    assert shuffled.reason == "shuffled should not differ from random: it differs"
    assert oracle.reason == "oracle should beat random: it does not"


@pytest.mark.parametrize("seeds", [2, 3])
def test_a_lead_of_few_seeds_is_no_failure_of_the_control(seeds):
    verdict = judge(campaign(seeds=seeds, noise=0.02)[0])
    oracle = verdict.checks[1]
    assert oracle.difference > 0 > oracle.interval[0]
    assert oracle.passed is None
    assert oracle.reason == "oracle should beat random: ahead, but not surely"
    assert not any("oracle" in remark for remark in remarks(verdict))


def test_a_full_label_score_that_is_no_number_is_an_error(played):
    points = [replace(p, score=float("nan")) if p.arm == FULL else p for p in played[0]]
    with pytest.raises(EvaluationError, match="full-label score is nan"):
        judge(points)


def test_a_control_that_was_not_played_is_told_from_one_that_cannot_be_told():
    speeds = {arm: SPEEDS[arm] for arm in ("stratified_random", "random", "claspd", "shuffled")}
    verdict = judge(campaign(speeds)[0])
    shuffled, oracle = verdict.checks
    assert (shuffled.passed, shuffled.missing) == (True, ())
    assert (oracle.passed, oracle.missing) == (None, ("oracle",))
    assert oracle.reason == "oracle should beat random: oracle was not played"
    (note,) = (note for note in verdict.notes if "not checked" in note)
    assert note.startswith("Controls that were not played, or not with their reference: oracle. ")
    few = judge(campaign(seeds=1)[0])
    assert [check.reason.rpartition(": ")[2] for check in few.checks] == ["that cannot be told"] * 2
    assert not any("not checked" in note for note in few.notes)


def test_a_control_without_its_reference_was_not_checked():
    verdict = judge(campaign({"stratified_random": 1.0, "oracle": 2.5})[0])
    shuffled, oracle = verdict.checks
    assert oracle.reason.endswith("random was not played")
    assert shuffled.reason.endswith("shuffled and random were not played")
    assert any("reference: shuffled, oracle. " in note for note in verdict.notes)


def test_arms_that_are_alike_are_not_shown_to_save():
    points, _ = campaign({"stratified_random": 1.0, "ppal": 1.0, "claspd": 1.0}, noise=0.01)
    verdict = judge(points)
    assert verdict.shown == ()
    assert headline(verdict).startswith("No strategy was shown to save films")


def test_the_very_same_curves_differ_by_nothing():
    points = [
        *points_of("stratified_random", 0, [0.2, 0.3, 0.4]),
        *points_of("stratified_random", 1, [0.2, 0.3, 0.5]),
    ]
    points += [type(p)("ppal", *(getattr(p, n) for n in list(p.__slots__)[1:])) for p in points]
    points += points_of(FULL, 0, [0.4])
    one = judge(points).comparison("ppal")
    assert (one.difference, one.interval, one.p, one.p_holm) == (0, (0, 0), 1, 1)
    assert judge(points).saving("ppal").text == "0 %"


def test_one_seed_shows_nothing_and_says_so():
    verdict = judge(campaign(seeds=1)[0])
    one = verdict.comparison("claspd")
    assert math.isnan(one.p)
    assert math.isnan(one.p_holm)
    assert math.isnan(one.interval[0])
    assert verdict.shown == ()
    assert any(note.startswith("One seed") for note in verdict.notes)
    assert headline(verdict).startswith("Nothing can be concluded from one seed")
    assert "claspd, the best of 2, differs from stratified_random by +" in headline(verdict)
    alone = judge(campaign({"stratified_random": 1.0, "slow": 0.5}, seeds=1)[0])
    assert "slow, the best of 1, differs from stratified_random by \N{MINUS SIGN}" in headline(
        alone
    )
    assert all(check.passed is None for check in verdict.checks)


def test_an_arm_of_one_seed_does_not_hide_what_others_show(played):
    once = [p for p in played[0] if (p.arm, p.seed) == ("ppal", 0)]
    lucky = [replace(p, arm="lucky", score=0.9) for p in once]
    verdict = judge([*played[0], *lucky])
    assert verdict.comparison("lucky").unknown
    assert headline(verdict).startswith("claspd saves films")
    assert "5 seeds, too few for it to be as wide as it should be)" in headline(verdict)


def test_with_many_seeds_an_interval_is_as_wide_as_it_should_be():
    verdict = judge(campaign(seeds=12)[0])
    assert "12 seeds)" in headline(verdict)


def test_the_surer_of_two_arms_is_named_where_the_better_one_is_chance():
    rows = campaign({"stratified_random": 1.0, "ppal": 1.3, "claspd": 1.0}, noise=0.001)[0]
    loud = [
        replace(p, score=p.score + 0.09 * (p.seed - 1.2)) if p.arm == "claspd" and p.round else p
        for p in rows
        if p.arm != FULL
    ]
    verdict = judge(loud)
    better = {arm: verdict.comparison(arm) for arm in verdict.candidates}
    assert better["claspd"].difference > better["ppal"].difference
    assert better["ppal"].p_holm < 0.05 < better["claspd"].p_holm
    assert "although ppal learns faster" in headline(verdict)


def test_an_arm_that_is_surely_slower_is_named_beside_one_that_saves(played):
    points, _ = campaign({"stratified_random": 1.0, "claspd": 1.7, "least_confidence": 0.6})
    verdict = judge(points)
    assert verdict.shown == ("claspd",)
    one = verdict.comparison("least_confidence")
    assert one.p_holm < 0.05
    (said,) = remarks(verdict)
    minus = "\N{MINUS SIGN}"
    assert said.startswith(
        f"least_confidence learns more slowly than stratified_random: {minus}0.0"
    )
    assert "after Holm" in said


def test_an_arm_that_may_be_slower_by_chance_is_not_named():
    points, _ = campaign({"stratified_random": 1.0, "ppal": 1.0}, noise=0.001)
    loud = [
        replace(p, score=p.score + 0.02 * (p.seed - 2.5)) if p.arm == "ppal" and p.round else p
        for p in points
    ]
    verdict = judge(loud)
    assert verdict.comparison("ppal").difference < 0
    assert remarks(verdict) == []
    assert remarks(judge(campaign({"stratified_random": 1.0, "ppal": 0.5}, seeds=1)[0])) == []


def test_of_two_that_learn_faster_the_surer_is_named_first():
    rows = campaign({"stratified_random": 1.0, "ppal": 1.3, "claspd": 1.3}, noise=0.001)[0]
    loud = [
        replace(p, score=p.score + 0.0138 + 0.01 * (p.seed - 2))
        if p.arm == "claspd" and p.round
        else p
        for p in rows
        if p.arm != FULL
    ]
    verdict = judge(loud)
    better = {arm: verdict.comparison(arm) for arm in verdict.candidates}
    assert better["claspd"].difference > better["ppal"].difference
    assert max(better[arm].p_holm for arm in better) < 0.05
    assert better["ppal"].together[0] > better["claspd"].together[0]
    assert "although ppal learns faster" in headline(verdict)
    assert headline(verdict).endswith(". The same was shown of claspd.")


def test_a_missing_reference_gives_way_to_the_next():
    speeds = {arm: speed for arm, speed in SPEEDS.items() if arm != "stratified_random"}
    verdict = judge(campaign(speeds)[0])
    assert verdict.reference == "random"
    assert "stratified_random was not played: savings are against random." in verdict.notes


def test_without_any_reference_nothing_is_compared():
    verdict = judge(campaign({"ppal": 1.0, "claspd": 1.5})[0])
    assert verdict.reference is None
    assert not any(verdict.comparisons.values())
    assert verdict.savings == {}
    assert headline(verdict).startswith("Nothing can be concluded")


def test_without_a_full_label_detector_there_are_no_savings(played):
    verdict = judge([point for point in played[0] if point.arm != FULL])
    assert verdict.savings == {}
    assert math.isnan(verdict.full)
    assert verdict.shown == ()
    assert any("all labels" in note for note in verdict.notes)
    assert "learns faster" in headline(verdict)


def test_an_arm_that_passes_the_score_of_all_labels_shows_it_to_be_no_ceiling(played, verdict):
    assert not any("no ceiling" in note for note in verdict.notes)
    points = [replace(p, score=0.48) if p.arm == FULL else p for p in played[0]]
    told = [note for note in judge(points).notes if "no ceiling" in note]
    assert len(told) == 1
    assert told[0].startswith("Better than with all labels, mean of the seeds: ")
    passed = [arm for arm in SPEEDS if arm in told[0]]
    assert passed == ["claspd", "oracle"]


def test_an_arm_is_held_against_all_labels_of_its_own_seeds(played):
    points = [replace(p, score=0.9) if (p.arm, p.seed) == (FULL, 0) else p for p in played[0]]
    points = [replace(p, score=0.4) if (p.arm, p.seed) == (FULL, 4) else p for p in points]
    alone = [p for p in points if p.arm != "claspd" or p.seed == 4]
    assert not any("no ceiling" in note for note in judge(points).notes)
    assert any("the seeds: claspd. " in note for note in judge(alone).notes)


def test_unequal_rounds_and_seeds_are_told(played):
    points = [p for p in played[0] if (p.arm, p.round) != ("ppal", 6)]
    points = [p for p in points if (p.arm, p.seed) != ("claspd", 4)]
    points = [p for p in points if (p.arm, p.seed) != (FULL, 2)]
    verdict = judge(points)
    assert verdict.comparison("claspd").seeds == 4
    assert verdict.comparison("ppal").seeds == 5
    told = " ".join(verdict.notes)
    assert "ppal 5" in told
    assert "claspd was played for 4 seeds, stratified_random for 5" in told
    assert "No full-label detector of seed 2" in told


def test_seeds_of_unequal_length_are_told(played):
    points = [p for p in played[0] if not (p.seed == 1 and p.round > 3)]
    told = " ".join(judge(points).notes)
    assert "ppal was played for 3 to 6 rounds, by seed: only the first 3 are judged" in told


def test_no_arm_is_an_error(played):
    with pytest.raises(EvaluationError, match="no arm was played"):
        judge([point for point in played[0] if point.arm == FULL])


def test_the_order_of_points_does_not_matter(played, verdict):
    again = judge(sorted(played[0], key=lambda p: (p.round, p.seed)))
    assert summary(again, "tfod") == summary(verdict, "tfod")


def test_the_summary_is_json_without_nan(verdict):
    told = json.loads(json.dumps(summary(verdict, "tfod"), allow_nan=False))
    assert told["shown_to_save"] == list(verdict.shown)
    assert told["controls"] == {"shuffled": True, "oracle": True}
    assert told["arms"]["claspd"]["saving"] > 0
    assert told["arms"]["oracle"]["p_holm"] is None


def test_tables_have_a_row_for_all_there_is(played, verdict):
    found = tables(verdict, *played, "tfod")
    arms = len(SPEEDS)
    assert len(found["points"]) == arms * 5 * 7 + 5
    assert len(found["curves"]) == arms * 7 * 3
    assert len(found["aubc"]) == 2 * (arms - 1) * 3
    assert len(found["savings"]) == (arms - 1) * 9
    assert len(found["stopping"]) == arms
    assert found["gained"].query("arm == 'ppal' and `class` == 'Cardiomegaly'")["boxes"].item() == 6
    assert len(found["chosen"]) == len(played[1])
    mine = found["curves"].query("arm == 'claspd' and currency == 'films' and round == 6").iloc[0]
    assert mine["low"] < mine["score"] < mine["high"]
    assert mine["ahead"] > 0


def test_no_band_is_drawn_against_a_curve_of_other_seeds(played):
    lacking = [p for p in played[0] if (p.arm, p.seed) != ("stratified_random", 1)]
    banded = [
        tables(judge(points), points, played[1], "tfod")["curves"].query("arm == 'claspd'")["low"]
        for points in (played[0], lacking)
    ]
    assert banded[0].notna().any()
    assert banded[1].isna().all()


def test_the_currency_and_share_of_the_verdict_are_its_rules(played):
    verdict = judge(played[0], Rules(currency="seconds", share=0.8))
    assert "less reading time" in headline(verdict)
    assert "80 %" in headline(verdict)
