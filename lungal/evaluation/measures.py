"""Everything that detections are judged by, each number with its interval, as one long table.

One list, so that the report, the tables, `lungal evaluate` and a comparison of two models say the
same. docs/evaluation.md tells each measure with its formula and source.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from lungal.evaluation.bootstrap import (
    Interval,
    Metric,
    class_ap_at,
    class_ap_over,
    intervals,
    paired_differences,
)
from lungal.evaluation.froc import RATES, froc_at
from lungal.evaluation.localisation import (
    T_IOBB,
    T_IOU,
    class_accuracy,
    class_false_positives,
)
from lungal.evaluation.precision_recall import COCO_IOUS
from lungal.evaluation.reliability import class_brier_at, class_d_ece_at
from lungal.evaluation.rodeo import PARTS, class_rodeo_from
from lungal.params import EvaluateParams
from lungal.records import CLASSES, Detections, GroundTruth

MACRO, ALL = "macro average", "all boxes"
"""What the first number of a measure is of: a mean over classes, or all boxes together."""
COCO = "0.5:0.95"


@dataclass(frozen=True, slots=True)
class Measure:
    """A metric, and what its numbers are called: for each setting one of each column."""

    name: str
    settings: tuple[str, ...]  # a threshold, a rate or a part
    metric: Metric
    columns: tuple[str, ...] = (MACRO, *CLASSES)


class Number(NamedTuple):
    """One number of one measure."""

    measure: str
    at: str
    of: str  # MACRO, ALL or a class
    interval: Interval


def measures(params: EvaluateParams) -> tuple[Measure, ...]:
    """Return all measures, at the overlaps and the working point of the parameters."""
    iou, ious = params.working_iou, params.iou
    return (
        *(Measure("ap", (f"{at:g}",), class_ap_at(at)) for at in ious),
        Measure("ap", (COCO,), class_ap_over(COCO_IOUS)),
        Measure("sensitivity", _spell(RATES), froc_at(iou), (ALL, MACRO, *CLASSES)),
        Measure("accuracy_iou", _spell(T_IOU), class_accuracy("iou", T_IOU)),
        Measure("false_positives_iou", _spell(T_IOU), class_false_positives("iou", T_IOU)),
        Measure("accuracy_iobb", _spell(T_IOBB), class_accuracy("iobb", T_IOBB)),
        Measure("false_positives_iobb", _spell(T_IOBB), class_false_positives("iobb", T_IOBB)),
        Measure("rodeo", PARTS, class_rodeo_from(params.working_score), (ALL, *CLASSES)),
        *calibration_measures(params),
    )


def calibration_measures(params: EvaluateParams) -> tuple[Measure, ...]:
    """Return the measures of scores as probabilities, which calibration is to improve."""
    iou = params.working_iou
    return (
        Measure("d_ece", (f"{iou:g}",), class_d_ece_at(iou)),
        Measure("brier", (f"{iou:g}",), class_brier_at(iou)),
    )


def measure_all(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    chosen: Sequence[Measure],
    params: EvaluateParams,
    groups: Mapping[str, str] | None = None,
) -> list[Number]:
    """Return the chosen measures of these films; all intervals come from the same draws.

    Raises:
        EvaluationError: if a film comes twice or `groups` lacks one.
    """

    def measured(metric: Metric) -> list[Interval]:
        return intervals(truths, detections, metric, groups=groups, **_draws(params))

    return [number for one in chosen for number in _name(one, measured(one.metric))]


def compare_all(
    truths: Sequence[GroundTruth],
    a: Sequence[Detections],
    b: Sequence[Detections],
    chosen: Sequence[Measure],
    params: EvaluateParams,
    groups: Mapping[str, str] | None = None,
) -> list[Number]:
    """Return the chosen measures of a minus those of b, both measured on the same draws.

    Raises:
        EvaluationError: if a film comes twice or `groups` lacks one.
    """

    def measured(metric: Metric) -> list[Interval]:
        return paired_differences(truths, a, b, metric, groups=groups, **_draws(params))

    return [number for one in chosen for number in _name(one, measured(one.metric))]


def as_table(numbers: Sequence[Number]) -> pd.DataFrame:
    """Return a row (measure, at, class, value, low, high) per number; undefined ones are left out.

    `at` is an overlap, a threshold, a number of false positives a film, or a part of RoDeO.
    """
    rows = [
        (number.measure, number.at, number.of, *(round(value, 6) for value in number.interval))
        for number in numbers
        if number.interval.value == number.interval.value  # not NaN
    ]
    columns = ["measure", "at", "class", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def _draws(params: EvaluateParams) -> dict[str, int]:
    return {"seed": params.seed, "draws": params.bootstrap}


def _name(measure: Measure, found: Sequence[Interval]) -> list[Number]:
    names = [(at, of) for at in measure.settings for of in measure.columns]
    return [
        Number(measure.name, at, of, interval)
        for (at, of), interval in zip(names, found, strict=True)
    ]


def _spell(values: Sequence[float]) -> tuple[str, ...]:
    return tuple(f"{value:g}" for value in values)
