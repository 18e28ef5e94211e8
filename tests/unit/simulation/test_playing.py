"""Campaigns: fair, blind to the truth, resumable, and controlled."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from toy_world import Counting, make_arm, make_campaign

from lungal.acquisition.evidence import Evidence
from lungal.errors import ParamsError
from lungal.records import CLASSES, LabelledBox
from lungal.simulation.arms import choose
from lungal.simulation.campaign import Campaign
from lungal.simulation.results import FULL
from lungal.testing import make_detections

ARMS = [
    make_arm("random", selector="random"),
    make_arm("stratified_random", selector="stratified_random"),
    make_arm("least_confidence"),
    make_arm("ppal", selector="ppal", strategy="entropy", difficulty="validation"),
    make_arm("claspd", selector="claspd", strategy="entropy"),
    make_arm("coreset", selector="coreset"),
    make_arm("typicality", selector="typicality"),
    make_arm("contradiction", strategy="contradiction"),
    make_arm("consistency", strategy="consistency"),
    make_arm("committee", strategy="committee"),
    make_arm("shuffled", control="shuffled"),
    make_arm("oracle", control="oracle"),
]


LOTS = {
    "random": "drawn by lot",
    "stratified_random": "drawn by lot",
    "shuffled": "its rank was drawn by lot",
    "oracle": "what the detector gets wrong on it",
}
"""Reasons that are the same for every film."""


@pytest.fixture(params=ARMS, ids=lambda arm: arm.name)
def arm(request):
    return request.param


def test_every_arm_plays_by_the_same_rules(tmp_path, arm):
    campaign = make_campaign(tmp_path, views=("gamma_up",))
    films = campaign.trainings.films
    chain = campaign.play(arm, 3)
    start = campaign.initial(3)
    assert [point.round for point in chain.points] == [0, 1, 2]
    assert [point.films for point in chain.points] == [12, 20, 28]
    assert chain.points[0] == replace(campaign.play(ARMS[0], 3).points[0], arm=arm.name), (
        "all arms of a seed start alike"
    )
    chosen = [pick.image_id for pick in chain.picks]
    assert len(set(chosen)) == len(chosen) == 16
    assert set(chosen) <= set(films.train) - start
    assert [pick.rank for pick in chain.picks] == [*range(1, 9)] * 2
    truth = campaign.trainings.reader.truth
    for pick in chain.picks:
        there = [box.label for box in truth[pick.image_id]]
        assert {CLASSES[i]: n for i, n in enumerate(pick.boxes) if n} == {
            name: there.count(name) for name in there
        }
    assert len({pick.reason for pick in chain.picks}) > 1 or arm.name in LOTS
    assert all(LOTS.get(arm.name, "") in pick.reason for pick in chain.picks)
    boxes = sum(len(truth[name]) for name in (*start, *chosen))
    assert chain.points[-1].boxes == boxes
    assert np.all(np.diff([point.seconds for point in chain.points]) > 0)
    assert chain.points[0].seconds == 0


def test_the_full_arm_knows_all_labels(tmp_path):
    campaign = make_campaign(tmp_path)
    (point,) = campaign.play_full(0).points
    assert (point.arm, point.films) == (FULL, len(campaign.trainings.films.train))
    assert point.score > campaign.play(ARMS[0], 0).points[0].score


def lie_about(truth, names):
    """The same truth but for some films, of which it says something else."""
    box = LabelledBox("Nodule", 1, 1, 9, 9)
    return truth | dict.fromkeys(names, (box,) * 3)


def test_no_arm_chooses_by_the_truth_of_the_pool(tmp_path, arm):
    honest = make_campaign(tmp_path / "honest", views=("gamma_up",))
    chain = honest.play(arm, 1)
    never = set(honest.trainings.films.train) - honest.initial(1)
    never -= {pick.image_id for pick in chain.picks}
    lied = make_campaign(
        tmp_path / "lied",
        scenes=honest.trainings.learner.scenes,
        truth=lie_about(honest.trainings.reader.truth, never),
        views=("gamma_up",),
    )
    same = Fixed(lied, honest.initial(1)).play(arm, 1) == chain
    assert same == (arm.control != "oracle")


class Fixed(Campaign):
    """A campaign whose initial films are given: else the truth chooses them, one of each class."""

    def __init__(self, campaign, initial):
        super().__init__(campaign.trainings, campaign.params, campaign.iou)
        object.__setattr__(self, "_initial", initial)

    def initial(self, seed):
        return set(self._initial)


SEEDS = range(6)


def last_scores(folder, arm):
    campaign = make_campaign(folder, films=300, rounds=3)
    return np.array([campaign.play(arm, seed).points[-1].score for seed in SEEDS])


def test_the_controls_say_that_a_campaign_can_tell(tmp_path):
    random = last_scores(tmp_path, make_arm("random", selector="random"))
    # Entropy differs from chance here, so that a control which dealt out nothing would, too.
    entropy = last_scores(tmp_path, make_arm("entropy", strategy="entropy"))
    shuffled = last_scores(tmp_path, make_arm("shuffled", strategy="entropy", control="shuffled"))
    oracle = last_scores(tmp_path, make_arm("oracle", control="oracle"))
    assert differs(entropy - random)
    assert not differs(shuffled - random)
    assert (oracle > random).all()


def differs(gap):
    """Whether a mean over seeds is not 0, by Student's 97.5 % for 5 degrees of freedom."""
    return abs(gap.mean()) > 2.57 * gap.std(ddof=1) / np.sqrt(len(gap))


