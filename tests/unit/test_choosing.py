"""From evidence to a batch: whatever the order of the films, by every strategy and selector."""

from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition import selection
from lungal.acquisition.choosing import choose_batch, score_pool
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.selection import SELECTORS
from lungal.acquisition.strategies import (
    LOOKS,
    REPORTS,
    STRATEGIES,
    build,
    for_a_stranger,
    select_for_one_look,
)
from lungal.errors import ParamsError, SelectionError
from lungal.records import CLASSES
from lungal.testing import make_detections, make_evidence, make_pool, make_select

FILMS = [f"{number // 2:08d}_{number % 2:03d}" for number in range(40)]
PATIENTS = {name: name[:8] for name in FILMS}
WEIGHTS = tuple(np.linspace(0.8, 1.0, len(CLASSES)).tolist())


def embedded(evidence):
    random = np.random.default_rng(list(evidence.image_id.encode()))
    vector = random.normal(0, 1, 12).astype(np.float32)
    return replace(evidence, detections=replace(evidence.detections, embedding=vector))


def make_evidences():
    return [embedded(make_evidence(name, place % 5)) for place, name in enumerate(FILMS)]


def make_labelled():
    return [embedded(make_evidence(f"1000000{n}_000", 2)).detections for n in range(6)]


def choose(evidence, budget=9, *, number=2, labelled=None, **params):
    labelled = make_labelled() if labelled is None else labelled
    select = make_select(seed=3, **params)
    return choose_batch(
        evidence, PATIENTS, budget, select, number=number, labelled=labelled, weights=WEIGHTS
    )


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_order_of_the_films_does_not_matter(strategy, selector):
    params = {"strategy": strategy, "selector": selector, "difficulty": "validation"}
    chosen = choose(make_evidences(), **params)
    assert len(chosen) == 9
    assert len({choice.patient_id for choice in chosen}) == 9
    backwards = make_evidences()[::-1]
    assert choose(backwards, labelled=make_labelled()[::-1], **params) == chosen
    shuffled = np.random.default_rng(0).permutation(len(FILMS))
    films = make_evidences()
    assert choose([films[film] for film in shuffled], **params) == chosen


@pytest.mark.parametrize("selector", SELECTORS)
@pytest.mark.parametrize("policy", ["first", "last"])
def test_a_pool_on_which_nothing_is_seen(selector, policy):
    nothing = [embedded(Evidence(make_detections(name, 0))) for name in FILMS]
    chosen = choose(nothing, selector=selector, without_detections=policy)
    assert len(chosen) == 9
    assert {choice.score for choice in chosen} == {1.0 if policy == "first" else 0.0}


@pytest.mark.parametrize("selector", SELECTORS)
def test_an_empty_pool(selector):
    assert choose([], selector=selector) == []
    assert choose(make_evidences(), budget=0, selector=selector) == []


def test_scores_of_the_choices_are_the_strategys():
    evidence = make_evidences()
    strategy = build(make_select(strategy="entropy"))
    scores = {film.image_id: strategy(film) for film in evidence}
    chosen = choose(evidence, strategy="entropy")
    assert {choice.image_id: choice.score for choice in chosen} == {
        choice.image_id: scores[choice.image_id] for choice in chosen
    }
    assert max(scores.values()) == chosen[0].score


def test_what_is_gathered_by_hand():
    one, other = make_evidences()[2:4]  # two and three detections
    params = make_select(score_threshold=0.3, selector="claspd")
    pool = score_pool([other, one], PATIENTS, build(params), params, make_labelled())
    assert pool.image_ids == (one.image_id, other.image_id)
    for row, film in enumerate((one, other)):
        counted = film.detections.above(0.3)
        for label in range(len(CLASSES)):
            mine = counted.scores[counted.labels == label]
            assert pool.class_scores[row, label] == (mine.max() if len(mine) else 0)
            doubt = np.mean(1 - mine.astype(np.float64)) if len(mine) else 0
            assert pool.class_doubts[row, label] == pytest.approx(doubt, abs=1e-5)
        assert pool.findings[row].sum() == 1
        assert CLASSES[int(pool.findings[row].argmax())] in film.findings
    assert pool.known.all()
    assert np.array_equal(pool.embeddings[1], other.detections.embedding)
    assert pool.labelled_embeddings.shape == (6, 12)
    assert pool.labelled_class_scores.shape == (6, len(CLASSES))


def test_films_without_report_and_findings_that_are_none_of_the_eight():
    one, other = make_evidences()[:2]
    params = make_select()
    films = [replace(one, findings=None), replace(other, findings=frozenset({"Hernia"}))]
    pool = score_pool(films, PATIENTS, build(params), params)
    assert pool.known.tolist() == [False, True]
    assert not pool.findings.any()


