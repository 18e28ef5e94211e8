"""The audit: selectors that are broken on purpose must not get past it."""

from dataclasses import replace

import pytest

from lungal.acquisition.audit import audit
from lungal.acquisition.selection import Choice, choose
from lungal.errors import SelectionError

SCORES = {
    "00000001_000": 0.9,
    "00000001_001": 0.8,
    "00000002_000": 0.7,
    "00000003_000": 0.6,
    "00000004_000": 0.5,
}
PATIENTS = {image_id: image_id[:8] for image_id in SCORES}


def choices_of(*image_ids):
    return [
        Choice(rank, rank, image_id, PATIENTS[image_id], SCORES[image_id])
        for rank, image_id in enumerate(image_ids, start=1)
    ]


def check(choices, scores=SCORES, budget=3, *, one_per_patient=True):
    audit(choices, scores, PATIENTS, budget, one_per_patient=one_per_patient)


def test_the_real_selector_passes():
    for one_per_patient in (True, False):
        for budget in (1, 3, 9):
            chosen = choose(SCORES, PATIENTS, budget, one_per_patient=one_per_patient)
            check(chosen, budget=budget, one_per_patient=one_per_patient)
    audit([], {}, {}, 3, one_per_patient=True)


BROKEN = {
    "never sorts": (
        choices_of("00000004_000", "00000003_000", "00000002_000"),
        "higher than the film ranked before",
    ),
    "takes the surest": (choices_of("00000003_000", "00000004_000"), "should have been"),
    "leaves the best out": (
        choices_of("00000002_000", "00000003_000", "00000004_000"),
        "00000001_000 scored 0.9 was left out",
    ),
    "takes a patient's worse film": (
        choices_of("00000001_001", "00000002_000", "00000003_000"),
        "00000001_000 scored 0.9 was left out",
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
        "scored 0.9 was chosen as",
    ),
    "invents a film": (
        [Choice(1, 1, "00000009_000", "00000009", 0.9)],
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
        check(choose(scores, PATIENTS, 3, one_per_patient=True), scores)
