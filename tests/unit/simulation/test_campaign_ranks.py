"""Whether two detectors rank ways of choosing alike."""

import math
from dataclasses import replace

import numpy as np
import pytest
from made_up_campaigns import campaign, points_of
from scipy import stats

from lungal.data.tables import as_csv
from lungal.errors import EvaluationError
from lungal.simulation.page import render
from lungal.simulation.points import point_table, read_points
from lungal.simulation.ranks import rank_agreement
from lungal.simulation.summary import summary
from lungal.simulation.verdict import judge
from lungal.simulation.wording import agreement

LEVELS = {"random": 0.1, "ppal": 0.3, "claspd": 0.2, "coreset": 0.4}


def flat(levels, *, seeds=3, spread=0.0):
    """Arms whose scores do not change over the rounds, so that AUBC is the score."""
    return [
        p
        for seed in range(seeds)
        for arm, score in levels.items()
        for p in points_of(arm, seed, [score + spread * seed] * 3)
    ]


@pytest.mark.parametrize(
    ("others", "rho"),
    [
        ({"random": 0.5, "ppal": 0.7, "claspd": 0.6, "coreset": 0.8}, 1.0),
        ({"random": 0.8, "ppal": 0.6, "claspd": 0.7, "coreset": 0.5}, -1.0),
        ({"random": 0.5, "ppal": 0.6, "claspd": 0.7, "coreset": 0.8}, 0.8),
    ],
)
def test_it_is_spearman_s_of_the_arms(others, rho):
    found = rank_agreement(flat(LEVELS), flat(others, seeds=2))
    expected = stats.spearmanr([LEVELS[arm] for arm in others], list(others.values())).statistic
    assert found.rho == pytest.approx(expected) == pytest.approx(rho)
    assert found.arms == tuple(sorted(LEVELS))
    assert found.interval == pytest.approx((rho, rho)), "seeds do not differ"


def test_only_arms_and_seeds_that_both_played_count():
    more = {**LEVELS, "other": 0.0, "full": 0.9}
    found = rank_agreement(flat(more), [*flat(LEVELS), *points_of("ppal", 7, [0.0] * 3)])
    assert found.arms == tuple(sorted(LEVELS))
    assert found.rho == pytest.approx(1)


def test_seeds_that_disagree_widen_the_interval():
    luck = np.random.default_rng(0).uniform(0, 0.4, (5, len(LEVELS)))
    noisy = [
        p
        for seed, of_seed in enumerate(luck)
        for arm, more in zip(LEVELS, of_seed, strict=True)
        for p in points_of(arm, seed, [LEVELS[arm] + more] * 3)
    ]
    low, high = rank_agreement(flat(LEVELS), noisy).interval
    assert low < high
    assert rank_agreement(flat(LEVELS), noisy) == rank_agreement(flat(LEVELS), noisy)


def test_one_seed_has_no_interval():
    found = rank_agreement(flat(LEVELS, seeds=1), flat(LEVELS))
    assert found.rho == pytest.approx(1)
    assert all(math.isnan(end) for end in found.interval)


def test_a_detector_that_tells_no_arm_from_another_has_no_ranks():
    found = rank_agreement(flat(LEVELS), flat(dict.fromkeys(LEVELS, 0.3)))
    assert math.isnan(found.rho)
    assert "no arm" in agreement(found)


def test_too_little_in_common_is_said():
    with pytest.raises(EvaluationError, match=r"share 1 arm.*at least 3"):
        rank_agreement(flat(LEVELS), flat({"random": 0.1, "other": 0.2, "third": 0.3}))
    apart = [replace(p, seed=int(p.arm == "ppal")) for p in flat(LEVELS, seeds=1)]
    with pytest.raises(EvaluationError, match="no seed was played by all of"):
        rank_agreement(flat(LEVELS), apart)


def test_campaigns_on_other_films_are_told_apart():
    others = [replace(p, boxes=p.boxes + 1) if p.seed == 1 else p for p in flat(LEVELS)]
    with pytest.raises(EvaluationError, match=r"with seed 1 .* not on the same films"):
        rank_agreement(flat(LEVELS), others)


def test_campaigns_without_a_common_seed_are_refused():
    others = [replace(p, seed=p.seed + 10) for p in flat(LEVELS)]
    with pytest.raises(EvaluationError, match="share no seed"):
        rank_agreement(flat(LEVELS), others)


def test_controls_do_not_count():
    told = {**LEVELS, "shuffled": 0.1, "oracle": 0.9}
    other = dict(zip(told, [0.4, 0.3, 0.2, 0.1, 0.1, 0.9], strict=True))
    found = rank_agreement(flat(told), flat(other))
    assert found.arms == tuple(sorted(LEVELS))


def test_points_are_read_as_they_were_written(tmp_path):
    points, _ = campaign(seeds=2, rounds=3)
    path = tmp_path / "points.csv"
    path.write_bytes(as_csv(point_table(points, "tfod")))
    back = {(p.arm, p.seed, p.round): p for p in read_points(path, "tfod")}
    assert len(back) == len(points)
    for one in points:
        again = back[one.arm, one.seed, one.round]
        assert (again.films, again.boxes) == (one.films, one.boxes)
        assert again.score == pytest.approx(one.score, abs=1e-5)
        assert again.classes == pytest.approx(one.classes, abs=1e-5)


@pytest.mark.parametrize("content", [None, "", "arm,seed\nrandom,0\n", "no table"])
def test_what_holds_no_points_is_one_line(content, tmp_path):
    path = tmp_path / "points.csv"
    if content is not None:
        path.write_text(content)
    with pytest.raises(EvaluationError, match=r"points\.csv holds no points") as refused:
        read_points(path, "tfod")
    assert len(str(refused.value).splitlines()) == 1


def test_points_of_an_earlier_version_say_what_to_do(tmp_path):
    points, _ = campaign(seeds=2, rounds=3)
    path = tmp_path / "points.csv"
    path.write_bytes(as_csv(point_table(points, "tfod").drop(columns="learner")))
    with pytest.raises(EvaluationError, match=r"does not say whose points .* writes it anew"):
        read_points(path, "tfod")


def test_points_of_a_proxy_are_not_taken_for_the_real_trainer_s(tmp_path):
    points, _ = campaign(seeds=2, rounds=3)
    path = tmp_path / "points.csv"
    path.write_bytes(as_csv(point_table(points, "proxy")))
    with pytest.raises(EvaluationError, match="is of the learner 'proxy', not 'tfod'"):
        read_points(path, "tfod")


def test_the_page_and_the_metric_say_it():
    points, picks = campaign(seeds=3)
    found = rank_agreement(points, points)
    verdict = judge(points)
    how = {"learner": "proxy", "settings": {}, "command": "lungal simulate", "unscored": {}}
    page = render(verdict, points, picks, {}, **how, agreement=found)
    assert "correlation of +1.000" in page
    assert "was not measured" in render(verdict, points, picks, {}, **how)
    assert summary(verdict, "proxy", found)["rank_correlation_with_real"] == 1.0
    assert "rank_correlation_with_real" not in summary(verdict, "proxy")
    assert summary(verdict, "proxy")["learner"] == "proxy"
