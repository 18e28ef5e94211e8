"""Choosing a batch: highest scores, in any order of the pool, one film a patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.acquisition.audit import audit
from lungal.acquisition.selection import Choice, choose


def patients_of(scores):
    return {image_id: image_id[:8] for image_id in scores}


def test_by_hand():
    scores = {"00000001_000": 0.2, "00000001_001": 0.9, "00000002_000": 0.9, "00000003_000": 0.5}
    chosen = choose(scores, patients_of(scores), 3, one_per_patient=True)
    assert chosen == [
        Choice(1, "00000001_001", "00000001", 0.9),
        Choice(2, "00000002_000", "00000002", 0.9),
        Choice(3, "00000003_000", "00000003", 0.5),
    ]


def test_a_second_film_of_a_patient_is_passed_over():
    scores = {"00000001_000": 0.9, "00000001_001": 0.8, "00000002_000": 0.1}
    chosen = choose(scores, patients_of(scores), 2, one_per_patient=True)
    assert [c.image_id for c in chosen] == ["00000001_000", "00000002_000"]
    both = choose(scores, patients_of(scores), 2, one_per_patient=False)
    assert [c.image_id for c in both] == ["00000001_000", "00000001_001"]


@pytest.mark.parametrize("budget", [1, 5, 100])
def test_an_empty_pool_and_a_budget_beyond_it(budget):
    assert choose({}, {}, budget, one_per_patient=True) == []
    scores = {"00000001_000": 0.5, "00000002_000": 0.6}
    assert len(choose(scores, patients_of(scores), budget, one_per_patient=True)) == min(budget, 2)


pools = st.dictionaries(
    st.builds("{:08d}_{:03d}".format, st.integers(1, 8), st.integers(0, 4)),
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]) | st.floats(0, 1),
    max_size=25,
)


@given(pools, st.integers(1, 12), st.booleans(), st.randoms())
def test_any_pool(scores, budget, one_per_patient, shuffler):
    patients = patients_of(scores)
    chosen = choose(scores, patients, budget, one_per_patient=one_per_patient)
    shuffled = dict(shuffler.sample(sorted(scores.items()), len(scores)))
    assert choose(shuffled, patients, budget, one_per_patient=one_per_patient) == chosen
    audit(chosen, scores, patients, budget, one_per_patient=one_per_patient)
    assert [choice.rank for choice in chosen] == list(range(1, len(chosen) + 1))
    assert [(-c.score, c.image_id) for c in chosen] == sorted(
        (-c.score, c.image_id) for c in chosen
    )
    candidates = len(set(patients.values())) if one_per_patient else len(scores)
    assert len(chosen) == min(budget, candidates)
    if one_per_patient:
        assert len({choice.patient_id for choice in chosen}) == len(chosen)


@given(pools, st.integers(1, 12))
def test_a_larger_budget_only_adds(scores, budget):
    patients = patients_of(scores)
    more = choose(scores, patients, budget + 1, one_per_patient=True)
    assert choose(scores, patients, budget, one_per_patient=True) == more[:budget]
