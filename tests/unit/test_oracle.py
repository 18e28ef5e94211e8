"""Scripted readers: their faults, and what they do with boxes that are drawn already."""

import numpy as np
import pytest

from lungal.annotation.oracle import shown_boxes
from lungal.boxes import why_impossible
from lungal.reading.scripted import Reader
from lungal.records import LabelledBox

SIDE = 256
MASS = LabelledBox("Mass", 40.0, 40.0, 120.0, 130.0)
NODULE = LabelledBox("Nodule", 150.0, 150.0, 190.0, 200.0)
NAMES = [f"{number:08d}_000" for number in range(400)]
TRUTH = dict.fromkeys(NAMES, (MASS, NODULE))
EXACT = {"miss_rate": 0.0, "jitter": 0.0}


def moved(box, by):
    return LabelledBox(box.label, box.x1 + by, box.y1, box.x2 + by, box.y2)


def read_all(shown=(), **faults):
    reader = Reader(TRUTH, **(EXACT | faults))
    return [reader.read(name, SIDE, SIDE, shown) for name in NAMES]


def count_boxes(readings):
    return sum(len(reading.boxes) for reading in readings) / len(NAMES)


def count_wrong(readings):
    return sum(box not in (MASS, NODULE) for r in readings for box in r.boxes) / (2 * len(NAMES))


@pytest.mark.parametrize(
    ("fault", "rate"),
    [
        ("miss_rate", lambda readings: 1 - count_boxes(readings) / 2),
        ("wrong_class_rate", count_wrong),
        ("false_positive_rate", lambda readings: count_boxes(readings) - 2),
    ],
)
def test_a_fault_happens_as_often_as_it_is_told_to(fault, rate):
    assert rate(read_all()) == 0
    assert rate(read_all(**{fault: 0.3})) == pytest.approx(0.3, abs=0.06)


def test_a_wrong_name_is_never_the_right_one_and_leaves_the_place():
    for reading in read_all(wrong_class_rate=1.0):
        assert [box.xyxy for box in reading.boxes] == [MASS.xyxy, NODULE.xyxy]
        assert reading.boxes[0].label != "Mass"
        assert reading.boxes[1].label != "Nodule"


def test_imagined_boxes_lie_on_the_film():
    for reading in read_all(false_positive_rate=2.0, jitter=30.0):
        for box in reading.boxes:
            assert why_impossible(box.xyxy, SIDE, SIDE) is None


def test_a_box_that_looks_right_is_taken_over_as_it_is():
    close, far = moved(MASS, 5), moved(NODULE, 15)
    for reading in read_all((close, far), accept_rate=1.0):
        assert reading.boxes == (close, NODULE)  # the other is deleted and drawn anew


def test_a_box_of_another_name_is_not_taken_over():
    mistaken = LabelledBox("Effusion", *MASS.xyxy)
    for reading in read_all((mistaken,), accept_rate=1.0):
        assert reading.boxes == (MASS, NODULE)


def test_some_good_boxes_are_drawn_anew():
    close = moved(MASS, 5)
    kept = np.mean([close in reading.boxes for reading in read_all((close,), accept_rate=0.7)])
    assert kept == pytest.approx(0.7, abs=0.06)


def test_what_is_drawn_already_is_not_overlooked():
    assert all(r.boxes == (MASS,) for r in read_all((MASS,), accept_rate=1.0, miss_rate=1.0))


def test_boxes_on_the_film_change_none_of_the_other_faults():
    faults = {"jitter": 5.0, "miss_rate": 0.3, "false_positive_rate": 0.5}
    blind = read_all(**faults)
    helped = read_all((MASS,), accept_rate=1.0, **faults)
    for alone, with_box in zip(blind, helped, strict=True):
        said, again = set(alone.boxes), set(with_box.boxes)
        assert again - {MASS} <= said
        assert len(said - again) <= 1  # the reader's own box in the place of the one taken over


def test_no_finding_stays_one_though_a_box_is_drawn():
    reading = Reader({"a": ()}).read("a", SIDE, SIDE, (MASS,))
    assert (reading.verdict, reading.boxes) == ("no_finding", ())


def test_time_follows_the_work_and_the_pace():
    blind, helped, slow = (
        sum(reading.seconds for reading in read_all(*shown, **faults))
        for shown, faults in [
            ((), {}),
            (((MASS, NODULE),), {"accept_rate": 1.0}),
            ((), {"pace": 2}),
        ]
    )
    assert helped < 0.8 * blind
    assert slow == pytest.approx(2 * blind, rel=0.01)


def test_seeds_make_different_readers():
    one, same, other = (read_all(miss_rate=0.3, seed=seed) for seed in (1, 1, 2))
    assert one == same
    assert one != other


def test_shown_boxes_are_those_of_the_task_in_pixels():
    def region(kind, value):
        return {"type": kind, "value": value}

    sides = {"x": 25.0, "y": 50.0, "width": 12.5, "height": 25.0, "rotation": 0}
    task = {
        "data": {"width": 200, "height": 100},
        "predictions": [
            {"result": [region("rectanglelabels", sides | {"rectanglelabels": ["Mass"]})]},
            {"result": [region("choices", {"choices": ["No finding"]})]},
            {"result": []},
        ],
    }
    assert shown_boxes(task) == [LabelledBox("Mass", 50.0, 50.0, 75.0, 75.0)]
    assert shown_boxes({"data": task["data"]}) == []
