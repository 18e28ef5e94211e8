"""Campaigns that were played: kept, found elsewhere, side by side."""

import json
import math
import shutil
from dataclasses import replace

import pytest
from toy_world import make_arm, make_campaign

from lungal.errors import EvaluationError
from lungal.records import CLASSES
from lungal.simulation.arms import Arm
from lungal.simulation.chains import chain_name, find_chain, read_chain, write_chain
from lungal.simulation.crew import play_all
from lungal.simulation.picks import pick_table
from lungal.simulation.results import FULL, Chain, Pick, Point
from lungal.testing import make_select

ARMS = [make_arm("random", selector="random"), make_arm("coreset", selector="coreset")]
CLASS_SCORES = (0.5, math.nan, *(0.25,) * 6)
CHAIN = Chain(
    (Point("a", 1, 0, 12, 13, 0.0, 0.5, CLASS_SCORES),),
    (Pick("a", 1, 1, 1, "x", 0.7, {"distance": math.inf, "stratum": "Mass"}, (1,) + (0,) * 7),),
)


def play(campaign, *folders, seeds=(0, 1), workers=2, on_step=lambda _done, _total: None):
    return play_all(campaign, ARMS, seeds, workers=workers, folders=folders, on_step=on_step)


def test_campaigns_side_by_side_are_those_one_after_another(tmp_path):
    told = []
    campaign = make_campaign(tmp_path / "aside")
    found = play(campaign, tmp_path / "chains", on_step=lambda *step: told.append(step))
    alone = make_campaign(tmp_path / "alone", scenes=campaign.trainings.learner.scenes)
    expected = [
        chain
        for seed in (0, 1)
        for chain in (alone.play_full(seed), *(alone.play(arm, seed) for arm in ARMS))
    ]
    assert found == expected
    assert [chain.points[0].arm for chain in found] == [FULL, "random", "coreset"] * 2
    assert told[-1] == (2 + 2 + 2 * 2 * 2,) * 2, "all that there is to train was told of"
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_what_was_played_elsewhere_is_not_played_again(tmp_path):
    campaign = make_campaign(tmp_path / "here")
    chains = play(campaign, tmp_path / "chains")
    shutil.move(tmp_path / "chains", tmp_path / "elsewhere")
    broken = replace(campaign, trainings=replace(campaign.trainings, folder=tmp_path / "new"))
    assert play(broken, tmp_path / "chains", tmp_path / "elsewhere") == chains
    assert not (tmp_path / "new").exists()


def test_an_error_in_a_worker_is_raised_here(tmp_path):
    campaign = make_campaign(tmp_path, initial=999)
    with pytest.raises(Exception, match="training films have a known truth"):
        play(campaign, tmp_path / "chains", workers=1)


def test_a_chain_survives_its_file(tmp_path):
    write_chain(tmp_path / "chain.json", CHAIN)
    (found,) = [find_chain("chain.json", [tmp_path / "nowhere", tmp_path])]
    assert repr(found) == repr(CHAIN), "NaN is not equal to itself"
    assert find_chain("other.json", [tmp_path]) is None


@pytest.mark.parametrize("content", ["", "{}", '{"points": [{}], "picks": []}', "[1]"])
def test_a_damaged_chain_is_one_clear_line(tmp_path, content):
    (tmp_path / "chain.json").write_text(content)
    with pytest.raises(EvaluationError, match=r"chain\.json is no campaign"):
        read_chain(tmp_path / "chain.json")


def test_a_name_tells_all_that_matters_and_nothing_else(tmp_path):
    campaign = make_campaign(tmp_path)
    arm = ARMS[0]
    name = chain_name(campaign, arm, 0)
    moved = replace(campaign.trainings, folder=tmp_path / "elsewhere")
    more_workers = campaign.params.model_copy(update={"workers": 7, "seeds": (1, 2, 3)})
    assert chain_name(replace(campaign, trainings=moved, params=more_workers), arm, 0) == name
    assert name.startswith("random-0-")
    scenes = campaign.trainings.learner.scenes
    film = next(name for name, boxes in scenes.items() if boxes)
    others = [
        chain_name(campaign, arm, 1),
        chain_name(campaign, None, 0),
        chain_name(campaign, Arm("random", make_select(budget=9, selector="random")), 0),
        chain_name(campaign, replace(arm, control="shuffled"), 0),
        chain_name(make_campaign(tmp_path, scenes=scenes, rounds=4), arm, 0),
        chain_name(make_campaign(tmp_path, scenes=scenes, initial=13), arm, 0),
        chain_name(make_campaign(tmp_path, scenes=scenes, truth=scenes | {film: ()}), arm, 0),
        chain_name(replace(campaign, iou=0.5), arm, 0),
    ]
    assert len({name, *others}) == 1 + len(others)


def test_a_campaign_that_was_kept_is_found_by_the_name_that_it_got_then(tmp_path):
    # Another name for the same campaign means that all that are kept must be played again.
    assert chain_name(make_campaign(tmp_path), ARMS[0], 0) == "random-0-b31ab5633055c920.json"


def test_a_pick_is_a_row_with_its_receipt():
    (pick,) = pick_table(CHAIN.picks).to_dict("records")
    assert json.loads(pick["components"]) == {"stratum": "Mass"}
    assert [pick[name] for name in CLASSES] == [1] + [0] * 7
    assert list(pick_table([]).columns) == list(pick)
