"""What verdicts and roles have in common: which say what is on a film, and which do not."""

from collections.abc import Iterable

from lungal.records import Annotation, Role, Verdict

OPINIONS: frozenset[Verdict] = frozenset({"finding", "no_finding"})
"""Verdicts that say what is on a film. `unreadable` and `skipped` pass it on."""

PASSES: frozenset[Verdict] = frozenset({"unreadable", "skipped"})
"""Verdicts by which a reader passes."""

NOT_READ: frozenset[Verdict] = frozenset({"deleted", "refused"})
"""Verdicts of events in which nobody has read a film."""

NOT_COMPARED: frozenset[Role] = frozenset({"adjudicate", "import"})
"""Roles whose readers were shown something else than the model's boxes, or nothing of ours."""


def opinions(readings: Iterable[Annotation]) -> list[Annotation]:
    """Return the readings that say what is on their film, in the order given."""
    return [reading for reading in readings if reading.verdict in OPINIONS]
