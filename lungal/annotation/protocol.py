"""The seam between lungal and wherever readers read."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from lungal.records import Annotation, Task


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that cannot be trusted: where to look at it, and what is wrong with it."""

    thread: str
    link: str  # its thread, if it was not seen this time
    reason: str


@dataclass(slots=True)
class Notes:
    """What a fetch sees beside the events; it writes here.

    Attributes:
        links: thread to where a person can look at it, of all readings that were seen.
        strangers: links of readings that lungal never asked for; they become no events.
        gone: threads of the log whose whole task is no longer there. Their readings still stand.
            Noticed only when everything is looked at.
        absent: what to tell whoever looks for a project that is not there; "" if it is.
    """

    links: dict[str, str] = field(default_factory=dict)
    strangers: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    absent: str = ""


class AnnotationStore(Protocol):
    """Where tasks are read: Label Studio, or, in tests, lungal.testing.MemoryStore."""

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make these tasks readable, most uncertain first; return how many were new.

        Idempotent by (round, image_id): submitting a task twice makes one task. A film that is
        still unread from an earlier round is not asked for twice: its task moves to the new round,
        and counts as new there.

        Raises:
            ServerError: if the store cannot be reached; submit again, nothing is doubled.
        """
        ...

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        """Yield the events that happened since the log was last brought up to date.

        An event is a reading saved or edited, skipped or called unreadable; one that is refused
        (verdict "refused", the comment says why); one that was deleted, if the log knows it. Each
        has a source_id of its own for good, all of one reading share their `thread`, and a later
        one has a later `at`. They come in no particular order. What the log knows may come again;
        what it lacks comes now, or, if it happens meanwhile, with the next fetch.

        Args:
            log: the events that are known; those of other stores do no harm.
            everything: look at all readings, not only at those that changed.
            notes: filled while the events come.

        Raises:
            ServerError: if the store cannot be reached; what was yielded is true all the same.
        """
        ...
