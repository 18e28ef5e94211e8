"""The report: what is in it, what is undefined, and that JSON and DVC can hold it."""

import json

import numpy as np
import pytest
from made_up_films import made_up, seen, truth

from lungal.evaluation import report
from lungal.evaluation.confusion import AXIS, confusion
from lungal.evaluation.precision_recall import average_precision, macro_ap
from lungal.params import EvaluateParams
from lungal.records import CLASSES

PARAMS = EvaluateParams(bootstrap=20)
SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)


@pytest.fixture(scope="module")
def films():
    return made_up(np.random.default_rng(2), films=25, classes=np.arange(6))


@pytest.fixture(scope="module")
def judged(films):
    return report.evaluate(*films, PARAMS)


def test_counts_and_working_point_by_hand():
    truths = [
        truth("a", [SQUARE, ELSEWHERE], [4, 4]),
        truth("b", [SQUARE], [5]),
        truth("c", [], []),
        truth("d", [], []),
    ]
    found = [
        seen("a", [SQUARE, ELSEWHERE], [0.9, 0.29], [4, 4]),
        seen("b", [ELSEWHERE], [0.8], [5]),
        seen("c", [ELSEWHERE, SQUARE], [0.7, 0.3], [0, 0]),
    ]
    judged = report.evaluate(truths, found, PARAMS)
    assert (judged["films"], judged["films_without_finding"], judged["boxes"]) == (4, 2, 3)
    assert judged["working_point"] == {
        "score": 0.3,
        "iou": 0.4,
        "sensitivity": pytest.approx(1 / 3, abs=1e-6),
        "false_positives_per_film": 0.75,
    }
    mass, nodule, effusion = (judged["classes"][name] for name in ("Mass", "Nodule", "Effusion"))
    assert (mass["films"], mass["boxes"], mass["sensitivity"]) == (1, 2, 0.5)
    assert (nodule["films"], nodule["boxes"], nodule["sensitivity"]) == (1, 1, 0)
    assert (effusion["boxes"], effusion["sensitivity"], effusion["ap40"]) == (0, None, None)


def test_it_says_what_the_metrics_say(films, judged):
    for iou, name in ((0.3, "30"), (0.4, "40"), (0.5, "50")):
        assert judged[f"macro_ap{name}"] == pytest.approx(macro_ap(*films, iou), abs=1e-6)
        low, high = judged[f"macro_ap{name}_low"], judged[f"macro_ap{name}_high"]
        assert low < high
        per_class = [judged["classes"][label][f"ap{name}"] for label in CLASSES]
        expected = average_precision(*films, iou)
        np.testing.assert_allclose(np.array(per_class, float), expected, atol=1e-6)


def test_it_is_strict_json_and_the_same_again(films, judged):
    text = json.dumps(judged, allow_nan=False)
    assert text == json.dumps(report.evaluate(*films, PARAMS), allow_nan=False)


def test_flat_names_for_a_tracker(judged):
    flat = report.flatten(judged, "test/")
    assert flat["test/macro_ap40"] == judged["macro_ap40"]
    assert flat["test/classes/Mass/ap40"] == judged["classes"]["Mass"]["ap40"]
    assert "test/classes/Pneumothorax/ap40" not in flat  # undefined
    assert all(isinstance(value, float) for value in flat.values())


def test_no_films_at_all():
    judged = report.evaluate([], [], PARAMS)
    assert judged["macro_ap40"] == 0
    assert judged["working_point"]["sensitivity"] is None
    assert judged["working_point"]["false_positives_per_film"] is None
    assert report.ap_table(judged, PARAMS.iou).empty
    assert report.curve_table(report.curves_at([], [], PARAMS.iou)).empty


def test_curves_average_to_the_ap(films, judged):
    table = report.curve_table(report.curves_at(*films, PARAMS.iou))
    assert set(table["class"]) == set(CLASSES[:6])
    means = table.groupby(["class", "iou"])["precision"].mean()
    assert means["Mass", 0.4] == pytest.approx(judged["classes"]["Mass"]["ap40"], abs=1e-5)


def test_bars_have_a_row_per_class_with_truth(judged):
    table = report.ap_table(judged, PARAMS.iou)
    assert len(table) == 6 * len(PARAMS.iou)
    row = table[(table["class"] == "Mass") & (table["iou"] == 0.5)].iloc[0]
    mass = judged["classes"]["Mass"]
    assert [row.ap, row.low, row.high] == [mass["ap50"], mass["ap50_low"], mass["ap50_high"]]


def test_the_confusion_table_has_a_row_per_pair(films):
    counts = confusion(*films, score=0.3, iou=0.4)
    table = report.confusion_table(counts)
    assert len(table) == counts.sum()
    again = table.value_counts()
    assert again["Mass", "Mass"] == counts[4, 4]
    assert again["background", "Mass"] == counts[-1, 4]
    assert set(table["actual"]) <= set(AXIS)
