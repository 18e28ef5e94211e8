"""Scores as probabilities: a monotone curve per class, from a score to how often it is right.

A detector's .3 of one finding is right more often than its .3 of another. Ranking films by such
scores ranks findings, not doubt. `calibration_fit` learns the curves; here they are applied.

A curve never changes the order of a class. Isotonic regression alone would: all scores of one of
its steps would become equal. So BLEND of the score itself is added to every fitted curve, which
makes it strictly rising and moves no value by more than BLEND. In float32 two scores may still
meet if they lie closer than about 1e-5; they keep their order, as sorting here is stable.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from lungal.boxes import Float64Array, FloatArray
from lungal.errors import EvaluationError
from lungal.records import CLASSES, Detections

Kind = Literal["isotonic", "platt", "identity"]

BLEND = 0.01
"""Weight of the score itself in what a fitted curve returns."""
NEVER, ALWAYS = 1e-6, 1 - 1e-6
"""Scores beyond are taken for these before a logit, which would be infinite at 0 and 1."""


@dataclass(frozen=True, slots=True)
class ScoreCurve:
    """What a score of one class means, and what that rests on.

    Attributes:
        kind: isotonic: linear between `scores` and `values`, to (0, 0) below them and level above;
            platt: sigmoid(slope logit(score) + offset), Platt 1999;
            identity: the score as it is.
        detections: how many detections it was learnt from.
        hits: how many of them had found a finding of their class.
        slope: above 0; 1 unless kind is platt.
        offset: 0 unless kind is platt.
        scores: (K,) rising, in [0, 1]; empty unless kind is isotonic.
        values: (K,) never falling, in [0, 1].
    """

    kind: Kind = "identity"
    detections: int = 0
    hits: int = 0
    slope: float = 1.0
    offset: float = 0.0
    scores: tuple[float, ...] = ()
    values: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would not be a rising curve of finite numbers.

        Raises:
            EvaluationError: naming what is wrong.
        """
        if self.kind not in get_args(Kind):
            raise EvaluationError(
                f"a score curve is {self.kind!r}; known: {', '.join(get_args(Kind))}"
            )
        if not (0 < self.slope < math.inf and math.isfinite(self.offset)):
            raise EvaluationError(
                f"a slope is {self.slope} and an offset {self.offset}; they must be finite, and a"
                " slope above 0"
            )
        if len(self.scores) != len(self.values) or (self.kind == "isotonic") != bool(self.scores):
            raise EvaluationError(
                f"a curve of kind {self.kind} has {len(self.scores)} scores and"
                f" {len(self.values)} values"
            )
        steps = np.diff(self.scores), np.diff(self.values)
        if not all(0 <= knot <= 1 for knot in (*self.scores, *self.values)) or not (
            (steps[0] > 0).all() and (steps[1] >= 0).all()
        ):
            raise EvaluationError(
                f"a curve does not rise within [0, 1]: {self.scores} to {self.values}"
            )

    def __call__(self, scores: ArrayLike) -> Float64Array:
        """Return, for scores in [0, 1] of any shape, float64 probabilities of the same shape."""
        given = np.clip(np.asarray(scores, np.float64), 0.0, 1.0)
        if self.kind == "identity":
            return given
        return (1 - BLEND) * self._fitted(given) + BLEND * given

    def _fitted(self, given: Float64Array) -> Float64Array:
        if self.kind == "isotonic":
            return np.asarray(np.interp(given, (0.0, *self.scores), (0.0, *self.values)))
        return np.asarray(1 / (1 + np.exp(-(self.slope * logits(given) + self.offset))))


@dataclass(frozen=True, slots=True)
class Calibration:
    """A curve for each class, in the order of CLASSES, learnt at one overlap.

    Attributes:
        curves: C curves.
        iou: overlap from which a detection counted as right, in (0, 1); None: nothing was learnt.
    """

    curves: tuple[ScoreCurve, ...] = (ScoreCurve(),) * len(CLASSES)
    iou: float | None = None

    def __post_init__(self) -> None:
        """Refuse another number of curves than there are classes.

        Raises:
            EvaluationError: with both numbers.
        """
        if len(self.curves) != len(CLASSES):
            raise EvaluationError(
                f"a calibration has {len(self.curves)} curves; there are {len(CLASSES)} classes"
            )


