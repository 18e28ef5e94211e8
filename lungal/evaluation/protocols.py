"""Published protocols by name, so that our number stands beside theirs.

wsrpn: WSRPN (Mueller et al., TMI 2024) judges on a half of the 880 films with boxes, with no
patient in both halves. Its code walks through the patients in the order of a Python set of strings,
which differs from process to process, and lets their films into the validation half until that
holds half of the 984 boxes; the rest is the test half. So its own half cannot be drawn again. Here
the same is done HALVES times with a seeded order, and the mean and the standard deviation over the
halves are given. What it judges by is AP at IoU .3 and .5 and RoDeO.

A model that was trained on some of the 880 films knows what it is asked; only one that was trained
without them may stand beside the published numbers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lungal.errors import EvaluationError
from lungal.evaluation.bootstrap import Metric, class_ap_at
from lungal.evaluation.localisation import T_IOU, class_accuracy
from lungal.evaluation.rodeo import class_rodeo_from
from lungal.records import Detections, GroundTruth

HALVES = 10
NIH_FILMS, NIH_BOXES = 880, 984
"""What the halves are drawn from: other films, or not all of these, are another protocol."""


class Spread(NamedTuple):
    """A number over several halves."""

    mean: float
    sd: float  # sample standard deviation; NaN of a single half


def wsrpn(
    truths: Sequence[GroundTruth],
    detections: Sequence[Detections],
    patients: Mapping[str, str],
    *,
    score: float,
    halves: int = HALVES,
) -> dict[str, Spread]:
    """Return AP and RoDeO by WSRPN's protocol, and T(IoU) of the same halves.

    Films without a box are left out, as in the paper.

    Args:
        truths: films whose truth is known.
        detections: what was seen on them.
        patients: image_id to patient_id.
        score: from which a detection counts in RoDeO, which knows no scores.
        halves: how many are drawn, with the seeds 0, 1, ...

    Returns:
        ap30, ap50, rodeo, and accuracy_iou10 to accuracy_iou70.

    Raises:
        EvaluationError: if there are not two patients with a box.
    """
    metrics: dict[str, Metric] = {
        "ap30": class_ap_at(0.3),
        "ap50": class_ap_at(0.5),
        "rodeo": class_rodeo_from(score),
    }
    for threshold in T_IOU:
        metrics[f"accuracy_iou{100 * threshold:.0f}"] = class_accuracy("iou", (threshold,))
    boxed = [truth for truth in truths if len(truth.labels)]
    found: dict[str, list[float]] = {name: [] for name in metrics}
    for seed in range(halves):
        chosen = draw_half(boxed, patients, seed)
        half = [truth for truth in boxed if truth.image_id in chosen]
        seen = [film for film in detections if film.image_id in chosen]
        for name, metric in metrics.items():
            found[name].append(float(metric(half, seen)(np.ones(len(half)))[0]))
    return {name: _spread(values) for name, values in found.items()}


def draw_half(
    truths: Sequence[GroundTruth], patients: Mapping[str, str], seed: int
) -> frozenset[str]:
    """Return the image_ids of a half: the films of the patients beyond half of the boxes.

    Raises:
        EvaluationError: if nobody is left, or a film has no patient.
    """
    boxes: dict[str, int] = {}
    for truth in truths:
        if truth.image_id not in patients:
            raise EvaluationError(f"film {truth.image_id!r} has no patient to be halved with")
        patient = patients[truth.image_id]
        boxes[patient] = boxes.get(patient, 0) + len(truth.labels)
    order = np.random.default_rng(seed).permutation(sorted(boxes)).tolist()
    filled = np.cumsum([0, *(boxes[patient] for patient in order)])
    judged = {
        patient
        for patient, before in zip(order, filled[:-1].tolist(), strict=True)
        if before >= sum(boxes.values()) // 2
    }
    if not judged or len(judged) == len(boxes):
        raise EvaluationError(
            f"{len(boxes)} patients with a box cannot be halved; at least two are needed"
        )
    return frozenset(truth.image_id for truth in truths if patients[truth.image_id] in judged)


def _spread(values: Sequence[float]) -> Spread:
    defined = np.array(values)[~np.isnan(values)]
    if not len(defined):
        return Spread(math.nan, math.nan)
    return Spread(
        float(defined.mean()), float(defined.std(ddof=1)) if len(defined) > 1 else math.nan
    )
