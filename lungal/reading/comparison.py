"""Two sets of boxes on one film, held against each other: a reader and the truth, or the model."""

from collections.abc import Sequence
from dataclasses import dataclass

from lungal.boxes import iou
from lungal.reading.pairing import pair
from lungal.records import Boxed, to_arrays


@dataclass(frozen=True, slots=True)
class Comparison:
    """How the boxes that were said go with the boxes that were expected.

    Attributes:
        pairs: index of the said and of the expected box, same finding, one to one.
        overlaps: IoU of each pair.
        added: said boxes without an expected one.
        missed: expected boxes without a said one.
    """

    pairs: tuple[tuple[int, int], ...]
    overlaps: tuple[float, ...]
    added: int
    missed: int

    @property
    def agreement(self) -> float:
        """Return 2 * pairs / (said + expected) in [0, 1] (Dice); 1 where neither has a box."""
        total = 2 * len(self.pairs) + self.added + self.missed
        return 2 * len(self.pairs) / total if total else 1.0


def compare(said: Sequence[Boxed], expected: Sequence[Boxed], least: float) -> Comparison:
    """Pair boxes of a finding whose IoU is at least `least`, so that the total IoU is largest."""
    ours, theirs = to_arrays(said), to_arrays(expected)
    pairs = tuple(pair(*ours, *theirs, least))
    overlaps = iou(ours[0], theirs[0])
    return Comparison(
        pairs=pairs,
        overlaps=tuple(float(overlaps[mine, other]) for mine, other in pairs),
        added=len(said) - len(pairs),
        missed=len(expected) - len(pairs),
    )
