"""The seam between lungal and wherever readers read."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lungal.records import Annotation, Task


@dataclass(frozen=True, slots=True)
class Refused:
    """A reading that cannot be trusted: where to look at it, and what is wrong with it."""

    link: str
    reason: str


OnRefused = Callable[[Refused], None]
"""Called for each reading that is refused; the others go on."""


class AnnotationStore(Protocol):
    """Label Studio, a simulated reader, or memory."""

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make these tasks readable, most uncertain first; return how many were new.

        Idempotent by (round, image_id): submitting a task twice makes one task. A film that is
        still unread from an earlier round is not asked for twice: its task moves to the new round,
        and counts as new there.

        Raises:
            ServerError: if the store cannot be reached; submit again, nothing is doubled.
        """
        ...

    def fetch(self, on_refused: OnRefused | None = None) -> Iterator[Annotation]:
        """Yield every reading so far, each with a stable source_id, in no particular order.

        Args:
            on_refused: told of each reading that cannot be trusted; it is not yielded.

        Raises:
            AnnotationError: at the first such reading, if there is no `on_refused`.
            ServerError: if the store cannot be reached.
        """
        ...
