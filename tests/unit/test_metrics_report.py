"""The report: what is in it, what is undefined, and that JSON and DVC can hold it."""

import json

import numpy as np
import pytest
from made_up_films import made_up, seen, truth

from lungal.evaluation import plot_tables, report
from lungal.evaluation.calibration_fit import fit_calibration
from lungal.evaluation.confusion import AXIS, confusion
from lungal.evaluation.froc import RATES
from lungal.evaluation.localisation import T_IOBB, T_IOU
from lungal.evaluation.measures import ALL, MACRO, as_table, compare_all, measures
from lungal.evaluation.precision_recall import coco_ap, macro_ap
from lungal.params import EvaluateParams
from lungal.records import CLASSES

PARAMS = EvaluateParams(bootstrap=20)
SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)


@pytest.fixture(scope="module")
def films():
    return made_up(np.random.default_rng(2), films=25, classes=np.arange(6))


@pytest.fixture(scope="module")
def judged(films):
    return report.evaluate(*films, PARAMS)[0]


def test_counts_and_working_point_by_hand():
    truths = [
        truth("a", [SQUARE, ELSEWHERE], [4, 4]),
        truth("b", [SQUARE], [5]),
        truth("c", [], []),
        truth("d", [], []),
    ]
    found = [
        seen("a", [SQUARE, ELSEWHERE], scores=[0.9, 0.29], labels=[4, 4]),
        seen("b", [ELSEWHERE], scores=[0.8], labels=[5]),
        seen("c", [ELSEWHERE, SQUARE], scores=[0.7, 0.3], labels=[0, 0]),
    ]
    judged, _ = report.evaluate(truths, found, PARAMS)
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


def test_the_macro_sensitivity_gives_each_class_its_false_positives_and_that_of_all_boxes_not():
    boxes = [SQUARE] * len(CLASSES)
    truths = [truth("a", boxes, list(range(len(CLASSES))))]
    wrong = [ELSEWHERE] * len(CLASSES)
    scores = [0.9 - 0.01 * place for place in range(len(CLASSES))]
    found = [
        seen(
            "a",
            wrong + boxes,
            scores=[*scores, *(score - 0.1 for score in scores)],
            labels=list(range(len(CLASSES))) * 2,
        )
    ]
    kept = report.headlines(report.evaluate(truths, found, PARAMS)[0])
    assert kept["sensitivity"]["fp100"] == 1.0, "one false positive of each of eight classes"
    assert kept["sensitivity_all_boxes"]["fp100"] == 0.0, "one false positive"


def test_it_says_what_the_metrics_say(films, judged):
    for iou, name in ((0.3, "30"), (0.4, "40"), (0.5, "50")):
        assert judged[f"macro_ap{name}"] == pytest.approx(macro_ap(*films, iou), abs=1e-6)
        low, high = judged[f"macro_ap{name}_low"], judged[f"macro_ap{name}_high"]
        assert low < high
        per_class = [judged["classes"][label][f"ap{name}"] for label in CLASSES]
        expected = coco_ap(*films, [iou])
        np.testing.assert_allclose(np.array(per_class, float), expected, atol=1e-6)


def test_it_is_strict_json_and_the_same_again(films, judged):
    text = json.dumps(judged, allow_nan=False)
    assert text == json.dumps(report.evaluate(*films, PARAMS)[0], allow_nan=False)


def test_flat_names_for_a_tracker(judged):
    flat = report.flatten(judged, "test/")
    assert flat["test/macro_ap40"] == judged["macro_ap40"]
    assert flat["test/classes/Mass/ap40"] == judged["classes"]["Mass"]["ap40"]
    assert "test/classes/Pneumothorax/ap40" not in flat  # undefined
    assert all(isinstance(value, float) for value in flat.values())


def test_no_films_at_all():
    judged, numbers = report.evaluate([], [], PARAMS)
    assert judged["macro_ap40"] == 0
    assert judged["working_point"]["sensitivity"] is None
    assert judged["working_point"]["false_positives_per_film"] is None
    assert plot_tables.ap_table(judged, PARAMS.iou).empty
    assert plot_tables.curve_table(plot_tables.curves_at([], [], PARAMS.iou)).empty
    assert plot_tables.froc_table([], [], 0.4).empty
    assert judged["sensitivity"]["fp100"] is None
    assert set(as_table(numbers)["measure"]) == {"ap", "rodeo"}  # theirs are 0, the rest undefined


def test_curves_average_to_the_ap(films, judged):
    table = plot_tables.curve_table(plot_tables.curves_at(*films, PARAMS.iou))
    assert set(table["class"]) == set(CLASSES[:6])
    means = table.groupby(["class", "iou"])["precision"].mean()
    assert means["Mass", 0.4] == pytest.approx(judged["classes"]["Mass"]["ap40"], abs=1e-5)


def test_bars_have_a_row_per_class_with_truth(judged):
    table = plot_tables.ap_table(judged, PARAMS.iou)
    assert len(table) == 6 * len(PARAMS.iou)
    row = table[(table["class"] == "Mass") & (table["iou"] == 0.5)].iloc[0]
    mass = judged["classes"]["Mass"]
    assert [row.ap, row.low, row.high] == [mass["ap50"], mass["ap50_low"], mass["ap50_high"]]


