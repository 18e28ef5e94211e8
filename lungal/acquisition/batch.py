"""A round's batch: the chosen films in the order of reading, whatever they are read for.

Nothing here that a reader gets to see depends on what a film is read for, but for adjudications,
which show two readings and cannot hide.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from lungal.acquisition.lots import draw
from lungal.acquisition.pool import Choice
from lungal.params import QueueParams
from lungal.records import Role


@dataclass(frozen=True, slots=True)
class Pick:
    """One film that was chosen."""

    image_id: str
    patient_id: str
    role: Role
    score: float  # higher is read sooner
    detections: int  # those that count for the score
    explanation: str  # of the score, in plain words
    choice: Choice | None = None  # of a film of the pool: how the selector came to it


@dataclass(frozen=True, slots=True)
class Place:
    """One film's place in the batch."""

    rank: int  # 1 is read first
    batch: int  # how many films there are
    pick: Pick
    blind: bool  # shows no boxes
    readers: int  # how many are to read it

    @property
    def reason(self) -> str:
        """Why this film is here: one line, for the reader."""
        return f"rank {self.rank} of {self.batch}: {self.pick.explanation}"


def arrange(picks: Iterable[Pick], params: QueueParams, *, seed: int, number: int) -> list[Place]:
    """Order the picks by score, equal scores by image_id, and draw who is blind and read by many.

    Adjudications are neither: they show the readings that disagree, to one reader.

    Args:
        picks: in any order, which does not matter.
        params: the shares.
        seed: of the draws.
        number: of the round.
    """
    ordered = sorted(picks, key=lambda pick: (-pick.score, pick.image_id))
    films = [pick.image_id for pick in ordered if pick.role != "adjudicate"]
    lots = {"seed": seed, "number": number}
    blind = draw(films, params.blind_fraction, purpose="blind", **lots)
    overlap = draw(films, params.overlap_fraction, purpose="overlap", **lots)
    return [
        Place(
            rank,
            len(ordered),
            pick,
            blind=pick.image_id in blind,
            readers=params.readers if pick.image_id in overlap else 1,
        )
        for rank, pick in enumerate(ordered, start=1)
    ]
