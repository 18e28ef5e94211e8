"""An annotation store that lives as long as the process: for simulated rounds and for tests."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from lungal.annotation.oracle import Reader
from lungal.annotation.protocol import OnRefused
from lungal.annotation.readings import utc
from lungal.records import Annotation, LabelledBox, Task, Verdict

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


class MemoryStore:
    """Keeps tasks and readings; see AnnotationStore.

    Its clock starts in the year 2000 and moves by a second per reading, so that a simulation
    gives the same log each time it is run.
    """

    def __init__(self) -> None:
        self._tasks: dict[tuple[int, str], Task] = {}
        self._readings: list[Annotation] = []

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make tasks readable; see AnnotationStore."""
        new = {(task.round, task.image_id): task for task in tasks}
        new = {key: task for key, task in new.items() if key not in self._tasks}
        for round_, image_id in new:
            for old in self.unread():
                if old.image_id == image_id and old.round < round_:
                    del self._tasks[old.round, image_id]
        self._tasks |= new
        return len(new)

    def fetch(self, on_refused: OnRefused | None = None) -> Iterator[Annotation]:  # noqa: ARG002
        """Yield every reading; none is ever refused, see AnnotationStore."""
        yield from self._readings

    def unread(self) -> list[Task]:
        """Return the tasks without a reading, as a reader gets them: latest round, then rank."""
        read = {(reading.round, reading.image_id) for reading in self._readings}
        open_ = [task for key, task in self._tasks.items() if key not in read]
        return sorted(open_, key=lambda task: (-task.round, task.rank))

    def answer(self, reader: Reader, limit: int | None = None) -> list[str]:
        """Let a scripted reader read, the first tasks first; return the image_ids it read."""
        tasks = self.unread()[:limit]
        for task in tasks:
            said = reader.read(task.image_id, task.width, task.height)
            self.read(task, said.verdict, said.boxes, seconds=said.seconds)
        return [task.image_id for task in tasks]

    def read(
        self,
        task: Task,
        verdict: Verdict,
        boxes: Sequence[LabelledBox] = (),
        *,
        seconds: float | None = None,
        reader: str = "user-1",
    ) -> Annotation:
        """Add a reading of a task and return it."""
        number = len(self._readings) + 1
        at = utc(EPOCH + timedelta(seconds=number))
        reading = Annotation(
            source_id=f"memory-{task.round}-{task.image_id}-{number}@{at}",
            image_id=task.image_id,
            round=task.round,
            reader=reader,
            verdict=verdict,
            boxes=tuple(boxes),
            at=at,
            seconds=seconds,
            model_version=task.model_version,
        )
        self._readings.append(reading)
        return reading