def test_the_confusion_table_has_a_row_per_pair(films):
    counts = confusion(*films, score=0.3, iou=0.4)
    table = plot_tables.confusion_table(counts)
    assert len(table) == counts.sum()
    again = table.value_counts()
    assert again["Mass", "Mass"] == counts[4, 4]
    assert again["background", "Mass"] == counts[-1, 4]
    assert set(table["actual"]) <= set(AXIS)


def test_the_sections_say_what_the_table_says(films):
    judged, numbers = report.evaluate(*films, PARAMS)
    table = as_table(numbers).set_index(["measure", "at", "class"])
    for rate in RATES:
        name = f"fp{report.percent(rate)}"
        for section, of in (("sensitivity", MACRO), ("sensitivity_all_boxes", ALL)):
            row = table.loc["sensitivity", f"{rate:g}", of]
            found = [judged[section][name + end] for end in report.ENDS]
            assert found == row.tolist()
    for measure, thresholds in (("iou", T_IOU), ("iobb", T_IOBB)):
        for threshold in thresholds:
            name = f"{measure}{report.percent(threshold)}"
            for section, of in (("localisation", "accuracy"), ("false_positives", of_false)):
                row = table.loc[f"{of}_{measure}", f"{threshold:g}", MACRO]
                assert judged[section][name] == row["value"]
    assert judged["rodeo"]["total"] == table.loc["rodeo", "total", ALL]["value"]
    assert set(judged["calibration"]) == {"d_ece", "d_ece_low", "d_ece_high"} | {
        "brier",
        "brier_low",
        "brier_high",
    }
    assert (table["low"] <= table["value"]).all()
    assert (table["value"] <= table["high"]).all()


of_false = "false_positives"


def test_calibration_is_measured_before_and_after(films):
    calibration = fit_calibration(*films, iou=PARAMS.working_iou)
    judged, _ = report.evaluate(*films, PARAMS, None, calibration)
    before, after = judged["calibration"]["d_ece"], judged["calibration"]["d_ece_calibrated"]
    assert after < before
    assert judged["macro_ap40"] == report.evaluate(*films, PARAMS)[0]["macro_ap40"]


def test_headlines_are_short(judged):
    kept = report.headlines(judged)
    assert {"classes", "false_positives"} <= set(judged) - set(kept)
    assert kept["macro_ap40_low"] == judged["macro_ap40_low"]
    assert set(kept["sensitivity"]) == {"fp10", "fp25", "fp50", "fp100", "fp200"}
    assert set(kept["sensitivity_all_boxes"]) == set(kept["sensitivity"])
    assert set(kept["rodeo"]) == {"total", "localisation", "shape", "classification"}
    assert kept["working_point"] == judged["working_point"]
    assert judged["sensitivity"]["fp10_low"] is not None


def test_the_coco_ap_is_the_mean_over_coco_s_overlaps(films, judged):
    expected = np.mean([coco_ap(*films, [iou]) for iou in np.linspace(0.5, 0.95, 10)], 0)
    assert judged["coco_ap"] == pytest.approx(np.nanmean(expected), abs=1e-6)
    assert judged["classes"]["Mass"]["coco_ap"] == pytest.approx(expected[4], abs=1e-6)


def test_two_models_are_compared_on_the_same_draws(films):
    truths, good = films
    worse = [
        seen(d.image_id, d.boxes + np.float32(30), scores=d.scores, labels=d.labels)
        if number % 2
        else d
        for number, d in enumerate(good)
    ]
    options = (measures(PARAMS), PARAMS)
    same = compare_all(truths, good, good, *options)
    assert {value for one in same for value in one.interval if value == value} == {0.0}
    numbers = compare_all(truths, good, worse, *options)
    by_name = {(one.measure, one.at, one.of): one.interval for one in numbers}
    judged, other = (report.evaluate(truths, found, PARAMS)[0] for found in (good, worse))
    assert by_name["ap", "0.4", MACRO].value == pytest.approx(
        judged["macro_ap40"] - other["macro_ap40"], abs=1e-6
    )
    assert by_name["ap", "0.4", MACRO].low > 0
    assert len(numbers) == len(same)


def test_the_froc_table_steps_by_hand():
    truths = [truth("a", [SQUARE, ELSEWHERE], [0, 0]), truth("b", [], [])]
    found = [
        seen("a", [SQUARE, (20, 20, 25, 25), ELSEWHERE], scores=[0.9, 0.8, 0.5], labels=[0, 0, 0]),
        seen("b", [SQUARE], scores=[0.4], labels=[3]),
    ]
    table = plot_tables.froc_table(truths, found, 0.5)
    of_class = table[table["class"] == CLASSES[0]]
    assert of_class["false_positives"].tolist() == [0, 0.5, 4]
    assert of_class["sensitivity"].tolist() == [0.5, 1, 1]
    assert of_class["score"].tolist()[:2] == [0.9, 0.5]
    assert set(table["class"]) == {ALL, CLASSES[0]}
