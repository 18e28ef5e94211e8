"""Committee: whether several detectors see the same on a film."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lungal.acquisition.aggregation import Doubt
from lungal.acquisition.agreement import agreements, doubt
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.uncertainty import binary_entropy
from lungal.boxes import Float64Array, iou
from lungal.errors import SelectionError
from lungal.records import Detections

SAME = 0.5
"""IoU from which boxes of one class, seen by two members, are one and the same."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One box as one member sees it."""

    member: int
    row: int


def committee(evidence: Evidence) -> list[Doubt]:
    """Return the doubt about each box that any member sees.

    Members are the detector itself and `evidence.committee`. Boxes of one class that overlap by
    SAME are one box, led by its surest. With v of M members seeing it and m_i its agreement with
    member i (`lungal.acquisition.agreement`), the doubt about it is

        1/2 h(v / M) + 1/2 (1 - |mean over the other members of m_i - BETA| / BETA)

    h is the binary entropy: the vote entropy of Dagan & Engelson 1995, "Committee-based sampling
    for training probabilistic classifiers", about the question whether the box is there. A
    committee of detectors: Roy, Unmesh & Namboodiri 2018, "Deep active learning for object
    detection".

    Raises:
        SelectionError: if nobody else looked at the film.
    """
    if not evidence.committee:
        raise SelectionError(
            f"a committee needs other detectors, and nobody else looked at film"
            f" {evidence.image_id}; set crossfit.committee, or choose another select.strategy"
        )
    members = (evidence.detections, *evidence.committee)
    agreed = [_mean_agreements(members, place) for place in range(len(members))]
    return [
        Doubt(
            float(binary_entropy(votes / len(members)) + doubt(agreed[led.member][led.row])) / 2,
            int(members[led.member].labels[led.row]),
        )
        for led, votes in _groups(members)
    ]


def _mean_agreements(members: Sequence[Detections], place: int) -> Float64Array:
    others = [member for number, member in enumerate(members) if number != place]
    return np.asarray(np.mean([agreements(members[place], other) for other in others], axis=0))


def _groups(members: Sequence[Detections]) -> Iterator[tuple[_Seen, int]]:
    """Yield the surest of each group of boxes that are one, and how many members see it."""
    boxes = [_Seen(place, row) for place, seen in enumerate(members) for row in range(len(seen))]
    boxes.sort(key=lambda box: -float(members[box.member].scores[box.row]))  # stable
    taken: set[_Seen] = set()
    for led in boxes:
        if led in taken:
            continue
        same = [
            _Seen(place, row)
            for place, other in enumerate(members)
            if place != led.member
            for row in _counterpart(members[led.member], led.row, other, place, taken)
        ]
        taken.update(same)
        yield led, 1 + len(same)


def _counterpart(
    mine: Detections, row: int, other: Detections, place: int, taken: set[_Seen]
) -> list[int]:
    free = [
        candidate
        for candidate in np.flatnonzero(other.labels == mine.labels[row]).tolist()
        if _Seen(place, candidate) not in taken
    ]
    if not free:
        return []
    overlaps = iou(mine.boxes[row : row + 1], other.boxes[free])[0]
    best = int(overlaps.argmax())
    return [free[best]] if overlaps[best] >= SAME else []
