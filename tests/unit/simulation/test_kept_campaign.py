"""The campaigns of the real trainer that are kept say what docs/results.md says of them."""

import re
from collections import Counter
from math import isfinite, isnan
from pathlib import Path

import pytest

from lungal.data.sources.phantom.population import plan
from lungal.params import PhantomParams
from lungal.records import CLASSES
from lungal.simulation.chains import read_chain
from lungal.simulation.points import read_points
from lungal.simulation.preset import read_preset
from lungal.simulation.results import FULL
from lungal.simulation.verdict import Verdict, judge

ROOT = Path(__file__).parents[3]
KEPT = ROOT / "benchmarks" / "campaigns" / "phantom"
SECTION = "## Which way of choosing saves labels? The real trainer on phantoms"
NIH = ROOT / "benchmarks" / "campaigns" / "nih_trainer"
ON_NIH = "## The real trainer on NIH's films"
PROXY = ROOT / "benchmarks" / "campaigns" / "nih" / "points.csv"
ON_NIH_WITH_PROXY = "## Which way of choosing saves labels? The proxy on NIH's films"
ARMS = {"random", "stratified_random", "least_confidence", "ppal", "claspd"}
SAID = {FULL, "claspd", "least_confidence", "stratified_random"}
SHARES = (0.8, 0.9, 0.95)


@pytest.fixture(scope="module")
def verdict() -> Verdict:
    return judge([point for path in KEPT.iterdir() for point in read_chain(path).points])


@pytest.fixture(scope="module")
def said() -> str:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    return text.split(SECTION)[1].split("\nThe proxy on the same films")[0]


def row(said: str, arm: str, cells: int) -> list[list[float]]:
    """Return the numbers in each cell of an arm's only row of so many cells, its name included."""
    (found,) = [
        line.split("|")[2:-1]
        for line in said.splitlines()
        if line.startswith((f"| {arm} |", f"| control: {arm} |")) and line.count("|") == cells + 1
    ]
    return [[float(number) for number in re.findall(r"[-+]?[\d.]*\d", cell)] for cell in found]


def test_every_arm_has_five_seeds_and_six_rounds() -> None:
    chains = [read_chain(path) for path in KEPT.iterdir()]
    played = {(chain.points[0].arm, chain.points[0].seed) for chain in chains}
    assert len(chains) == len(played) == 30
    assert played == {(arm, seed) for arm in {*ARMS, FULL} for seed in range(5)}
    rounds = {(chain.points[0].arm == FULL, len(chain.points)) for chain in chains}
    assert rounds == {(True, 1), (False, 7)}


def test_the_verdict_is_the_one_that_is_told(verdict: Verdict, said: str) -> None:
    assert verdict.shown == ("claspd",)
    saved = verdict.saving("claspd")
    assert saved is not None
    low, high = (round(100 * end) for end in saved.together)
    told = f"**`claspd` saves {100 * saved.measured.low:.0f} % of the films** [{low}, {high}]"
    assert told in said
    assert f"with all labels it is {verdict.full:.3f}".replace("0.", ".") in said


def test_what_was_read_is_what_the_preset_draws() -> None:
    drawn = plan(PhantomParams.model_validate(read_preset("phantom")["data"]["phantom"]))
    truth = {case.image_id: sorted(case.findings) for case in drawn}
    picks = [pick for path in KEPT.iterdir() for pick in read_chain(path).picks]
    assert len(picks) == 5 * 5 * 6 * 40  # arms, seeds, choices, films
    for pick in picks:
        found = Counter(dict(zip(CLASSES, pick.boxes, strict=True)))
        assert sorted(found.elements()) == truth[pick.image_id], pick.image_id


@pytest.mark.parametrize("arm", sorted(ARMS - {"stratified_random"}))
def test_each_row_holds_what_was_played(arm: str, verdict: Verdict, said: str) -> None:
    *savings, aubc, ahead, p = row(said, arm, 7)
    better = verdict.comparison(arm)
    assert better is not None
    assert aubc == [round(better.aubc, 3)]
    assert ahead == [round(number, 3) for number in (better.difference, *better.interval)]
    assert p == [] if arm == "random" else p == [pytest.approx(better.p_holm, abs=0.005)]
    for share, told in zip(SHARES, savings, strict=True):
        saved = verdict.savings["films", share, arm]
        assert saved.measured.exact
        assert told[0] == round(100 * saved.measured.low)


