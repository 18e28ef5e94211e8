"""Which readings say what is on a film, and the time that a reading took."""

from collections.abc import Iterable

from lungal.records import Annotation

OPINIONS = frozenset({"finding", "no_finding"})
"""Verdicts that say what is on a film. `unreadable` and `skipped` pass it on."""

PASSES = frozenset({"unreadable", "skipped"})
"""Verdicts by which a reader passes."""


def opinions(readings: Iterable[Annotation]) -> list[Annotation]:
    """Return the readings that say what is on their film, in the order given."""
    return [reading for reading in readings if reading.verdict in OPINIONS]


def seconds_of(readings: Iterable[Annotation], idle_seconds: float) -> list[float]:
    """Return the seconds of each reading whose time is known, none more than `idle_seconds`.

    Label Studio counts on while a film lies open and nobody looks.
    """
    return [min(r.seconds, idle_seconds) for r in readings if r.seconds is not None]
