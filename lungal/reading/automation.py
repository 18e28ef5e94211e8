"""What pre-drawn boxes do to readers: blind readings held against those that saw the model's boxes.

Which films are read blind is drawn by lot, so that the two arms differ in nothing else. In both, a
reader's boxes are compared with the model's, whether or not these were shown. If readers agree more
with the model where they see its boxes, then the boxes have changed what they say, for the better
or for the worse (automation bias).

Intervals of a difference are 95 % percentile intervals of the two-sample bootstrap over films
(Efron & Tibshirani 1993, "An Introduction to the Bootstrap", sections 8.3 and 13.3): several
readings of a film stay together.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungal.params import ReadingParams
from lungal.reading.comparison import compare
from lungal.reading.effort import seconds_of
from lungal.reading.pairing import SAME_PIXELS
from lungal.reading.verdicts import NOT_COMPARED, opinions
from lungal.records import Annotation

MEASURES = {
    "agreement": "agreement with the model",
    "added": "boxes added, a film",
    "removed": "boxes removed, a film",
    "moved": "boxes moved, a film",
    "seconds": "seconds, a film",
}
"""What is measured on each film. `agreement` of the reader's boxes with the model's is in [0, 1]:
2 * pairs / all boxes. Only the reader has boxes that are `added`, only the model those that are
`removed`; of boxes that are `moved` an edge is more than SAME_PIXELS off. `seconds` are the
reader's."""

LEVEL = 0.95
DRAWS = 2000

Key = tuple[int, str]


@dataclass(frozen=True, slots=True)
class Arm:
    """Films that were read one way. Measures are means over films; None if there is none."""

    films: int
    readings: int
    means: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Difference:
    """Pre-drawn minus blind, with its interval; None where an arm has too few films."""

    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Automation:
    """Both arms, and what the boxes changed."""

    blind: Arm
    drawn: Arm
    differences: dict[str, Difference]


def automation(
    standing: Iterable[Annotation],
    params: ReadingParams,
    *,
    seed: int = 0,
) -> Automation:
    """Compare blind readings with pre-drawn ones.

    Args:
        standing: the readings that count; adjudications, imports, passes, and those of which
            nobody knows what the model saw, are left out.
        params: the IoU from which two boxes are the same, and the cap on seconds.
        seed: of the bootstrap.
    """
    compared = [
        reading
        for reading in opinions(standing)
        if reading.role not in NOT_COMPARED and reading.seen is not None
    ]
    arms = {blind: [r for r in compared if r.blind is blind] for blind in (True, False)}
    values = {blind: _of_films(readings, params) for blind, readings in arms.items()}
    return Automation(
        blind=_arm(arms[True], values[True]),
        drawn=_arm(arms[False], values[False]),
        differences={
            name: difference(values[False][:, column], values[True][:, column], seed=seed)
            for column, name in enumerate(MEASURES)
        },
    )


def difference(
    a: NDArray[np.float64], b: NDArray[np.float64], *, seed: int, draws: int = DRAWS
) -> Difference:
    """Return mean(a) - mean(b) of two independent samples with its bootstrap interval.

    Args:
        a: (N,) a number per film; NaN is unknown and left out.
        b: (M,) the same of other films.
        seed: of numpy's default generator.
        draws: how often both samples are drawn again.
    """
    a, b = a[~np.isnan(a)], b[~np.isnan(b)]
    if not len(a) or not len(b):
        return Difference(None, None, None)
    value = float(a.mean() - b.mean())
    if len(a) < 2 or len(b) < 2:  # drawn again, a single film shows no spread
        return Difference(value, None, None)
    random = np.random.default_rng(seed)
    again = [sample[random.integers(0, len(sample), (draws, len(sample)))] for sample in (a, b)]
    drawn = again[0].mean(axis=1) - again[1].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Difference(value, float(low), float(high))


def _of_films(readings: Iterable[Annotation], params: ReadingParams) -> NDArray[np.float64]:
    films: dict[Key, list[list[float]]] = defaultdict(list)
    for reading in readings:
        films[reading.round, reading.image_id].append(_measure(reading, params))
    rows = [[_mean_of_known(column) for column in np.array(films[key]).T] for key in sorted(films)]
    return np.array(rows, np.float64).reshape(-1, len(MEASURES))


def _mean_of_known(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _measure(reading: Annotation, params: ReadingParams) -> list[float]:
    seen = reading.seen or ()
    found = compare(reading.boxes, seen, params.iou)
    moved = sum(
        max(abs(a - b) for a, b in zip(reading.boxes[i].xyxy, seen[j].xyxy, strict=True))
        > SAME_PIXELS
        for i, j in found.pairs
    )
    (seconds,) = seconds_of([reading], params.idle_seconds) or [float("nan")]
    return [found.agreement, found.added, found.missed, moved, seconds]


def _arm(readings: list[Annotation], values: NDArray[np.float64]) -> Arm:
    means = [None if np.isnan(mean := _mean_of_known(column)) else mean for column in values.T]
    return Arm(len(values), len(readings), dict(zip(MEASURES, means, strict=True)))
