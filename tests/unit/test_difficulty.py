"""How difficult classes are, by hand."""

import numpy as np
import pytest
from made_up_films import seen, truth

from lungal.acquisition.difficulty import class_weights, difficulty, named_weights
from lungal.records import CLASSES

BOX = [0, 0, 10, 10]
HALF = [5, 0, 15, 10]  # IoU 1/3
MASS, NODULE, EFFUSION = 4, 5, 2


def test_quality_is_score_and_overlap_of_the_best_detection_of_the_class():
    truths = [truth("a", [BOX, BOX], [MASS, NODULE]), truth("b", [BOX], [MASS]), truth("c", [], [])]
    detections = [
        seen("b", [], scores=[], labels=[]),  # nothing at all
        seen("a", [HALF, BOX, BOX], scores=[0.9, 0.2, 0.7], labels=[MASS, MASS, EFFUSION]),
        seen("c", [BOX], scores=[0.9], labels=[EFFUSION]),
        seen("elsewhere", [BOX], scores=[0.9], labels=[MASS]),
    ]
    best = max(0.9**0.6 * (1 / 3) ** 0.4, 0.2**0.6)
    found = difficulty(truths, detections)
    assert found[MASS] == pytest.approx(1 - best / 2)  # the mass of b was overlooked
    assert found[NODULE] == 1.0  # seen as an effusion
    assert found[EFFUSION] == 1.0  # no true box: not known
    assert len(found) == len(CLASSES)


def test_a_class_that_is_always_found_is_not_difficult():
    found = difficulty([truth("a", [BOX], [MASS])], [seen("a", [BOX], scores=[1.0], labels=[MASS])])
    assert found[MASS] == pytest.approx(0.0)


def test_weights_are_the_papers_over_the_largest():
    # PPAL's code: 1 + alpha * log(b * d + 1) * ub, b = exp(1 / alpha) - 1, alpha .3, ub .2
    d = np.linspace(0, 1, len(CLASSES))
    plain = 1 + 0.3 * np.log((np.exp(1 / 0.3) - 1) * d + 1) * 0.2
    assert plain[0] == 1.0
    assert plain[-1] == pytest.approx(1.2)
    assert class_weights(d.tolist()) == pytest.approx(tuple(plain / 1.2))


def test_weights_by_name():
    weights = named_weights({"Mass": 2.0, "Nodule": 0.5})
    assert weights[MASS] == 1.0
    assert weights[NODULE] == 0.25
    assert weights[EFFUSION] == 0.5
    assert named_weights({}) == (1.0,) * len(CLASSES)
