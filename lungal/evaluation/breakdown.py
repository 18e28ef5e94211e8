"""How good a detector is on which films: by view, sex, age and exposure.

A model that fails on portable AP films, or on under-exposed ones, hides behind an average. Each
group of films is judged on its own, by numbers that can be compared between groups of different
size; but not blindly: groups differ in which findings they hold, the macro average is over the
findings that a group has, and the intervals of small groups are wide.

Exposure is not recorded in public films. Brightness stands for it: the mean grey value, 0 to 255,
of the film as the network gets it (`lungal.data.images.prepare`), without the padding; low, middle
and high are the thirds of the films that are judged. It is a property of the stored picture, which
mixes exposure, the patient's size and the maker's processing, and finds what differs in any of
them.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lungal.evaluation.bootstrap import Interval, class_ap_at, intervals
from lungal.evaluation.froc import froc_at
from lungal.evaluation.matching import match_films
from lungal.params import EvaluateParams
from lungal.records import Detections, GroundTruth

AGES = ((0, "0-17"), (18, "18-39"), (40, "40-64"), (65, "65 and over"))
"""Bands by their first year."""
EXPOSURES = ("low", "middle", "high")
UNKNOWN = "unknown"
RATE = 1.0
"""False positives a film at which the sensitivity of groups is compared."""


class Group(NamedTuple):
    """One group of films and how it was judged."""

    by: str  # view, sex, age or exposure
    value: str
    films: int
    patients: int
    boxes: int
    ap: Interval  # macro, at the working overlap
    sensitivity: Interval  # of all boxes under one threshold, at RATE
    found: float  # share of the boxes at the working point; NaN without boxes
    false_positives: float  # a film at the working point


def age_band(age: int | None) -> str:
    """Return the band of an age in years; below 0 stands for not known in some files."""
    return UNKNOWN if age is None or age < 0 else [name for first, name in AGES if age >= first][-1]


def exposure_thirds(brightness: Mapping[str, float]) -> dict[str, str]:
    """Return low, middle or high for each film.

    A film on the border of two thirds belongs to the lower one, so that films of the same
    brightness are never parted.

    Args:
        brightness: image_id to mean grey value.
    """
    if not brightness:
        return {}
    borders = np.quantile(list(brightness.values()), [1 / 3, 2 / 3])
    return {
        image_id: EXPOSURES[int(np.searchsorted(borders, value, side="left"))]
        for image_id, value in brightness.items()
    }


def break_down(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    groups: Mapping[str, Mapping[str, str]],
    params: EvaluateParams,
    patients: Mapping[str, str],
) -> list[Group]:
    """Judge each group of films on its own.

    Args:
        truths: the films that count.
        detections: what was seen on them.
        groups: for each kind of group, image_id to the group's name.
        params: working point and bootstrap.
        patients: image_id to patient_id.

    Returns:
        The groups of a kind by name, unknown last.
    """
    rows = []
    for by, names in groups.items():
        for value in sorted(set(names.values()), key=lambda name: (name == UNKNOWN, _place(name))):
            inside = [truth for truth in truths if names[truth.image_id] == value]
            chosen = {truth.image_id for truth in inside}
            seen = [film for film in detections if film.image_id in chosen]
            rows.append(_judge(by, value, inside, seen, params, patients))
    return rows


def _place(name: str) -> tuple[int, str]:
    known = (*(band for _, band in AGES), *EXPOSURES)
    return (known.index(name) if name in known else -1, name)


def _judge(
    by: str,
    value: str,
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    params: EvaluateParams,
    patients: Mapping[str, str],
) -> Group:
    options = {"seed": params.seed, "draws": params.bootstrap}
    iou = params.working_iou
    ap = intervals(truths, detections, class_ap_at(iou), groups=patients, **options)[0]
    found = intervals(truths, detections, froc_at(iou, [RATE]), groups=patients, **options)[0]
    matches = match_films(truths, detections, iou)
    hits = matches.hits[matches.scores >= np.float32(params.working_score)]
    boxes = int(matches.truths.sum())
    return Group(
        by,
        value,
        len(truths),
        len({patients[truth.image_id] for truth in truths}),
        boxes,
        ap if boxes else Interval(*[float("nan")] * 3),
        found,
        float(hits.sum()) / boxes if boxes else float("nan"),
        float((~hits).sum()) / len(truths),
    )
