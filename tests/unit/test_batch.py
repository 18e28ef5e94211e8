"""A batch: exact shares, one film once, and nothing that tells what a film is read for."""

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungal.acquisition import selection
from lungal.acquisition.allotment import Allotment, allot
from lungal.acquisition.batch import Pick, arrange
from lungal.acquisition.composition import Candidates, compose
from lungal.acquisition.lots import by_lot, draw, share
from lungal.errors import SelectionError
from lungal.params import QueueParams
from lungal.testing import make_evidence, make_select

SELECT = make_select(budget=40, reread_fraction=0.1, seed=3)
QUEUE = QueueParams(blind_fraction=0.25, control_fraction=0.2, readers=2, overlap_fraction=0.5)
REASON = re.compile(
    r"rank \d+ of \d+: (no detection from score 0\.05: last|mean of 1 - p over \d+ detections? ="
    r" \d\.\d\d; surest: [A-Z][a-z]+ \d\.\d\d)"
)


def name(number, film=0):
    return f"{number:08d}_{film:03d}"


def make_candidates(pool=200, known=60, disputed=5, suspicious=10):
    """Two films a patient in the pool; the most suspicious of the others are known cases."""
    waiting = [name(number // 2, number % 2) for number in range(pool)]
    read = [name(1000 + number) for number in range(known + 20)]
    quarrel = [name(2000 + number) for number in range(disputed)]
    return Candidates(
        pool={film: make_evidence(film, place % 4) for place, film in enumerate(waiting)},
        trained={film: make_evidence(film, i % 4) for i, film in enumerate(read + quarrel)},
        known=read[:known],
        used={},
        suspicious=(read[:2] + read[max(known, 2) :])[:suspicious],
        disputed=dict.fromkeys(quarrel, 0.25),
        patients={film: film[:8] for film in waiting + read + quarrel},
    )


def roles_of(places):
    return Counter(place.pick.role for place in places)


def films_of(places, role):
    return {place.pick.image_id for place in places if place.pick.role == role}


def test_the_shares_are_exact():
    candidates = make_candidates()
    places = compose(candidates, SELECT, QUEUE, number=4)
    assert roles_of(places) == {"adjudicate": 5, "control": 8, "reread": 4, "label": 23}
    assert [place.rank for place in places] == list(range(1, 41))
    assert len({place.pick.image_id for place in places}) == 40
    scores = [place.pick.score for place in places]
    assert scores == sorted(scores, reverse=True)
    assert films_of(places, "reread") == set(candidates.suspicious[:4])
    assert films_of(places, "adjudicate") == set(candidates.disputed)


def test_controls_are_known_cases_beyond_doubt():
    candidates = make_candidates()
    for number in range(1, 6):
        controls = films_of(compose(candidates, SELECT, QUEUE, number=number), "control")
        assert controls <= set(candidates.known) - set(candidates.suspicious)


def test_films_of_the_pool_are_one_a_patient():
    places = compose(make_candidates(), SELECT, QUEUE, number=1)
    patients = [place.pick.patient_id for place in places if place.pick.role == "label"]
    assert len(patients) == len(set(patients))


def test_blind_and_overlap_are_shares_of_all_but_adjudications():
    places = compose(make_candidates(), SELECT, QUEUE, number=1)
    shown = [place for place in places if place.pick.role != "adjudicate"]
    assert sum(place.blind for place in shown) == 9  # a quarter of 35, rounded
    assert Counter(place.readers for place in shown) == {1: 17, 2: 18}
    disputed = [place for place in places if place.pick.role == "adjudicate"]
    assert not any(place.blind or place.readers != 1 for place in disputed)


def test_blindness_knows_nothing_of_overlap_role_or_rank():
    names = [name(number) for number in range(400)]
    lots = {"seed": 0, "number": 1}
    blind = draw(names, 0.5, purpose="blind", **lots)
    overlap = draw(names, 0.5, purpose="overlap", **lots)
    assert len(blind) == len(overlap) == 200
    assert 80 <= len(blind & overlap) <= 120
    picks = [Pick(film, film[:8], "label", 0.5, 1, "why") for film in names]
    as_controls = [replace(pick, role="control", score=0.1) for pick in picks]
    assert {
        place.pick.image_id: (place.blind, place.readers)
        for place in arrange(picks, QUEUE, seed=0, number=1)
    } == {
        place.pick.image_id: (place.blind, place.readers)
        for place in arrange(as_controls, QUEUE, seed=0, number=1)
    }


def test_the_same_seed_gives_the_same_batch_and_another_does_not():
    candidates = make_candidates()
    shuffled = replace(
        candidates,
        pool=dict(reversed(candidates.pool.items())),
        trained=dict(reversed(candidates.trained.items())),
        known=candidates.known[::-1],
        disputed=dict(reversed(candidates.disputed.items())),
    )
    places = compose(candidates, SELECT, QUEUE, number=2)
    assert compose(shuffled, SELECT, QUEUE, number=2) == places
    reseeded = compose(candidates, SELECT.model_copy(update={"seed": 4}), QUEUE, number=2)
    assert films_of(reseeded, "label") == films_of(places, "label")
    assert films_of(reseeded, "control") != films_of(places, "control")
    assert [place.blind for place in reseeded] != [place.blind for place in places]


def test_a_reason_does_not_tell_what_a_film_is_read_for():
    places = compose(make_candidates(), SELECT, QUEUE, number=1)
    for place in places:
        told = place.reason
        assert told.startswith(f"rank {place.rank} of 40: ")
        if place.pick.role == "adjudicate":
            assert "its readings agree by 0.25 only" in told
        else:
            assert REASON.fullmatch(told)


def test_controls_lie_among_the_ranks_of_the_others():
    # With known cases of every score, nothing but the role tells a control from another film.
    ranks = {"control": [], "label": []}
    candidates = make_candidates(known=1000, disputed=0, suspicious=0)
    for number in range(1, 11):
        for place in compose(candidates, SELECT, QUEUE, number=number):
            ranks[place.pick.role].append(place.rank)
    middle = {role: sum(places) / len(places) for role, places in ranks.items()}
    assert middle["control"] == pytest.approx(middle["label"], abs=3)
    assert min(ranks["control"]) <= 3
    assert max(ranks["control"]) >= 38


def test_a_control_that_served_is_spared():
    candidates = make_candidates()
    first = films_of(compose(candidates, SELECT, QUEUE, number=1), "control")
    used = replace(candidates, used=dict.fromkeys(first, 1), known=[*candidates.known])
    enough = SELECT.model_copy(update={"budget": 10})  # two controls: twenty films are enough
    second = films_of(compose(used, enough, QUEUE, number=2), "control")
    assert len(second) == 2
    assert not second & first


def test_a_selector_that_does_not_follow_the_scores_is_caught(monkeypatch):
    real = selection.SELECTORS["topk"]

    def backwards(params):
        def select(pool, budget, **lots):
            upside_down = real(params)(replace(pool, scores=-pool.scores), budget, **lots)
            return [replace(choice, score=-choice.score) for choice in upside_down]

        return select

    monkeypatch.setitem(selection.SELECTORS, "topk", backwards)
    with pytest.raises(SelectionError):
        compose(make_candidates(), SELECT, QUEUE, number=1)


ALLOTMENTS = {
    "nothing special": ({}, Allotment(0, 2, 0, 18)),
    "few adjudications": ({"disputed": 3}, Allotment(3, 2, 0, 15)),
    "many adjudications": ({"disputed": 30}, Allotment(10, 2, 0, 8)),
    "an odd budget": ({"disputed": 30, "budget": 5}, Allotment(2, 1, 0, 2)),
    "re-readings": ({"suspicious": 30}, Allotment(0, 2, 2, 16)),
    "one re-reading": ({"suspicious": 1}, Allotment(0, 2, 1, 17)),
    "no known case": ({"known": 0}, Allotment(0, 0, 0, 20)),
    "the last films": ({"pool": 3}, Allotment(0, 2, 0, 3)),
    "an empty pool": ({"pool": 0}, Allotment(0, 0, 0, 0)),
    "an empty pool and a quarrel": ({"pool": 0, "disputed": 1}, Allotment(1, 2, 0, 0)),
    "known cases only": ({"control_fraction": 1.0}, Allotment(0, 20, 0, 0)),
    "greedy shares": (
        {"disputed": 9, "suspicious": 9, "control_fraction": 0.5, "reread_fraction": 0.5},
        Allotment(9, 10, 1, 0),
    ),
}


@pytest.mark.parametrize(("changes", "due"), ALLOTMENTS.values(), ids=ALLOTMENTS)
def test_allotments(changes, due):
    plain = {
        "budget": 20,
        "pool": 100,
        "disputed": 0,
        "known": 60,
        "suspicious": 0,
        "control_fraction": 0.1,
        "reread_fraction": 0.1,
    }
    assert allot(**(plain | changes)) == due


@settings(max_examples=60)
@given(
    st.integers(1, 60),
    st.integers(0, 40),
    st.integers(0, 20),
    st.integers(0, 20),
    st.integers(0, 20),
    st.sampled_from([0.0, 0.1, 0.34, 0.5, 1.0]),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)
def test_any_candidates(budget, pool, known, disputed, suspicious, controls, rereads):
    select = SELECT.model_copy(update={"budget": budget, "reread_fraction": rereads})
    queue = QUEUE.model_copy(update={"control_fraction": controls})
    candidates = make_candidates(pool, known, disputed, suspicious)
    places = compose(candidates, select, queue, number=1)
    films = [place.pick.image_id for place in places]
    assert len(films) == len(set(films)) <= budget
    assert roles_of(places)["adjudicate"] <= budget // 2
    assert roles_of(places)["control"] <= share(budget, controls)
    assert roles_of(places)["reread"] <= share(budget, rereads)
    assert films_of(places, "label") <= set(candidates.pool)


@pytest.mark.parametrize(
    ("count", "fraction", "due"),
    [
        *((20, 0.1, 2), (25, 0.1, 3), (15, 0.1, 2), (14, 0.1, 1), (100, 0.29, 29), (0, 0.5, 0)),
        *((45, 0.7, 32), (25, 0.58, 15), (50, 0.29, 15)),  # halves that binary numbers miss
    ],
)
def test_shares(count, fraction, due):
    assert share(count, fraction) == due


def test_lots_do_not_move_when_a_name_is_added():
    names = [name(number) for number in range(50)]
    lots = {"purpose": "blind", "seed": 0, "number": 1}
    ordered = by_lot(names, **lots)
    assert ordered != names
    added = by_lot([*names, "stranger"], **lots)
    assert [film for film in added if film != "stranger"] == ordered
