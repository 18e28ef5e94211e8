"""The audit: selectors that are broken on purpose must not get past it."""

from dataclasses import replace

import pytest

from lungal.acquisition.allotment import Allotment
from lungal.acquisition.audit import audit, audit_batch
from lungal.acquisition.batch import Pick, arrange
from lungal.acquisition.selection import Choice, choose
from lungal.errors import SelectionError
from lungal.params import QueueParams

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
        Choice(rank, image_id, PATIENTS[image_id], SCORES[image_id])
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
        check(choose(scores, PATIENTS, 3, one_per_patient=True), scores)


QUEUE = QueueParams(blind_fraction=0.5, readers=3, overlap_fraction=0.25)
ALLOTMENT = Allotment(adjudications=1, controls=2, rereads=1, labels=5)
ROLES = ["label"] * 5 + ["control"] * 2 + ["reread", "adjudicate"]


def make_batch():
    picks = [
        Pick(f"{number:08d}_000", f"{number:08d}", role, 1 - number / 10, 2, "why")
        for number, role in enumerate(ROLES)
    ]
    return arrange(picks, QUEUE, seed=0, number=1)


def as_role(place, role):
    return replace(place, pick=replace(place.pick, role=role))


def test_the_real_batch_passes():
    batch = make_batch()
    audit_batch(batch, ALLOTMENT, QUEUE)
    audit_batch([], Allotment(0, 0, 0, 0), QUEUE)
    with pytest.raises(SelectionError):  # the same batch is wrong where another was allotted
        audit_batch(batch, replace(ALLOTMENT, controls=1), QUEUE)


def test_a_pool_with_too_few_patients_is_no_fault():
    fewer = [pick.pick for pick in make_batch() if pick.pick.image_id != "00000000_000"]
    assert sum(pick.role == "label" for pick in fewer) < ALLOTMENT.labels
    audit_batch(arrange(fewer, QUEUE, seed=0, number=1), ALLOTMENT, QUEUE)


BROKEN_BATCHES = {
    "a film twice": (
        lambda places: [*places, replace(places[0], rank=10)],
        "00000000_000 is in the batch twice",
    ),
    "not by score": (
        lambda places: [places[1], places[0], *places[2:]],
        "do not follow its scores",
    ),
    "ranks by role": (
        lambda places: [replace(place, rank=1) for place in places],
        "do not follow its scores",
    ),
    "a control less": (
        lambda places: [*places[:5], as_role(places[5], "label"), *places[6:]],
        "1 films have the role control, 2 should",
    ),
    "a label too many": (
        lambda places: [*places[:7], as_role(places[7], "label"), places[8]],
        "0 films have the role reread, 1 should",
    ),
    "an adjudication too many": (
        lambda places: [*places[:7], as_role(places[7], "adjudicate"), places[8]],
        "2 films have the role adjudicate, 1 should",
    ),
    "nobody is blind": (
        lambda places: [replace(place, blind=False) for place in places],
        "0 of 8 films are blind, 4 should",
    ),
    "everybody reads all": (
        lambda places: [replace(place, readers=3) for place in places],
        "8 of 8 films have 3 readers, 2 should",
    ),
    "a blind adjudication": (
        lambda places: [*places[:8], replace(places[8], blind=True)],
        "adjudication of film 00000008_000 is blind",
    ),
}


@pytest.mark.parametrize(("broken", "says"), BROKEN_BATCHES.values(), ids=BROKEN_BATCHES)
def test_a_broken_batch_is_caught(broken, says):
    with pytest.raises(SelectionError, match=says):
        audit_batch(broken(make_batch()), ALLOTMENT, QUEUE)
