"""The audit: selectors that are broken on purpose must not get past it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition.audit import audit
from lungal.acquisition.audits import clusters
from lungal.acquisition.pool import Choice, Pool, as_choices
from lungal.acquisition.selection import SELECTORS, build_selector
from lungal.acquisition.selectors.claspd import Claspd
from lungal.acquisition.selectors.drawn import strata_of
from lungal.acquisition.selectors.typicality import clusters_of
from lungal.acquisition.selectors.unit import unit_rows
from lungal.errors import SelectionError
from lungal.records import CLASSES
from lungal.testing import make_pool, make_select

SCORES = {
    "00000001_000": 0.9,
    "00000001_001": 0.8,
    "00000002_000": 0.7,
    "00000003_000": 0.6,
    "00000004_000": 0.5,
}


def pool_of(scores):
    nothing = np.zeros((len(scores), len(CLASSES)), np.float32)
    return Pool(
        image_ids=tuple(scores),
        patients=tuple(name[:8] for name in scores),
        scores=np.array(list(scores.values())),
        class_scores=nothing,
        class_doubts=nothing,
        findings=nothing > 0,
        known=nothing[:, 0] > 0,
        labelled_class_scores=nothing[:0],
    )


def choices_of(*image_ids):
    films = [list(SCORES).index(name) for name in image_ids]
    return as_choices(pool_of(SCORES), films)


def check(choices, scores=SCORES, budget=3, *, one_per_patient=True):
    params = make_select(one_per_patient=one_per_patient)
    audit(choices, pool_of(scores), budget, params, number=1)


def test_the_real_selector_passes():
    for one_per_patient in (True, False):
        select = build_selector(make_select(one_per_patient=one_per_patient))
        for budget in (1, 3, 9):
            chosen = select(pool_of(SCORES), budget, seed=0, number=1)
            check(chosen, budget=budget, one_per_patient=one_per_patient)
    check([], {})


BROKEN = {
    "never sorts": (
        choices_of("00000004_000", "00000003_000", "00000002_000"),
        r"00000003_000 scored 0\.6 is ranked after one scored 0\.5",
    ),
    "takes the surest": (choices_of("00000003_000", "00000004_000"), "should have been"),
    "leaves the best out": (
        choices_of("00000002_000", "00000003_000", "00000004_000"),
        r"00000001_000 scored 0\.9 was left out",
    ),
    "takes a patient's worse film": (
        choices_of("00000001_001", "00000002_000", "00000003_000"),
        r"00000001_000 scored 0\.9 was left out",
    ),
    "takes a patient twice": (
        choices_of("00000001_000", "00000001_001", "00000002_000"),
        "patient 00000001 was chosen twice",
    ),
    "takes a film twice": (
        choices_of("00000001_000", "00000001_000", "00000002_000"),
        "film 00000001_000 was chosen twice",
    ),
    "takes too many": (
        choices_of("00000001_000", "00000002_000", "00000003_000", "00000004_000"),
        "4 films were chosen, 3 should have been",
    ),
    "counts from zero": (
        [replace(c, rank=c.rank - 1) for c in choices_of("00000001_000")],
        "has rank 0",
    ),
    "reports mean scores": (
        [replace(c, score=0.7) for c in choices_of("00000001_000")],
        r"scored 0\.9 was chosen as",
    ),
    "invents a film": (
        [Choice(1, "00000009_000", "00000009", 0.9)],
        "not in the pool",
    ),
}


@pytest.mark.parametrize(("choices", "says"), BROKEN.values(), ids=BROKEN)
def test_a_broken_selector_is_caught(choices, says):
    with pytest.raises(SelectionError, match=says):
        check(choices)


def test_the_last_rank_is_audited_without_the_patient_rule_too():
    with pytest.raises(SelectionError, match=r"00000001_001 scored 0\.8 was left out"):
        check(choices_of("00000001_000", "00000002_000", "00000003_000"), one_per_patient=False)


def test_a_score_that_is_no_number_is_caught():
    scores = SCORES | {"00000004_000": float("nan")}
    with pytest.raises(SelectionError, match="00000004_000 has the score nan"):
        check(choices_of("00000001_000"), scores)


def films_of(choices, pool):
    return [pool.image_ids.index(choice.image_id) for choice in choices]


def alone(films, pool):
    """The films in their order, none of a patient who had one."""
    return list({pool.patients[film]: film for film in reversed(list(films))}.values())[::-1]


def rerank(choices):
    return [replace(choice, rank=rank) for rank, choice in enumerate(choices, start=1)]


def best_scores(choices, pool):
    """What a selector does that looks at scores alone; receipts as the real one has them."""
    best = alone(np.argsort(-pool.scores, kind="stable").tolist(), pool)[: len(choices)]
    components = [choice.components for choice in choices]
    return as_choices(pool, best, components)


def reversed_scores(choices, pool):
    worst = alone(np.argsort(pool.scores, kind="stable").tolist(), pool)[: len(choices)]
    return as_choices(pool, worst, [choice.components for choice in choices])


def shuffled(choices, pool):
    order = np.random.default_rng(1).permutation(len(choices))
    return rerank([choices[place] for place in order])


def a_film_twice(choices, pool):
    return rerank([choices[0], *choices[:-1]])


def the_first_films(choices, pool):
    films = alone(range(len(pool)), pool)[: len(choices)]
    return as_choices(pool, films, [choice.components for choice in choices])


def one_less(choices, pool):
    return choices[:-1]


def another_film(choices, pool):
    """The last choice gives way to a film that was not chosen, of a patient of no choice."""
    taken = {choice.patient_id for choice in choices}
    film = next(film for film, patient in enumerate(pool.patients) if patient not in taken)
    (swapped,) = as_choices(pool, [film], [choices[-1].components])
    return [*choices[:-1], replace(swapped, rank=len(choices))]


FAULTS = (reversed_scores, a_film_twice, the_first_films, one_less, another_film)
ALSO = {
    "topk": (shuffled,),
    "random": (best_scores, shuffled),
    "stratified_random": (best_scores,),
    "coreset": (best_scores, shuffled),
    "ppal": (best_scores,),
    "claspd": (best_scores, shuffled),
    "typicality": (best_scores,),
}


@pytest.mark.parametrize("fault", [*FAULTS, best_scores, shuffled])
@pytest.mark.parametrize("name", SELECTORS)
def test_each_selector_is_audited_for_what_it_is_to_do(name, fault):
    if fault not in (*FAULTS, *ALSO[name]):
        return  # no fault of this selector: its choice is by score, or its order means nothing
    pool, params = make_pool(80), make_select(selector=name, seed=5)
    choices = build_selector(params)(pool, 12, seed=5, number=2)
    audit(choices, pool, 12, params, number=2)
    with pytest.raises(SelectionError):
        audit(fault(choices, pool), pool, 12, params, number=2)


@pytest.mark.parametrize("name", ["random", "stratified_random", "claspd"])
def test_another_round_or_seed_is_another_draw(name):
    pool, params = make_pool(80), make_select(selector=name, seed=5)
    choices = build_selector(params)(pool, 12, seed=5, number=2)
    for number, seed in ((3, 5), (2, 6)):
        with pytest.raises(SelectionError):
            audit(choices, pool, 12, params.model_copy(update={"seed": seed}), number=number)


def audit_strata(chosen, pool, **options):
    params = make_select(selector="stratified_random", **options)
    audit(chosen, pool, len(chosen), params, number=1)


def test_strata_that_are_ignored_are_noticed():
    pool = make_pool(80)
    by_lot = build_selector(make_select(selector="random"))(pool, 12, seed=0, number=1)
    strata = strata_of(pool)
    labelled = [
        replace(choice, components={"stratum": strata[film]})
        for choice, film in zip(by_lot, films_of(by_lot, pool), strict=True)
    ]
    with pytest.raises(SelectionError, match=r"stratum .* was given \d+ films and .*, which has"):
        audit_strata(labelled, pool)


def test_a_film_of_another_stratum_is_noticed():
    pool = make_pool(80)
    choices = build_selector(make_select(selector="stratified_random"))(pool, 12, seed=0, number=1)
    odd = replace(choices[3], components={"stratum": "Hernia"})
    with pytest.raises(SelectionError, match="was drawn for the stratum 'Hernia' and is of"):
        audit_strata([*choices[:3], odd, *choices[4:]], pool)


def test_even_shares_are_not_proportional_ones():
    pool = make_pool(200)
    params = make_select(selector="stratified_random", quota="proportional")
    choices = build_selector(params)(pool, 30, seed=0, number=1)
    audit_strata(choices, pool, quota="proportional")
    with pytest.raises(SelectionError, match="which has more"):
        audit_strata(choices, pool, quota="even")


def test_a_receipt_that_lies_about_its_distance_is_noticed():
    pool, params = make_pool(40), make_select(selector="coreset")
    choices = build_selector(params)(pool, 6, seed=0, number=1)
    lie = replace(choices[2], components={"distance": choices[2].components["distance"] * 1.1})
    with pytest.raises(SelectionError, match="is said to have lain"):
        audit([*choices[:2], lie, *choices[3:]], pool, 6, params, number=1)


def test_a_film_left_out_in_the_dark_is_noticed():
    pool, params = make_pool(60), make_select(selector="coreset", one_per_patient=False)
    outlier = pool.embeddings.copy()
    outlier[7] = 50
    pool = replace(pool, embeddings=outlier)
    blind = replace(pool, embeddings=make_pool(60).embeddings)
    choices = build_selector(params)(blind, 6, seed=0, number=1)
    assert 7 not in films_of(choices, pool)
    with pytest.raises(SelectionError, match=r"00000003_001 lies \d+\.?\d* away and was left out"):
        audit(choices, pool, 6, params, number=1)


def test_classes_that_are_not_given_their_films_are_noticed():
    pool, params = make_pool(80), make_select(selector="claspd")
    choices = build_selector(params)(pool, 12, seed=0, number=1)
    counted = [choice.components["stratum"] for choice in choices]
    assert len(set(counted)) == 9  # eight classes of one film each, and any
    for_any = [replace(c, components={**c.components, "stratum": "any"}) for c in choices]
    with pytest.raises(SelectionError, match=r"0 films were chosen for .*, 1 are due to it"):
        audit(for_any, pool, 12, params, number=1)
    unknown = replace(choices[0], components={**choices[0].components, "stratum": "Hernia"})
    with pytest.raises(SelectionError, match="for Hernia, to which none are due"):
        audit([unknown, *choices[1:]], pool, 12, params, number=1)


def all_for_one(worth, pool, films, **_):
    return {CLASSES[int((worth > 0).sum(axis=0).argmax())]: films}


def first_come(worth, pool, films, **_):
    there = dict(zip(CLASSES, (worth > 0).sum(axis=0).tolist(), strict=True))
    due = {}
    for name in CLASSES:
        due[name] = min(there[name], films - sum(due.values()))
    return {name: count for name, count in due.items() if count}


@pytest.mark.parametrize("broken", [all_for_one, first_come])
def test_shares_that_are_dealt_out_wrongly_are_noticed(monkeypatch, broken):
    pool, params = make_pool(120), make_select(selector="claspd")
    monkeypatch.setattr("lungal.acquisition.selectors.claspd.quotas", broken)
    choices = build_selector(params)(pool, 24, seed=0, number=1)
    with pytest.raises(SelectionError, match=r"(is|are) due"):
        audit(choices, pool, 24, params, number=1)


@pytest.mark.parametrize("stratified", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("budget", [1, 7, 30, 119])
@pytest.mark.parametrize("one_per_patient", [True, False])
def test_shares_are_what_the_selector_deals_out(budget, stratified, one_per_patient):
    pool = make_pool(120)
    params = make_select(selector="claspd", stratified=stratified, one_per_patient=one_per_patient)
    choices = build_selector(params)(pool, budget, seed=0, number=1)
    audit(choices, pool, budget, params, number=1)
    found = Counter(choice.components["stratum"] for choice in choices)
    assert found.total() == min(budget, 60 if one_per_patient else 120)
    # Another film for a class, taken from `any`, is one more than is due to it.
    one = next((n for n, c in enumerate(choices) if c.components["stratum"] == "any"), None)
    if one is not None and len(found) > 1:
        name = next(name for name in found if name != "any")
        moved = {**choices[one].components, "stratum": name}
        choices[one] = replace(choices[one], components=moved)
        with pytest.raises(SelectionError, match=f"chosen for {name}"):
            audit(choices, pool, budget, params, number=1)


def test_vectors_that_leave_out_the_findings_are_noticed(monkeypatch):
    pool, params = make_pool(80), make_select(selector="claspd", embedding_weight=0.5)
    monkeypatch.setattr(Claspd, "vectors", lambda self, embeddings, _: unit_rows(embeddings))
    choices = build_selector(params)(pool, 12, seed=0, number=1)
    with pytest.raises(SelectionError, match="is said to have lain"):
        audit(choices, pool, 12, params, number=1)


def test_a_film_beyond_the_uncertain_ones_is_noticed():
    pool, params = make_pool(80), make_select(selector="ppal", candidates=1)
    choices = build_selector(params)(pool, 12, seed=0, number=1)
    with pytest.raises(SelectionError, match="is not among the 12 most uncertain"):
        audit(another_film(choices, pool), pool, 12, params, number=1)


def test_a_film_that_is_not_in_the_middle_is_noticed():
    pool, params = make_pool(120), make_select(selector="ppal")
    choices = build_selector(params)(pool, 6, seed=0, number=1)
    top = build_selector(make_select())(pool, 24, seed=0, number=1)
    chosen = {choice.image_id for choice in choices}
    noticed = []
    for edge in (choice for choice in top if choice.image_id not in chosen):
        moved = rerank([*choices[:-1], replace(edge, components=choices[-1].components)])
        try:
            audit(moved, pool, 6, params, number=1)
        except SelectionError as error:
            noticed.append(str(error))
    # Of 18: many another film is in the middle of a cluster of its own.
    assert len([error for error in noticed if "is not in the middle" in error]) == 4


def test_a_choice_that_a_plain_k_centre_beats_is_noticed(monkeypatch):
    pool, params = make_pool(120), make_select(selector="ppal")
    best = build_selector(make_select())(pool, 6, seed=0, number=1)
    monkeypatch.setattr(clusters, "_check_middles", lambda *_: None)
    with pytest.raises(SelectionError, match=r"to the nearest chosen add up to .*, with a plain"):
        audit(best, pool, 6, params, number=1)


def test_a_film_that_is_not_typical_is_noticed():
    pool, params = make_pool(120), make_select(selector="typicality")
    choices = build_selector(params)(pool, 4, seed=0, number=1)
    of_film = clusters_of(pool, 4, seed=0, number=1).of_film
    first = films_of(choices, pool)[0]
    taken = {choice.patient_id for choice in choices}
    other = next(
        film
        for film in np.flatnonzero(of_film == of_film[first])
        if pool.patients[film] not in taken
    )
    (odd,) = as_choices(pool, [int(other)], [choices[0].components])
    with pytest.raises(SelectionError, match=r"has typicality .* and was chosen before"):
        audit([odd, *choices[1:]], pool, 4, params, number=1)
