"""How the benchmarks time: in turns, so that a busy machine is unfair to both sides alike."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """ours / theirs: below 1 is faster than the plain way."""

    median: float
    low: float
    high: float
    ours_seconds: float
    theirs_seconds: float

    def __str__(self) -> str:
        """Spell it as a line."""
        return (
            f"ratio {self.median:.2f} ({self.low:.2f}-{self.high:.2f}); "
            f"{self.ours_seconds:.3f} s against {self.theirs_seconds:.3f} s"
        )


def compare(ours: Callable[[], object], theirs: Callable[[], object], rounds: int = 5) -> Ratio:
    """Run both in turns, once to warm up, and return the ratio of their times."""
    pairs = [(seconds_of(ours), seconds_of(theirs)) for _ in range(rounds + 1)][1:]
    ratios = [a / b for a, b in pairs]
    return Ratio(
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(a for a, _ in pairs),
        statistics.median(b for _, b in pairs),
    )


def seconds_of(work: Callable[[], object]) -> float:
    """Return the seconds that some work takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