def test_ranks_dealt_out_anew_choose_others(tmp_path):
    campaign = make_campaign(tmp_path)
    plain, shuffled = make_arm("plain"), make_arm("shuffled", control="shuffled")
    first = campaign.play(plain, 0).picks[:8]
    other = campaign.play(shuffled, 0).picks[:8]
    assert {pick.image_id for pick in first} != {pick.image_id for pick in other}


def test_where_nothing_is_seen_shuffled_chooses_by_lot_and_not_by_name():
    names = [f"{number:08d}_000" for number in range(60)]
    nothing = [Evidence(make_detections(name, 0)) for name in names]
    patients = {name: name[:8] for name in names}
    arm = make_arm("shuffled", control="shuffled")
    chosen = [
        {choice.image_id for choice in choose(arm, nothing, patients, seed=seed, number=number)}
        for seed, number in [(0, 1), (0, 2), (1, 1)]
    ]
    assert len(set(map(frozenset, chosen))) == 3
    assert all(max(names.index(name) for name in of) > 30 for of in chosen)


def test_what_was_trained_once_is_not_trained_again(tmp_path):
    campaign = make_campaign(tmp_path)
    learnt = campaign.trainings.learner.learnt
    first = campaign.play(ARMS[0], 0)
    assert learnt == [12, 20, 28]
    campaign.play(ARMS[1], 0)
    assert learnt[3:] == [20, 28], "the start is shared"
    assert campaign.play(ARMS[0], 0) == first
    assert len(learnt) == 5
    redrawn = replace(campaign.trainings.films, stored="other files")
    replace(campaign, trainings=replace(campaign.trainings, films=redrawn)).play(ARMS[0], 0)
    assert learnt[5:] == [12, 20, 28]


def test_arms_that_look_more_share_the_start_too(tmp_path):
    campaign = make_campaign(tmp_path, views=("gamma_up",))
    campaign = replace(campaign, looks=frozenset({"views", "committee"}))
    learnt = campaign.trainings.learner.learnt
    campaign.start(0)
    first = len(learnt)
    assert first == 3, "the detector and a committee of two"
    for arm in (ARMS[0], *ARMS[8:10]):
        campaign.play(arm, 0)
    assert 12 not in learnt[first:]


def test_two_that_need_the_same_training_do_not_train_twice(tmp_path):
    campaign = make_campaign(tmp_path)
    learner = campaign.trainings.learner
    both, learn = threading.Barrier(2), learner.learn

    def slowly(*given, **named):
        time.sleep(0.2)
        return learn(*given, **named)

    learner.learn = slowly

    def start(_):
        both.wait()
        return campaign.trainings.observe(campaign.initial(0), seed=0, looks=())

    with ThreadPoolExecutor(2) as pool:
        sights = list(pool.map(start, range(2)))
    assert learner.learnt == [12]
    assert len(sights[0].pool) == len(sights[1].pool) > 0


def test_a_killed_campaign_goes_on_where_it_was(tmp_path):
    campaign = make_campaign(tmp_path / "whole")
    whole = campaign.play(ARMS[2], 0)
    scenes = campaign.trainings.learner.scenes
    dying = make_campaign(tmp_path / "killed", scenes=scenes)
    trainings = replace(dying.trainings, learner=Mortal(scenes, lives=2))
    with pytest.raises(KeyboardInterrupt):
        replace(dying, trainings=trainings).play(ARMS[2], 0)
    assert dying.play(ARMS[2], 0) == whole
    assert dying.trainings.learner.learnt == [28]


class Mortal(Counting):
    """Is killed in a training."""

    def __init__(self, scenes, lives):
        super().__init__(scenes)
        self.lives = lives

    def learn(self, labelled, val, *, seed, work):
        if not self.lives:
            work.mkdir(parents=True, exist_ok=True)
            raise KeyboardInterrupt
        self.lives -= 1
        return super().learn(labelled, val, seed=seed, work=work)


def test_other_looks_are_taken_for_those_who_need_them(tmp_path):
    campaign = make_campaign(tmp_path, views=("gamma_up", "clahe"), rounds=1)
    observe = campaign.trainings.observe
    labelled = campaign.initial(0)
    plain = observe(labelled, seed=0, looks=())
    assert (plain.views, plain.committee) == ([], [])
    seen = observe(labelled, seed=0, looks={"views", "committee"})
    assert [name for name, _ in seen.views] == ["gamma_up", "clahe"]
    assert [name for name, _ in seen.committee] == ["1", "2"]
    waiting = sorted(set(campaign.trainings.films.train) - labelled)
    for _, look in (*seen.views, *seen.committee):
        assert [film.image_id for film in look] == waiting
    assert campaign.trainings.learner.learnt == [12, 12, 6, 6]


def test_a_pool_that_runs_dry_ends_the_campaign(tmp_path):
    campaign = make_campaign(tmp_path, films=40, initial=12, budget=8, rounds=9)
    chain = campaign.play(ARMS[2], 0)
    assert [point.films for point in chain.points] == [12, 20, 24]


def test_more_initial_films_than_there_are_is_one_clear_line(tmp_path):
    campaign = make_campaign(tmp_path, films=40, initial=99)
    with pytest.raises(ParamsError, match="only 24 training films"):
        campaign.play(ARMS[0], 0)