def test_class_doubts_do_not_follow_the_policy_for_films_without_detections():
    params = make_select(without_detections="first", selector="claspd")
    nothing = Evidence(make_detections(FILMS[0], 0))
    pool = score_pool([nothing], PATIENTS, build(params), params)
    assert pool.scores.tolist() == [1.0]
    assert not pool.class_doubts.any()


def test_doubts_by_class_are_looked_for_where_a_selector_looks_at_them():
    for selector in SELECTORS:
        params = make_select(selector=selector)
        pool = score_pool(make_evidences()[:2], PATIENTS, build(params), params)
        assert (pool.class_doubts is not None) == (selector in selection.BY_CLASS)
    claspd = selection.build_selector(make_select(selector="claspd"))
    with pytest.raises(SelectionError, match="needs class_doubts"):
        claspd(make_pool(9, doubts=False), 3, seed=0, number=1)


def test_a_cold_start_needs_nobody_labelled():
    chosen = choose(make_evidences(), labelled=[], selector="typicality")
    assert len(chosen) == 9
    assert len(choose(make_evidences(), labelled=[], selector="coreset")) == 9


def broken(change):
    films = make_evidences()
    return [change(films[0].detections), *(film.detections for film in films[1:])]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: replace(d, embedding=None), "00000000_000 has no embedding, and 39 other"),
        (lambda d: replace(d, embedding=d.embedding[:5]), r"lengths \[5, 12\]"),
        (
            lambda d: replace(d, embedding=d.embedding * np.float32(np.inf)),
            "the embedding of film 00000000_000 is not finite",
        ),
    ],
)
def test_embeddings_that_do_not_go_together_are_refused(change, says):
    films = [Evidence(seen) for seen in broken(change)]
    with pytest.raises(SelectionError, match=says):
        choose(films)


def test_embeddings_of_another_detector_are_refused():
    labelled = [replace(seen, embedding=seen.embedding[:4]) for seen in make_labelled()]
    with pytest.raises(SelectionError, match="have 12 numbers, those of the labelled films 4"):
        choose(make_evidences(), labelled=labelled)


def test_labelled_films_without_embedding_are_missed_by_those_who_need_them():
    labelled = [replace(seen, embedding=None) for seen in make_labelled()]
    assert len(choose(make_evidences(), labelled=labelled)) == 9
    with pytest.raises(SelectionError, match="the labelled films have none"):
        choose(make_evidences(), labelled=labelled, selector="coreset")


def test_a_film_twice_is_refused():
    films = make_evidences()
    with pytest.raises(SelectionError, match="film 00000001_001 is in the pool twice"):
        choose([*films, films[3]])


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_selector_that_does_not_do_its_work_is_caught(monkeypatch, selector):
    real = selection.SELECTORS[selector]

    def upside_down(params):
        def select(pool, budget, **lots):
            mirrored = replace(
                pool,
                scores=1 - pool.scores,
                image_ids=tuple(reversed(pool.image_ids)),
            )
            chosen = real(params)(mirrored, budget, **lots)
            scores = dict(zip(pool.image_ids, pool.scores.tolist(), strict=True))
            return [
                replace(c, score=scores[c.image_id], patient_id=PATIENTS[c.image_id])
                for c in chosen
            ]

        return select

    monkeypatch.setitem(selection.SELECTORS, selector, upside_down)
    films = make_evidences()
    if selector in ("random", "stratified_random"):
        monkeypatch.setitem(selection.SELECTORS, selector, selection.SELECTORS["topk"])
    with pytest.raises(SelectionError):
        choose(films, selector=selector)


def test_for_one_look_a_strategy_that_needs_more_gives_way():
    for strategy in STRATEGIES:
        given = make_select(strategy=strategy, difficulty="validation")
        once, stranger = select_for_one_look(given), for_a_stranger(given)
        assert once.difficulty == "validation"
        assert once.strategy == ("least_confidence" if strategy in LOOKS else strategy)
        assert (stranger.strategy == "least_confidence") == (
            strategy in {"least_confidence"} | set(LOOKS) | REPORTS
        )
        assert 0 <= build(stranger)(Evidence(make_detections(FILMS[0], 3))) <= 1


def test_a_difficulty_that_nobody_measured_is_asked_for():
    params = make_select(difficulty="validation")
    with pytest.raises(ParamsError, match="nobody measured it"):
        choose_batch(make_evidences(), PATIENTS, 5, params, number=1)
