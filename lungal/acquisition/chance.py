"""Random order: the baseline that every strategy has to beat."""

from dataclasses import dataclass
from hashlib import blake2b

from lungal.acquisition.evidence import Evidence


@dataclass(frozen=True, slots=True)
class Chance:
    """A score that depends on the seed and the film's name alone.

    A film keeps its score whatever else is in the pool and in whatever order it comes, so that
    two runs with the same seed differ only where their pools do.
    """

    seed: int

    def __call__(self, evidence: Evidence) -> float:
        """Return a number evenly distributed in [0, 1)."""
        drawn = blake2b(f"{self.seed}/{evidence.image_id}".encode(), digest_size=8).digest()
        return (int.from_bytes(drawn, "big") >> 11) / 2**53

    def explain(self, evidence: Evidence) -> str:
        """Say that chance chose the film."""
        return f"drawn at random with seed {self.seed} = {self(evidence):.2f}"
