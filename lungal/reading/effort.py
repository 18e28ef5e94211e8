"""The time that readings took."""

from collections.abc import Iterable

from lungal.records import Annotation


def seconds_of(readings: Iterable[Annotation], idle_seconds: float) -> list[float]:
    """Return the seconds of each reading whose time is known, none more than `idle_seconds`.

    Label Studio counts on while a film lies open and nobody looks.
    """
    return [min(r.seconds, idle_seconds) for r in readings if r.seconds is not None]
