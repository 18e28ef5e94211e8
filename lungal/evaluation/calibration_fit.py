"""Learn from judged detections what scores mean; fit on validation films, never on the pool's.

Isotonic regression (Zadrozny & Elkan 2002; pool adjacent violators) where a class has enough hits
to draw a curve from; else Platt's sigmoid (1999), a temperature (Guo et al. 2017) with an offset.
The offset is needed: a temperature leaves a score of .5 where it is, and a detector that is trained
with the focal loss is right far more often than that where it says .5 (docs/results.md). Slope and
offset of a class are drawn towards those of all classes together by a normal prior, so that a class
of few hits has the curve of all and one of many its own. Where there are hardly any hits at all,
scores stay as they are.

A detection is right if it found a finding of its class at an overlap, by the matching that average
precision uses: a second box on a finding that is found already is wrong.

What has only been seen right would be called "always right". The targets of isotonic regression and
of all classes together are therefore Platt's: (H + 1) / (H + 2) for each of H hits and 1 / (M + 2)
for each of M misses, in the place of 1 and 0. For a class the prior does it.
"""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import Float64Array
from lungal.evaluation.calibration import Calibration, ScoreCurve, check_finite, logits
from lungal.evaluation.matching import match_films
from lungal.records import CLASSES, Detections, GroundTruth

ISOTONIC_HITS = 50
"""Hits, and misses, of a class from which it gets a curve of its own."""
PLATT_HITS = 10
"""Hits of all classes together from which there is a sigmoid."""
PRIOR = 0.5
"""Standard deviation of a class's slope, and of its offset, about those of all classes."""
FLATTEST = 1e-3
"""Slope below which a curve would no longer rise."""

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
    everything = logits(scores), matches.hits
    enough = int(matches.hits.sum()) >= PLATT_HITS
    together = fit_platt(*everything) if enough else None
    curves = []
    for label in range(len(CLASSES)):
        mine = matches.of_class(label)
        curves.append(fit_curve(scores[mine], matches.hits[mine], together))
    return Calibration(tuple(curves), iou)


def fit_curve(scores: Float64Array, hits: Hits, together: tuple[float, float] | None) -> ScoreCurve:
    """Return the curve of one class.

    Args:
        scores: (D,) float64 in [0, 1].
        hits: (D,) which of them were right.
        together: slope and offset of all classes; None: too little is known of them.
    """
    right, wrong = int(hits.sum()), int((~hits).sum())
    if min(right, wrong) >= ISOTONIC_HITS:
        return _fit_isotonic(scores, hits)
    if together is None:
        return ScoreCurve(detections=len(scores), hits=right)
    slope, offset = fit_platt(logits(scores), hits, together)
    return ScoreCurve("platt", len(scores), right, slope=slope, offset=offset)


def fit_platt(
    given: Float64Array, hits: Hits, prior: tuple[float, float] | None = None
) -> tuple[float, float]:
    """Return slope and offset of the sigmoid of greatest likelihood; with a prior, the posterior's.

    Args:
        given: (D,) float64 logits of the scores.
        hits: (D,) which of them were right.
        prior: the means of slope and offset.
    """
    from scipy.optimize import minimize

    start = np.array(prior or (1.0, 0.0))
    precision = 0.0 if prior is None else PRIOR**-2
    targets = _targets(hits) if prior is None else hits.astype(np.float64)

    def loss(curve: Float64Array) -> tuple[float, Float64Array]:
        """Return minus the log of likelihood and prior, and its gradient."""
        line, off = curve[0] * given + curve[1], curve - start
        excess = 1 / (1 + np.exp(-line)) - targets
        gradient = np.array([excess @ given, excess.sum()]) + precision * off
        value = np.logaddexp(0.0, line).sum() - targets @ line + precision * (off @ off) / 2
        return float(value), gradient

    bounds = [(FLATTEST, None), (None, None)]
    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(best.x[0]), float(best.x[1])


def _fit_isotonic(scores: Float64Array, hits: Hits) -> ScoreCurve:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression().fit(scores, _targets(hits))
    return ScoreCurve(
        "isotonic",
        len(scores),
        int(hits.sum()),
        scores=tuple(fitted.X_thresholds_.tolist()),
        values=tuple(fitted.y_thresholds_.tolist()),
    )


def _targets(hits: Hits) -> Float64Array:
    right, wrong = int(hits.sum()), int((~hits).sum())
    return np.where(hits, (right + 1) / (right + 2), 1 / (wrong + 2))
