"""Known cases: least used first, like the batch in their scores, and drawn by the seed."""

from dataclasses import replace

import pytest
from made_up_readings import reading

from lungal.acquisition.controls import ENOUGH, draw_controls, times_used

KNOWN = {f"{number:08d}_000": number / 100 for number in range(100)}
LOTS = {"seed": 0, "number": 1}


def test_each_is_as_uncertain_as_a_film_of_the_batch():
    batch = [0.905, 0.913, 0.931, 0.958]
    drawn = draw_controls(KNOWN, {}, batch, 4, **LOTS)
    assert len(set(drawn)) == 4
    gaps = [min(abs(KNOWN[film] - score) for score in batch) for film in drawn]
    assert max(gaps) <= 0.01


def test_the_batch_is_followed_and_not_its_top_alone():
    batch = [0.1] * 5 + [0.9] * 5
    drawn = [KNOWN[film] for film in draw_controls(KNOWN, {}, batch, 10, **LOTS)]
    assert sum(score < 0.5 for score in drawn) == 5


def test_a_film_that_served_stands_back_while_there_are_enough_others():
    favourite = draw_controls(KNOWN, {}, [0.5], 1, **LOTS)
    assert favourite == ["00000050_000"]
    again = draw_controls(KNOWN, {"00000050_000": 1}, [0.5], 1, seed=0, number=2)
    assert again[0] in {"00000049_000", "00000051_000"}


def test_it_comes_back_when_the_others_run_out():
    few = dict(list(KNOWN.items())[: ENOUGH // 2])
    used = dict.fromkeys(list(few)[1:], 3)
    assert draw_controls(few, used, [few[list(few)[-1]]], 1, **LOTS) == [list(few)[-1]]


def test_of_equally_near_films_the_least_used_is_taken():
    known = {"a": 0.5, "b": 0.5, "c": 0.5}
    assert draw_controls(known, {"a": 2, "b": 1, "c": 2}, [0.5], 1, **LOTS) == ["b"]


def test_no_order_matters_and_seed_and_round_do():
    same = dict.fromkeys(KNOWN, 0.5)
    drawn = draw_controls(same, {}, [0.3, 0.7], 3, **LOTS)
    backwards = dict(reversed(same.items()))
    assert draw_controls(backwards, {}, [0.7, 0.3], 3, **LOTS) == drawn
    assert draw_controls(same, {}, [0.3, 0.7], 3, seed=1, number=1) != drawn
    assert draw_controls(same, {}, [0.3, 0.7], 3, seed=0, number=2) != drawn


@pytest.mark.parametrize("batch", [[], [0.2]])
def test_no_more_than_there_are_and_none_without_films(batch):
    assert draw_controls({}, {}, batch, 0, **LOTS) == []
    assert sorted(draw_controls({"a": 0.1, "b": 0.9}, {}, batch, 5, **LOTS)) == ["a", "b"]


def test_times_used_counts_rounds_before_this_one():
    control = replace(reading(1), role="control")
    log = [
        control,
        replace(control, source_id="ls-2", reader="another"),  # the same round again
        replace(control, source_id="ls-3", round=2),
        replace(control, source_id="ls-4", round=3),  # is being read
        replace(reading(5), image_id="00000002_000"),  # no control
    ]
    assert times_used(log, before=3) == {"00000001_000": 2}
