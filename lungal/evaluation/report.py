"""All that is said of a split: one nested dict for reports/metrics.json, and tables to plot."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungal.evaluation.bootstrap import Interval, class_ap_at, intervals
from lungal.evaluation.confusion import AXIS
from lungal.evaluation.matching import Matches, match_films
from lungal.evaluation.precision_recall import RECALLS, Weights, precision_recall_curve
from lungal.params import EvaluateParams
from lungal.records import CLASSES, Detections, GroundTruth

Report = dict[str, Any]
"""Numbers, None where undefined, or dicts of the same."""

ENDS = ("", "_low", "_high")
"""What is appended to a metric's name for its value and the bounds of its interval."""


def percent(iou: float) -> str:
    """Spell an IoU as it stands in names of metrics: 0.4 is "40"."""
    return f"{100 * iou:.3g}"


def evaluate(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    params: EvaluateParams,
    groups: Mapping[str, str] | None = None,
) -> Report:
    """Judge the detections of one split.

    Returns:
        films, films_without_finding, boxes: counts;
        macro_ap30, macro_ap30_low, macro_ap30_high: at each of params.iou, with the interval of
        `bootstrap`;
        working_point: score, iou, sensitivity and false_positives_per_film there;
        classes: for each class films, boxes, sensitivity and ap30, ap30_low, ap30_high ...
        A number that is not defined, such as the AP of a class without truth, is None.

    Raises:
        EvaluationError: if a film comes twice or `groups` lacks one.
    """
    working = match_films(truths, detections, params.working_iou)
    sensitivity = _sensitivity(working, params.working_score)
    report: Report = {
        "films": len(truths),
        "films_without_finding": int((working.truths.sum(axis=1) == 0).sum()),
        "boxes": int(working.truths.sum()),
        "working_point": _working_point(working, params),
        "classes": {
            name: {
                "films": int((working.truths[:, label] > 0).sum()),
                "boxes": int(working.truths[:, label].sum()),
                "sensitivity": number(sensitivity[label]),
            }
            for label, name in enumerate(CLASSES)
        },
    }
    for iou in params.iou:
        macro, *per_class = intervals(
            truths,
            detections,
            class_ap_at(iou),
            seed=params.seed,
            draws=params.bootstrap,
            groups=groups,
        )
        report |= _spell(f"macro_ap{percent(iou)}", macro)
        for name, of_class in zip(CLASSES, per_class, strict=True):
            report["classes"][name] |= _spell(f"ap{percent(iou)}", of_class)
    return report


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


def curves_at(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], ious: Sequence[float]
) -> dict[float, Weights]:
    """Return the (C, 101) precision-recall curves at each IoU; NaN rows without truth."""
    return {iou: precision_recall_curve(match_films(truths, detections, iou)) for iou in ious}


def curve_table(curves: Mapping[float, Weights]) -> pd.DataFrame:
    """Return a row (class, iou, recall, precision) per point; classes without truth have none."""
    rows = [
        (name, iou, number(recall), number(precision))
        for iou, of_classes in curves.items()
        for name, curve in zip(CLASSES, of_classes, strict=True)
        if not np.isnan(curve[0])
        for recall, precision in zip(RECALLS, curve, strict=True)
    ]
    return pd.DataFrame(rows, columns=["class", "iou", "recall", "precision"])


def macro_interval(report: Report, iou: float) -> Interval:
    """Return the macro AP of a report at one of its IoUs, with its interval."""
    return Interval(*(report[f"macro_ap{percent(iou)}{end}"] for end in ENDS))


def ap_table(report: Report, ious: Sequence[float]) -> pd.DataFrame:
    """Return a row (class, iou, ap, low, high, boxes) per class with truth and IoU."""
    rows = [
        (name, iou, *(of_class[f"ap{percent(iou)}{end}"] for end in ENDS), of_class["boxes"])
        for iou in ious
        for name, of_class in report["classes"].items()
        if of_class["boxes"]
    ]
    return pd.DataFrame(rows, columns=["class", "iou", "ap", "low", "high", "boxes"])


def confusion_table(counts: NDArray[np.int64]) -> pd.DataFrame:
    """Return a row (actual, predicted) per counted pair, as DVC's confusion template wants it."""
    actual, predicted = np.nonzero(counts)
    pairs = np.repeat(np.stack([actual, predicted], axis=1), counts[actual, predicted], axis=0)
    names = np.array(AXIS, dtype=object)
    return pd.DataFrame(names[pairs].reshape(-1, 2), columns=["actual", "predicted"])


def _spell(name: str, interval: Interval) -> Report:
    return {name + end: number(value) for end, value in zip(ENDS, interval, strict=True)}


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
