"""What several readings of a film come to: its truth, derived and never stored as a reading."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from lungal.params import ReadingParams
from lungal.reading.agreement import film_agreement
from lungal.reading.fusion import FusedBox, fuse
from lungal.reading.standing import age
from lungal.reading.verdicts import opinions
from lungal.records import Annotation, LabelledBox

MOST = 0.5
"""More than this share of the readers' weight is most of them."""
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What readers have made of a film.

    Attributes:
        verdict: `finding` and `no_finding` are labels; `excluded` is not to be trained on, and
            `disputed` neither, until somebody has read the film once more.
        boxes: of a `finding`; else none.
        readers: how many readings the verdict rests on; skips are no reading.
        agreement: of their boxes, in [0, 1]; None if fewer than two say what is there.
    """

    verdict: Literal["finding", "no_finding", "excluded", "disputed"]
    boxes: tuple[LabelledBox, ...]
    readers: int
    agreement: float | None


def reconcile(readings: Iterable[Annotation], params: ReadingParams) -> Reconciled | None:
    """Derive a film's truth from the readings of it that stand.

    Known cases never enter, and skips are no opinion. The last round in which somebody had one
    counts, since the film was asked anew then. In it an adjudication wins, the latest if there are
    several. Else a film that nobody has an opinion on, that most call unreadable, or whose dispute
    an adjudicator skipped, is excluded; and the others' boxes are reconciled:

    - `any`: every box that somebody drew, as the reader of the most weight drew it.
    - `majority`: every box that most drew, as the reader of the most weight drew it.
    - `fusion`: every box that most drew, averaged (`fusion.fuse`).
    - `adjudicate`: as `fusion`; but a film that at least two read, and whose agreement
      (`agreement.film_agreement`) is below `adjudicate_below`, is disputed.

    *Most* is more than half of the weight. Where no box is left although at least half saw
    something, there is no truth that most share, and the film is excluded rather than called free
    of findings.

    Args:
        readings: of one film, as `standing.standing` leaves them, in any order.
        params: the policy, the weights and the overlap at which two boxes are the same.

    Returns:
        None if the film was not read, but as a known case.
    """
    asked = [reading for reading in readings if reading.role != "control"]
    if not asked:
        return None
    spoken = [reading for reading in asked if reading.verdict != "skipped"]
    last = max((reading.round for reading in spoken), default=0)
    if any(reading.role == "adjudicate" and reading.round > last for reading in asked):
        return Reconciled("excluded", (), 0, None)
    said = [reading for reading in spoken if reading.round == last]
    if adjudications := [reading for reading in said if reading.role == "adjudicate"]:
        said = [max(adjudications, key=age)]
    seen = opinions(said)
    if not seen or _most([r for r in said if r.verdict == "unreadable"], said, params):
        return Reconciled("excluded", (), len(said), None)
    return _agree(seen, params)


def _agree(readings: Sequence[Annotation], params: ReadingParams) -> Reconciled:
    count = len(readings)
    boxes = [reading.boxes for reading in readings]
    agreement = film_agreement(boxes, params.iou) if count > 1 else None
    if (
        params.policy == "adjudicate"
        and agreement is not None
        and agreement < params.adjudicate_below
    ):
        return Reconciled("disputed", (), count, agreement)
    kept = _kept(fuse(boxes, [_weight(r, params) for r in readings], params.iou), params)
    if kept:
        return Reconciled("finding", kept, count, agreement)
    free = _most([r for r in readings if r.verdict == "no_finding"], readings, params)
    return Reconciled("no_finding" if free else "excluded", (), count, agreement)


def _kept(fused: Iterable[FusedBox], params: ReadingParams) -> tuple[LabelledBox, ...]:
    if params.policy == "any":
        return tuple(found.heaviest for found in fused)
    shared = [found for found in fused if found.support > MOST + ROUNDING]
    averaged = params.policy != "majority"
    return tuple(found.box if averaged else found.heaviest for found in shared)


def _most(some: Collection[Annotation], of: Collection[Annotation], params: ReadingParams) -> bool:
    return _weigh(some, params) > _weigh(of, params) * MOST + ROUNDING


def _weigh(readings: Iterable[Annotation], params: ReadingParams) -> float:
    return sum(sorted(_weight(reading, params) for reading in readings))


def _weight(reading: Annotation, params: ReadingParams) -> float:
    return params.weights.get(reading.reader, 1.0)
