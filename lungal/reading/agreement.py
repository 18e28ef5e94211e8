"""How far readers of the same films agree: on boxes, on where they are, on which findings."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from statistics import mean

import krippendorff
import numpy as np
from numpy.typing import NDArray

from lungal.reading.comparison import Comparison, compare
from lungal.reading.verdicts import opinions
from lungal.records import CLASSES, Annotation, LabelledBox

Readings = Sequence[Sequence[LabelledBox]]
"""The boxes of each reading of one film; () is "no finding"."""


def film_agreement(readings: Readings, iou: float) -> float:
    """Return how far the readings of a film agree, in [0, 1]: mean F1 over pairs of readers.

    The F1 of two readings is 2 * pairs / (boxes of one + boxes of the other), with boxes paired by
    `pairing.pair`: Dice's coefficient (1945) of two sets of boxes, and the same whichever of the
    two is held to be the truth. It is the positive specific agreement. Cohen's
    kappa comes close to it where there are very many places with nothing, and on a film nobody can
    count these (Hripcsak & Rothschild 2005, "Agreement, the F-measure, and reliability in
    information retrieval"). Two readings without finding agree: 1.

    Args:
        readings: boxes of at least two readings; one, or none, agrees with itself.
        iou: least overlap at which two boxes of a finding are the same.
    """
    return mean([found.agreement for found in _each_pair(readings, iou)] or [1.0])


def mean_iou(readings: Readings, iou: float) -> float | None:
    """Return the mean IoU of the boxes that two readers share, over all pairs of readers.

    Args:
        readings: boxes of each reading.
        iou: least overlap at which two boxes of a finding are the same.

    Returns:
        A number in [iou, 1]; None if no two readers share a box.
    """
    overlaps = [overlap for found in _each_pair(readings, iou) for overlap in found.overlaps]
    return mean(overlaps) if overlaps else None


def findings_alpha(
    films: Iterable[Sequence[Annotation]], classes: Sequence[str] = CLASSES
) -> float | None:
    """Return Krippendorff's alpha, nominal, of which findings are on which film.

    alpha = 1 - observed / expected disagreement (Krippendorff 2011, "Computing Krippendorff's
    Alpha-Reliability", section C: any number of readers, with gaps); a unit is a film and a class,
    a value is whether the reader drew a box of it there. 1 is agreement, 0 is what chance would
    give, below 0 is systematic disagreement.

    Args:
        films: the readings of each film; those that are no opinion are gaps.
        classes: the findings that are judged; several make one number over all of them.

    Returns:
        None where it cannot be said: no film with two opinions, or nobody ever says anything else.
    """
    counts = [row for readings in films for row in _counts(opinions(readings), classes)]
    units: NDArray[np.int64] = np.array(counts, np.int64).reshape(-1, 2)
    units = units[units.sum(axis=1) > 1]
    if not (units.sum(axis=0) > 0).all():
        return None
    return float(krippendorff.alpha(value_counts=units, level_of_measurement="nominal"))


def _each_pair(readings: Readings, iou: float) -> Iterator[Comparison]:
    for one, other in combinations(readings, 2):
        yield compare(one, other, iou)


def _counts(readings: Sequence[Annotation], classes: Sequence[str]) -> Iterator[tuple[int, int]]:
    for name in classes:
        there = sum(any(box.label == name for box in reading.boxes) for reading in readings)
        yield len(readings) - there, there
