"""The page: one file that loads nothing, trusts no name, and is the same twice."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made_up_campaigns import SPEEDS, campaign, point

from lungal.acquisition.selection import SELECTORS, build_selector
from lungal.evaluation import campaign_figures, curve_figures, figures
from lungal.records import CLASSES
from lungal.simulation.arms import Arm
from lungal.simulation.page import render
from lungal.simulation.receipts import caption, unscored
from lungal.simulation.savings import Range, describe
from lungal.simulation.tables import chosen_table, class_table, finding_table, savings_table, tables
from lungal.simulation.verdict import judge
from lungal.simulation.wording import signed
from lungal.testing import make_pool, make_select

EVIL = '<script>alert("x")</script>'
SHEET = b"\x89PNG not really"
HOW = {
    "learner": "proxy",
    "settings": {"seeds": 2, EVIL: EVIL},
    "command": f"lungal {EVIL} && ls",
    "unscored": {},
}


class Page(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.tags, self.stack = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in {"meta", "img", "link", "br"}:
            self.stack.append(tag)

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag


@pytest.fixture(scope="module")
def played():
    points, picks = campaign({arm: SPEEDS[arm] for arm in ("stratified_random", "claspd")}, seeds=3)
    points = [replace(p, arm=EVIL) if p.arm == "claspd" else p for p in points]
    picks = [
        replace(p, arm=EVIL, image_id=EVIL, components={EVIL: EVIL}) if p.arm == "claspd" else p
        for p in picks
    ]
    return points, picks


@pytest.fixture(scope="module")
def text(played):
    return render(judge(played[0]), *played, {EVIL: SHEET}, **HOW)


def test_nothing_is_loaded_from_elsewhere(text):
    page = Page(text)
    assert page.stack == []
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed"}
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "srcset", "action"):
            value = attributes.get(name, "#")
            assert value.startswith(("#", "data:image/png;base64,"))
    assert not re.search(r"url\(|@import", text)


def test_names_are_text(text):
    assert EVIL not in text
    assert "&lt;script&gt;" in text


def test_pictures_have_words_and_links_have_targets(text):
    page = Page(text)
    assert all(attributes["alt"] for tag, attributes in page.tags if tag == "img")
    ids = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    targets = {attributes["href"][1:] for tag, attributes in page.tags if tag == "a"}
    assert targets <= ids
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


def test_the_proxy_is_named_as_what_it_is(text, played):
    assert "Proxy detector." in text
    assert "Proxy detector." not in render(
        judge(played[0]), *played, {}, **HOW | {"learner": "tfod"}
    )


def test_controls_that_were_not_played_are_said_to_be_missing(text):
    assert text.count("<b>not played</b>") == 2
    assert "Controls that were not played, or not with their reference: shuffled, oracle." in text


def test_the_same_campaign_is_the_same_page(text, played):
    with mpl.rc_context({"font.size": 20, "savefig.dpi": 33}):
        assert render(judge(played[0]), *played, {EVIL: SHEET}, **HOW) == text


def test_pages_of_campaigns_that_show_nothing():
    alone = [point("ppal", 0, 0, 0.3, classes=(float("nan"),) * len(CLASSES))]
    page = Page(render(judge(alone), alone, [], {}, **HOW))
    assert page.stack == []
    one_seed, picks = campaign(seeds=1, rounds=3)
    text = render(judge(one_seed), one_seed, picks, {}, **HOW)
    assert "Nothing can be concluded from one seed" in text
    assert "too few to fit" in text
    assert "nan" not in re.sub('base64,[^"]*', "", text)


def surely(verdict, arm, together, p_holm):
    """The verdict with a blue interval of this arm alone, and another of all at once."""
    sure = {"measured": Range(0.3, 0.3), "interval": (0.1, 0.5), "together": together}
    saved = {
        key: replace(one, **sure) if key[2] == arm else one for key, one in verdict.savings.items()
    }
    compared = {
        currency: tuple(
            replace(one, difference=0.02, interval=(0.01, 0.03), p=0.02, p_holm=p_holm)
            if one.arm == arm
            else one
            for one in rows
        )
        for currency, rows in verdict.comparisons.items()
    }
    return replace(verdict, savings=saved, comparisons=compared)


def test_blue_is_what_holds_after_correction_and_never_a_control_or_chance():
    played = campaign(SPEEDS | {"entropy": 1.2}, seeds=3, rounds=3)
    verdict = surely(judge(played[0]), "claspd", (0.05, 0.6), 0.04)
    verdict = surely(verdict, "ppal", (-0.1, 0.6), 0.06)
    verdict = surely(verdict, "entropy", (0.05, 0.6), 0.5)  # by the luck of few seeds
    for arm in ("random", "shuffled", "oracle"):
        verdict = surely(verdict, arm, (0.05, 0.6), float("nan"))
    text = render(verdict, *played, {}, **HOW)
    assert "With so few seeds all these intervals are narrower than they should be" in text
    for arm in ("claspd", "ppal", "entropy", "random", "shuffled", "oracle"):
        saved, area, *_ = re.findall(rf'<tr>\s*<th scope="row">{arm}\b.*?</tr>', text, re.DOTALL)
        blue = saved.count('class="good'), area.count('class="good')
        assert blue == ((9, 3) if arm == "claspd" else (0, 0)), arm
    drawn = campaign_figures.savings(savings_table(verdict), 0.9, coloured=verdict.sure).axes[0]
    colours = {tuple(part.get_color()[0]) for part in drawn.collections}
    assert len(colours) == 2, "one blue bar, and grey ones"


def drawn_savings(**rows):
    """The words and the markers at the left edge of the first panel; arms by what they save."""
    columns = ["currency", "share", "arm", "saving", "saving_from", "saving_to", "low", "high"]
    columns += ["low_together", "high_together"]
    words = {arm: describe(Range(*ends)) for arm, ends in rows.items()}
    table = pd.DataFrame(
        [("films", 0.9, arm, words[arm], *ends, *ends, *ends) for arm, ends in rows.items()],
        columns=columns,
    ).replace({"saving": {"not reached": "reached at the start"}})
    axes = campaign_figures.savings(table, 0.9, coloured=()).axes[0]
    left = axes.get_xlim()[0]
    edge = [
        (line.get_marker(), round(float(line.get_ydata()[0])))
        for line in axes.lines
        if line.get_marker() in "<>o" and line.get_xdata()[0] < left + 0.1
    ]
    return [text.get_text() for text in axes.texts], edge


def test_what_is_lost_beyond_the_axis_is_spelled_and_points_there():
    words, edge = drawn_savings(slow=(-2.0, -2.0), least=(-1.9, 1.0), most=(-float("inf"), -1.8))
    minus = "\N{MINUS SIGN}"
    assert words == [f"{minus}200 %", f">= {minus}190 %", f"<= {minus}180 %"]
    assert {marker for marker, _ in edge} == {"<"}
    assert {place for _, place in edge} == {0, 1, 2}
    assert drawn_savings(near=(-0.5, -0.5))[0] == []


def test_what_is_no_number_is_drawn_in_the_table_s_words():
    assert drawn_savings(both=(-float("inf"), 1.0)) == (["reached at the start"], [])


def test_an_arm_that_chooses_by_no_score_shows_none():
    points, picks = campaign({"stratified_random": 1.0, "coreset": 1.2}, seeds=2, rounds=3)
    picks = [replace(pick, reason="of the default strategy") for pick in picks]
    verdict = judge(points)
    text = render(verdict, points, picks, {}, **HOW | {"unscored": {"coreset": "far from all"}})
    chance, coreset = re.findall("The first batch of .*?</table>", text, re.DOTALL)
    assert "of the default strategy" in chance
    assert "<td>0.800</td>" in chance
    assert "of the default strategy" not in coreset
    assert coreset.count("far from all") == 3
    assert "0.800" not in coreset
    table = chosen_table(picks)
    for without, panels in (
        (("coreset",), ["stratified_random"]),
        (("stratified_random",), ["coreset"]),
    ):
        drawn = campaign_figures.chosen_scores(
            table, reference="stratified_random", unscored=without
        )
        assert [axes.get_title("left") for axes in drawn.axes] == panels
    assert caption(picks[0], ()) == "1. film_0_1_1.png    0.80"
    assert caption(picks[0], ("stratified_random",)) == "1. film_0_1_1.png"


@pytest.mark.parametrize("name", SELECTORS)
def test_arms_without_scores_are_those_whose_choice_no_score_changes(name):
    pool = make_pool(40)
    other = replace(pool, scores=1 - pool.scores, class_doubts=1 - pool.class_doubts)
    choose = build_selector(make_select(selector=name))
    chosen = [
        [one.image_id for one in choose(films, 6, seed=0, number=1)] for films in (pool, other)
    ]
    arm = Arm("some", make_select(selector=name))
    assert (chosen[0] == chosen[1]) == ("some" in unscored([arm]))


def test_a_finding_that_a_strategy_gives_up_is_told_without_colour():
    points, picks = campaign({"stratified_random": 1.0, "claspd": 1.0}, seeds=3, rounds=3)
    lost = CLASSES.index("Nodule")

    def give_up(point, nothing=float("nan")):
        scores = [
            score - 0.1 * (point.arm == "claspd") * (label == lost) * min(point.round, 1)
            for label, score in enumerate(point.classes)
        ]
        return replace(point, classes=(nothing, *scores[1:]))

    points = [give_up(point) for point in points]
    verdict = judge(points)
    table = finding_table(verdict, points).set_index("class")
    assert list(table.index) == list(CLASSES[1:]), "the first has no test boxes"
    nodule, mass = table.loc["Nodule"], table.loc["Mass"]
    assert nodule["difference"] == pytest.approx(mass["difference"] - 0.075, abs=1e-4)
    assert nodule["low"] < nodule["difference"] < nodule["high"] < 0
    assert nodule["aubc"] - nodule["of_reference"] == pytest.approx(nodule["difference"], abs=1e-4)
    assert set(tables(verdict, points, picks, "tfod")) >= {"findings", "aubc"}
    text = render(verdict, points, picks, {}, **HOW)
    (shown,) = re.findall("<caption>AUBC of each finding.*?</table>", text, re.DOTALL)
    assert "Nothing here is corrected" in shown
    assert f"<b>{signed(nodule['difference'])}</b>" in shown
    assert "<b>-</b>" in shown
    assert "good" not in shown
    assert "bad" not in shown


def test_each_panel_of_the_curves_has_the_band_of_its_arm_and_the_reference():
    points, picks = campaign()
    verdict = judge(points)
    curves = tables(verdict, points, picks, "tfod")["curves"]
    how = {"reference": verdict.reference, "full": verdict.full, "shares": (0.9,)}
    drawn = curve_figures.learning_curves(curves, "films", **how)
    panels = {axes.get_title(loc="left"): axes for axes in drawn.axes if axes.get_visible()}
    assert set(panels) == set(SPEEDS) - {verdict.reference}
    rows = dict(list(curves[curves["currency"] == "films"].sort_values("round").groupby("arm")))
    for arm, axes in panels.items():
        mine = rows[arm]
        (band,) = axes.collections
        (outline,) = band.get_paths()
        edges = {tuple(corner) for corner in outline.vertices.round(4).tolist()}
        for end in ("low", "high"):
            assert set(zip(mine["budget"], mine[end].round(4), strict=True)) <= edges
        drawn_ones = [list(line.get_ydata()) for line in axes.lines]
        for curve in (mine, rows[verdict.reference]):
            assert curve["score"].tolist() in drawn_ones


def test_twelve_arms_have_twelve_looks():
    looks = campaign_figures.palette([f"arm {k}" for k in range(12)], "arm 3")
    assert len(set(looks.values())) == 12


def test_a_class_without_test_boxes_is_said_to_have_none():
    points, _ = campaign({"random": 1.0}, seeds=2)
    points = [replace(p, classes=(float("nan"), *p.classes[1:])) for p in points]
    drawn = curve_figures.class_curves(class_table(points), reference=None, full_arm="full")
    assert "no true boxes" in [words.get_text() for words in drawn.axes[0].texts]
    assert len(figures.encode_png(drawn)) > 0
    assert np.isnan(class_table(points)["score"].iloc[0])