def logits(scores: Float64Array) -> Float64Array:
    """Return log(p / (1 - p)) of scores in [0, 1], finite for 0 and 1, too."""
    safe = np.clip(scores, NEVER, ALWAYS)
    return np.asarray(np.log(safe / (1 - safe)))


def calibrate(detections: Detections, calibration: Calibration) -> Detections:
    """Return a film's detections with calibrated `scores` and `class_scores`, surest first.

    Boxes, labels and all else stay with their detection. Within a class the order stays; across
    classes it may change, as that is the point.

    Raises:
        EvaluationError: if a score is not finite.
    """
    return calibrate_films([detections], calibration)[0]


def calibrate_films(films: Iterable[Detections], calibration: Calibration) -> list[Detections]:
    """Return the calibrated detections of each film, in the same order; see `calibrate`.

    Each curve is asked once for all films, so that a large pool takes seconds.
    """
    given = list(films)
    for film in given:
        check_finite(film)
    known = [film.class_scores for film in given if film.class_scores is not None]
    scores = np.concatenate([np.zeros(0, np.float32), *(film.scores for film in given)])
    labels = np.concatenate([np.zeros(0, np.int32), *(film.labels for film in given)])
    columns = np.concatenate([np.zeros((0, len(CLASSES)), np.float32), *known])
    for label, curve in enumerate(calibration.curves):
        mine = labels == label
        scores[mine] = curve(scores[mine])
        columns[:, label] = curve(columns[:, label])
    ends = np.cumsum([len(film) for film in given])
    rows = iter(np.split(columns, np.cumsum([len(table) for table in known])))
    return [  # of no films numpy makes one part
        _rescore(film, of_film, None if film.class_scores is None else next(rows))
        for film, of_film in zip(given, np.split(scores, ends[:-1]), strict=False)
    ]


def _rescore(film: Detections, scores: FloatArray, class_scores: FloatArray | None) -> Detections:
    rescored = replace(film, scores=scores, class_scores=class_scores)
    return rescored.take(np.argsort(-scores, kind="stable"))


def check_finite(detections: Detections) -> None:
    """Refuse scores that no curve is for.

    Raises:
        EvaluationError: naming the film.
    """
    given = [detections.scores]
    if detections.class_scores is not None:
        given.append(detections.class_scores)
    if not all(np.isfinite(scores).all() for scores in given):
        raise EvaluationError(f"film {detections.image_id!r} has a score that is not finite")


def as_json(calibration: Calibration) -> dict[str, Any]:
    """Return a calibration as plain values, exact to the last bit; see `from_json`."""
    curves = zip(CLASSES, map(asdict, calibration.curves), strict=True)
    return {"iou": calibration.iou, "curves": {name: _listed(curve) for name, curve in curves}}


def from_json(document: object) -> Calibration:
    """Return the calibration that as_json wrote.

    Raises:
        EvaluationError: if the document is anything else, or has a number that is not finite.
    """
    if not isinstance(document, dict) or set(document) != {"iou", "curves"}:
        raise EvaluationError("a calibration must hold `iou` and `curves`, and nothing else")
    iou, curves = document["iou"], document["curves"]
    if iou is not None and not (isinstance(iou, float) and 0 < iou < 1):
        raise EvaluationError(f"the iou of a calibration is {iou!r}, not in (0, 1)")
    if not isinstance(curves, dict) or set(curves) != set(CLASSES):
        raise EvaluationError(f"a calibration must have a curve of each of {', '.join(CLASSES)}")
    return Calibration(tuple(_curve(curves[name]) for name in CLASSES), iou)


def _listed(curve: Mapping[str, Any]) -> dict[str, Any]:
    return {name: list(v) if isinstance(v, tuple) else v for name, v in curve.items()}


def _curve(values: object) -> ScoreCurve:
    names = set(ScoreCurve.__dataclass_fields__)
    if not isinstance(values, dict) or set(values) != names:
        raise EvaluationError(f"a score curve must hold {', '.join(sorted(names))}: {values!r}")
    numbers = ("slope", "offset", "detections", "hits")
    lists = {name: values[name] for name in ("scores", "values")}
    if not all(_is_number(values[name]) for name in numbers) or not all(
        isinstance(knots, Sequence) and all(map(_is_number, knots)) for knots in lists.values()
    ):
        raise EvaluationError(f"a score curve holds something that is no number: {values!r}")
    return ScoreCurve(**values | {name: tuple(knots) for name, knots in lists.items()})


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
