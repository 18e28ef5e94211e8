"""The seams: who says how much a film is worth reading, and who chooses films of a whole pool."""

from typing import Protocol

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Choice, Pool


class Acquisition(Protocol):
    """Scores one film. Pure: the same evidence gives the same score, whatever was scored before.

    Choosing a batch is another matter: see Selector.
    """

    def __call__(self, evidence: Evidence) -> float:
        """Return a finite number in [0, 1]; higher is read sooner. No detections is legal input.

        Raises:
            SelectionError: if it needs something of the film that is not there, naming it.
        """
        ...

    def explain(self, evidence: Evidence) -> str:
        """Say in plain words, for the reader, what the score of this film was made of."""
        ...


class Selector(Protocol):
    """Chooses films of a pool. Pure: the same pool, seed and round give the same choice."""

    def __call__(self, pool: Pool, budget: int, *, seed: int, number: int) -> list[Choice]:
        """Return `budget` films by rank, or as many as there are.

        Args:
            pool: to choose from; may be empty.
            budget: how many films at most.
            seed: of whatever is drawn.
            number: of the round, from 1.

        Raises:
            SelectionError: if it needs something of the pool that is not there, naming it.
        """
        ...
