"""The audit of a batch: shares that are not kept must not get past it."""

from dataclasses import replace

import pytest

from lungal.acquisition.allotment import Allotment
from lungal.acquisition.audit_batch import audit_batch
from lungal.acquisition.batch import Pick, arrange
from lungal.errors import SelectionError
from lungal.params import QueueParams

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