@pytest.mark.parametrize("arm", sorted(ARMS))
def test_each_curve_is_the_mean_of_its_seeds(arm: str, said: str) -> None:
    paths = list(KEPT.glob(f"{arm}-?-*.json"))
    scores = [[point.score for point in read_chain(path).points] for path in paths]
    mean = [sum(of_round) / len(paths) for of_round in zip(*scores, strict=True)]
    assert [number for (number,) in row(said, arm, 8)] == [round(score, 3) for score in mean]


def test_what_is_told_of_nih_is_what_was_played() -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    areas, curves = text.split(ON_NIH)[1].split("\n## ")[0].split("Means of the curves")
    points = [p for path in NIH.iterdir() for p in read_chain(path).points]
    verdict = judge(points)
    assert verdict.shown == ()
    assert f"with all labels is {verdict.full:.3f}".replace("0.", ".") in " ".join(areas.split())
    assert verdict.sure == frozenset(), "a strategy that is surely behind is not the default"
    assert {(p.arm, p.seed) for p in points} == {(arm, s) for arm in SAID for s in range(3)}
    for arm in verdict.candidates:
        better = verdict.comparison(arm)
        assert better is not None
        *_, aubc, ahead, p = row(areas, arm, 7)
        assert aubc == [round(better.aubc, 3)]
        assert ahead == [round(number, 3) for number in (better.difference, *better.interval)]
        assert p == [pytest.approx(better.p_holm, abs=0.005)]
    for arm in verdict.arms:
        paths = list(NIH.glob(f"{arm}-?-*.json"))
        scores = [[point.score for point in read_chain(path).points] for path in paths]
        mean = [sum(of_round) / len(paths) for of_round in zip(*scores, strict=True)]
        assert [n for (n,) in row(curves, arm, 6)] == [round(score, 3) for score in mean]


@pytest.fixture(scope="module")
def by_proxy() -> Verdict:
    return judge(read_points(PROXY, "proxy"))


def test_every_way_of_choosing_is_played_by_the_proxy(by_proxy: Verdict) -> None:
    preset = read_preset("nih")["simulate"]
    points = read_points(PROXY, "proxy")
    played = {(point.arm, point.seed, point.round) for point in points}
    rounds = range(preset["rounds"] + 1)
    turns = {(arm, seed, n) for arm in preset["arms"] for seed in preset["seeds"] for n in rounds}
    assert played == turns | {(FULL, seed, 0) for seed in preset["seeds"]}
    assert len(points) == len(played)
    assert by_proxy.shown == ()
    assert by_proxy.sure & {("films", arm) for arm in by_proxy.arms} == set()


@pytest.mark.parametrize("arm", sorted(set(read_preset("nih")["simulate"]["arms"])))
def test_each_row_of_the_proxy_holds_what_was_played(arm: str, by_proxy: Verdict) -> None:
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    told = text.split(ON_NIH_WITH_PROXY)[1].split("\n## ")[0]
    assert f"with all labels it is {by_proxy.full:.3f}".replace("0.", ".") in told
    if arm == by_proxy.reference:
        return
    area, films, p, saved, boxes, p_boxes = row(told, arm, 7)
    for currency, said, p_said in (("films", films, p), ("boxes", boxes, p_boxes)):
        better = by_proxy.comparison(arm, currency)
        assert better is not None
        assert area == [round(better.aubc, 3)] or currency == "boxes"
        assert said == [round(number, 3) for number in (better.difference, *better.interval)]
        known = [] if isnan(better.p_holm) else [better.p_holm]
        assert p_said == pytest.approx(known, abs=0.005 if known > [0.1] else 0.0006)
    saving = by_proxy.savings["films", 0.8, arm]
    ends = [end for end in saving.interval if isfinite(end)]
    assert saved == [round(100 * number) for number in (saving.measured.low, *ends)]
