"""All that is said of a split, as one nested dict for reports/metrics.json and for a tracker."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungal.evaluation.bootstrap import Interval
from lungal.evaluation.calibration import Calibration, calibrate_films
from lungal.evaluation.matching import Matches, match_films
from lungal.evaluation.measures import (
    ALL,
    COCO,
    MACRO,
    Number,
    calibration_measures,
    measure_all,
    measures,
)
from lungal.params import EvaluateParams
from lungal.records import CLASSES, Detections, GroundTruth

Report = dict[str, Any]
"""Numbers, None where undefined, or dicts of the same."""

ENDS = ("", "_low", "_high")
"""What is appended to a metric's name for its value and the bounds of its interval."""

SECTIONS: dict[tuple[str, str], tuple[str, str]] = {
    ("sensitivity", MACRO): ("sensitivity", "fp"),
    ("sensitivity", ALL): ("sensitivity_all_boxes", "fp"),
    ("accuracy_iou", MACRO): ("localisation", "iou"),
    ("accuracy_iobb", MACRO): ("localisation", "iobb"),
    ("false_positives_iou", MACRO): ("false_positives", "iou"),
    ("false_positives_iobb", MACRO): ("false_positives", "iobb"),
    ("rodeo", ALL): ("rodeo", ""),
    ("d_ece", MACRO): ("calibration", "d_ece"),
    ("brier", MACRO): ("calibration", "brier"),
    ("d_ece_calibrated", MACRO): ("calibration", "d_ece_calibrated"),
    ("brier_calibrated", MACRO): ("calibration", "brier_calibrated"),
}
"""Which numbers are in the report: of a measure and of what, the section and the name's first part.

The macro sensitivity gives each class its own threshold and its own false positives; that of all
boxes has one threshold and so many for all classes together."""


UNSEEN = {"classes", "false_positives"}
"""What the tables and the tracker hold and the headlines do not."""


def percent(iou: float) -> str:
    """Spell an IoU as it stands in names of metrics: 0.4 is "40"."""
    return f"{100 * iou:.3g}"


def evaluate(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    params: EvaluateParams,
    groups: Mapping[str, str] | None = None,
    calibration: Calibration | None = None,
) -> tuple[Report, list[Number]]:
    """Judge the detections of one split.

    Args:
        truths: the films that count.
        detections: what was seen on them, with the scores as the detector gave them.
        params: overlaps, working point and bootstrap.
        groups: image_id to patient_id.
        calibration: whose effect is measured, too.

    Returns:
        The report and all numbers that it is taken from. The report holds
        films, films_without_finding, boxes: counts;
        macro_ap30, macro_ap30_low, macro_ap30_high: at each of params.iou, with the interval of
        `bootstrap`; coco_ap with the same;
        working_point: score, iou, sensitivity and false_positives_per_film there;
        the groups of SECTIONS, such as sensitivity: fp10, fp10_low, fp10_high, which is at 10
        false positives of each class in 100 films, and sensitivity_all_boxes: the same at 10 of
        all classes together;
        classes: for each class films, boxes, sensitivity and ap30, ap30_low, ap30_high ...
        A number that is not defined, such as the AP of a class without truth, is None.

    Raises:
        EvaluationError: if a film comes twice or `groups` lacks one.
    """
    working = match_films(truths, detections, params.working_iou)
    sensitivity = _sensitivity(working, params.working_score)
    numbers = measure_all(truths, detections, measures(params), params, groups)
    if calibration is not None:
        numbers += _calibrated(truths, detections, params, groups, calibration)
    report: Report = {
        "films": len(truths),
        "films_without_finding": int((working.truths.sum(axis=1) == 0).sum()),
        "boxes": int(working.truths.sum()),
        **_average_precision(numbers, MACRO, "macro_"),
        "working_point": _working_point(working, params),
        **_sections(numbers),
        "classes": {
            name: {
                "films": int((working.truths[:, label] > 0).sum()),
                "boxes": int(working.truths[:, label].sum()),
                "sensitivity": number(sensitivity[label]),
                **_average_precision(numbers, name, ""),
            }
            for label, name in enumerate(CLASSES)
        },
    }
    return report, numbers


def headlines(report: Report) -> Report:
    """Return what people compare rounds by: few enough numbers for `dvc metrics diff`.

    Classes, false positives at T(IoU) and the intervals of all but the AP are left out.
    """
    kept = {name: value for name, value in report.items() if name not in UNSEEN}
    for section in {section for section, _ in SECTIONS.values()} & set(kept):
        numbers = kept[section].items()
        kept[section] = {name: value for name, value in numbers if not name.endswith(ENDS[1:])}
    return kept


def flatten(report: Mapping[str, Any], prefix: str = "") -> dict[str, float]:
    """Return a report's defined numbers as {"test/classes/Mass/ap40": 0.1}, for a tracker."""
    flat: dict[str, float] = {}
    for key, value in report.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}/")
        elif value is not None:
            flat[f"{prefix}{key}"] = float(value)
    return flat


def number(value: float) -> float | None:
    """Return a value as JSON can hold it: six decimals, None for NaN."""
    return None if math.isnan(value) else round(float(value), 6)


def _spell(name: str, interval: Interval) -> Report:
    return {name + end: number(value) for end, value in zip(ENDS, interval, strict=True)}


def _average_precision(numbers: Sequence[Number], of: str, prefix: str) -> Report:
    found: Report = {}
    for one in numbers:
        if (one.measure, one.of) == ("ap", of):
            name = "coco_ap" if one.at == COCO else f"{prefix}ap{percent(float(one.at))}"
            found |= _spell(name, one.interval)
    return found


def _sections(numbers: Sequence[Number]) -> Report:
    report: Report = {}
    for one in numbers:
        if (one.measure, one.of) not in SECTIONS:
            continue
        section, first = SECTIONS[one.measure, one.of]
        name = first or one.at
        if section not in ("rodeo", "calibration"):
            name += percent(float(one.at))
        report.setdefault(section, {}).update(_spell(name, one.interval))
    return report


def _calibrated(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    params: EvaluateParams,
    groups: Mapping[str, str] | None,
    calibration: Calibration,
) -> list[Number]:
    after = calibrate_films(detections, calibration)
    numbers = measure_all(truths, after, calibration_measures(params), params, groups)
    return [one._replace(measure=f"{one.measure}_calibrated") for one in numbers]


def _sensitivity(matches: Matches, score: float) -> NDArray[np.float64]:
    found = matches.labels[matches.hits & (matches.scores >= np.float32(score))]
    expected = matches.truths.sum(axis=0)
    counts = np.bincount(found, minlength=len(CLASSES))
    undefined = np.full(len(CLASSES), np.nan)
    np.divide(counts, expected, out=undefined, where=expected > 0)
    return undefined


def _working_point(matches: Matches, params: EvaluateParams) -> Report:
    counted = matches.hits[matches.scores >= np.float32(params.working_score)]
    films, boxes = len(matches.image_ids), int(matches.truths.sum())
    alarms = len(counted) - int(counted.sum())
    return {
        "score": params.working_score,
        "iou": params.working_iou,
        "sensitivity": number(counted.sum() / boxes) if boxes else None,
        "false_positives_per_film": number(alarms / films) if films else None,
    }
