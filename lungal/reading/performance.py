"""How well each reader reads: measured on films whose truth is known here and hidden from them.

Intervals of a sensitivity are Wilson's score intervals at 95 % (Wilson 1927, "Probable inference,
the law of succession, and statistical inference", equation 3): they are right for the few boxes of
a few controls too, where the usual +- 1.96 standard errors would leave [0, 1].
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import TypeVar

from scipy.stats import binomtest

from lungal.params import ReadingParams
from lungal.reading.comparison import compare
from lungal.reading.effort import seconds_of
from lungal.reading.verdicts import PASSES, opinions
from lungal.records import Annotation, Truth

Key = TypeVar("Key")

LEVEL = 0.95
"""Confidence of the intervals."""


@dataclass(frozen=True, slots=True)
class Performance:
    """A reader in one round, or in all of them.

    What a reader did not have the occasion to show is None.
    """

    reader: str
    round: int | None  # None: all rounds together
    readings: int  # all that stand, whatever they were for
    controls: int  # known cases that the reader gave an opinion on
    passed: int  # known cases that the reader skipped or called unreadable
    boxes: int  # true boxes on the controls
    found: int  # of these, by the reader
    sensitivity: float | None  # found / boxes
    low: float | None  # end of its interval
    high: float | None
    false_positives: float | None  # boxes that are not there, per control
    mean_iou: float | None  # of the boxes found with their true ones
    seconds: float | None  # median of a reading, of all readings


def performances(
    standing: Iterable[Annotation], truth: Truth, params: ReadingParams
) -> list[Performance]:
    """Return each reader's performance over all rounds, sorted by reader.

    Args:
        standing: the readings that count (`lungal.reading.standing`).
        truth: of at least the films that were used as controls; others are left out.
        params: the IoU from which a box is found, and the cap on seconds.
    """
    readers = _grouped((reading.reader, reading) for reading in _read(standing))
    return [_perform(reader, None, said, truth, params) for reader, said in sorted(readers.items())]


def drift(standing: Iterable[Annotation], truth: Truth, params: ReadingParams) -> list[Performance]:
    """Return each reader's performance in each round, sorted by reader and round."""
    turns = _grouped(((reading.reader, reading.round), reading) for reading in _read(standing))
    return [
        _perform(reader, number, said, truth, params)
        for (reader, number), said in sorted(turns.items())
    ]


def wilson(found: int, boxes: int) -> tuple[float, float]:
    """Return the 95 % score interval of found / boxes; see the module's source.

    Raises:
        ValueError: if there are no boxes.
    """
    ends = binomtest(found, boxes).proportion_ci(LEVEL, method="wilson")
    return float(ends.low), float(ends.high)


def _read(standing: Iterable[Annotation]) -> list[Annotation]:
    # An import has no reader here whose eyes could be judged.
    return [reading for reading in standing if reading.role != "import"]


def _grouped(pairs: Iterable[tuple[Key, Annotation]]) -> dict[Key, list[Annotation]]:
    groups: dict[Key, list[Annotation]] = defaultdict(list)
    for key, reading in pairs:
        groups[key].append(reading)
    return groups


def _perform(
    reader: str,
    number: int | None,
    said: Sequence[Annotation],
    truth: Truth,
    params: ReadingParams,
) -> Performance:
    known = [r for r in said if r.role == "control" and r.image_id in truth]
    judged = [compare(r.boxes, truth[r.image_id], params.iou) for r in opinions(known)]
    found = sum(len(film.pairs) for film in judged)
    boxes = found + sum(film.missed for film in judged)
    low, high = wilson(found, boxes) if boxes else (None, None)
    overlaps = [overlap for film in judged for overlap in film.overlaps]
    seconds = seconds_of(said, params.idle_seconds)
    return Performance(
        reader=reader,
        round=number,
        readings=len(said),
        controls=len(judged),
        passed=sum(r.verdict in PASSES for r in known),
        boxes=boxes,
        found=found,
        sensitivity=found / boxes if boxes else None,
        low=low,
        high=high,
        false_positives=sum(film.added for film in judged) / len(judged) if judged else None,
        mean_iou=mean(overlaps) if overlaps else None,
        seconds=median(seconds) if seconds else None,
    )
