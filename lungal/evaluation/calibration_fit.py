"""Learn from judged detections what scores mean; fit on validation films, never on the pool's.

Isotonic regression (Zadrozny & Elkan 2002; pool adjacent violators) where a class has enough hits
to draw a curve from, a temperature (Guo et al. 2017) where it has some, the temperature of all
classes together where it has hardly any, and nothing at all where nobody has. A detection is right
if it found a finding of its class at an overlap, by the matching that average precision uses: a
second box on a finding that is found already is wrong.

Isotonic regression calls what it has only seen right "always right". Its targets are therefore
Platt's (1999): (H + 1) / (H + 2) for each of H hits and 1 / (M + 2) for each of M misses, in the
place of 1 and 0.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.evaluation.calibration import (
    ALWAYS,
    NEVER,
    Calibration,
    Kind,
    ScoreCurve,
    check_finite,
)
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES, Detections, GroundTruth

ISOTONIC_HITS = 50
"""Hits, and misses, of a class from which it gets a curve of its own."""
TEMPERATURE_HITS = 10
"""Hits from which a class, or all together, get a temperature."""
RANGE = (0.05, 20.0)
"""Temperatures that are considered."""

Values = NDArray[np.float64]
Hits = NDArray[np.bool_]


def fit_calibration(
    truths: Sequence[GroundTruth], detections: Iterable[Detections], *, iou: float
) -> Calibration:
    """Return what scores mean on these films.

    Args:
        truths: the films that count.
        detections: what was seen on them, with the scores as the detector gave them.
        iou: overlap from which a detection is right, in (0, 1).

    Raises:
        EvaluationError: if a film comes twice or a score is not finite.
    """
    seen = list(detections)
    for film in seen:
        check_finite(film)
    matches = match_films(truths, seen, iou)
    scores = np.clip(matches.scores.astype(np.float64), 0.0, 1.0)
    together = _fit_temperature(scores, matches.hits, "shared_temperature")
    curves = []
    for label in range(len(CLASSES)):
        mine = matches.of_class(label)
        curves.append(fit_curve(scores[mine], matches.hits[mine]) or together)
    return Calibration(tuple(curves), iou)


def fit_curve(scores: Values, hits: Hits) -> ScoreCurve | None:
    """Return the curve of one class, or None if it has too few hits for one of its own.

    Args:
        scores: (D,) float64 in [0, 1].
        hits: (D,) which of them were right.
    """
    right, wrong = int(hits.sum()), int((~hits).sum())
    if min(right, wrong) >= ISOTONIC_HITS:
        return _fit_isotonic(scores, hits)
    if right >= TEMPERATURE_HITS:
        return _fit_temperature(scores, hits, "temperature")
    return None


def _fit_isotonic(scores: Values, hits: Hits) -> ScoreCurve:
    from sklearn.isotonic import IsotonicRegression

    right, wrong = int(hits.sum()), int((~hits).sum())
    targets = np.where(hits, (right + 1) / (right + 2), 1 / (wrong + 2))
    fitted = IsotonicRegression().fit(scores, targets)
    return ScoreCurve(
        "isotonic",
        len(scores),
        right,
        scores=tuple(fitted.X_thresholds_.tolist()),
        values=tuple(fitted.y_thresholds_.tolist()),
    )


def _fit_temperature(scores: Values, hits: Hits, kind: Kind) -> ScoreCurve:
    if (right := int(hits.sum())) < TEMPERATURE_HITS:
        return ScoreCurve(detections=len(scores), hits=right)
    from scipy.optimize import minimize_scalar

    safe = np.clip(scores, NEVER, ALWAYS)
    logits = np.log(safe / (1 - safe))
    signed = np.where(hits, -logits, logits)

    def loss(log_temperature: float) -> float:
        """Negative log-likelihood: log(1 + exp(-logit)) of a hit, log(1 + exp(logit)) else."""
        return float(np.logaddexp(0.0, signed / np.exp(log_temperature)).mean())

    best = minimize_scalar(loss, bounds=tuple(np.log(RANGE)), method="bounded")
    return ScoreCurve(kind, len(scores), right, temperature=float(np.exp(best.x)))
