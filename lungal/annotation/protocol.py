"""The seam between lungal and wherever readers read."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from lungal.records import Annotation, Task


class AnnotationStore(Protocol):
    """Label Studio, a simulated reader, or memory."""

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make these tasks readable, most uncertain first; return how many were new.

        Idempotent by (round, image_id): submitting a task twice makes one task.

        Raises:
            ServerError: if the store cannot be reached; submit again, nothing is doubled.
        """
        ...

    def fetch(self) -> Iterator[Annotation]:
        """Yield every reading so far, each with a stable source_id, in no particular order."""
        ...
