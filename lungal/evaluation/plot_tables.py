"""What is plotted, as tables: the same rows for DVC's plots and for our own figures."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungal.boxes import Float64Array
from lungal.evaluation.bootstrap import Interval
from lungal.evaluation.confusion import AXIS
from lungal.evaluation.froc import froc_curve
from lungal.evaluation.matching import match_films, match_films_at
from lungal.evaluation.measures import ALL
from lungal.evaluation.precision_recall import RECALLS, precision_recall_curve
from lungal.evaluation.report import ENDS, Report, number, percent
from lungal.records import CLASSES, Detections, GroundTruth

MOST_FALSE_POSITIVES = 4.0
"""A film; where the FROC curves end."""


def curves_at(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], ious: Sequence[float]
) -> dict[float, Float64Array]:
    """Return the (C, 101) precision-recall curves at each IoU; NaN rows without truth."""
    at = match_films_at(truths, detections, ious)
    return {iou: precision_recall_curve(found) for iou, found in zip(ious, at, strict=True)}


def curve_table(curves: Mapping[float, Float64Array]) -> pd.DataFrame:
    """Return a row (class, iou, recall, precision) per point; classes without truth have none."""
    rows = [
        (name, iou, number(recall), number(precision))
        for iou, of_classes in curves.items()
        for name, curve in zip(CLASSES, of_classes, strict=True)
        if not np.isnan(curve[0])
        for recall, precision in zip(RECALLS, curve, strict=True)
    ]
    return pd.DataFrame(rows, columns=["class", "iou", "recall", "precision"])


def froc_table(
    truths: Sequence[GroundTruth], detections: Sequence[Detections], iou: float
) -> pd.DataFrame:
    """Return a row (class, score, false_positives, sensitivity) for each step of the curves.

    The curve of a class, and of all boxes together, rises at its rows and is level between them;
    its last row is where the plot ends, at MOST_FALSE_POSITIVES a film, and has no score. Classes
    without truth have none.
    """
    matches = match_films(truths, detections, iou)
    of_class = {ALL: None} | {
        CLASSES[label]: label for label in np.flatnonzero(matches.truths.any(0))
    }
    rows: list[tuple[str | float | None, ...]] = []
    for name, label in of_class.items() if matches.truths.any() else ():
        curve = froc_curve(matches, label)
        shown = curve.false_positives <= MOST_FALSE_POSITIVES
        steps = shown & (np.diff(curve.sensitivity, prepend=0.0) > 0)
        points = zip(*(column[steps] for column in curve), strict=True)
        rows += [(name, *map(number, point)) for point in points]
        last = curve.sensitivity[shown].max(initial=0.0)
        rows.append((name, None, MOST_FALSE_POSITIVES, number(last)))
    return pd.DataFrame(rows, columns=["class", "score", "false_positives", "sensitivity"])


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
