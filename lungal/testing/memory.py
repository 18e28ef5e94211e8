"""An annotation store without a server: it lives as long as the test that makes it."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from lungal.annotation.protocol import Notes
from lungal.annotation.readings import deletion, utc
from lungal.reading.scripted import Reader
from lungal.records import Annotation, LabelledBox, Task, Verdict

EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
SOMEBODY = "user-1"

Key = tuple[int, str]  # round and image_id


class MemoryStore:
    """Keeps tasks and readings; see AnnotationStore.

    Its clock starts in the year 2000 and moves by a second per event, so that a test gives the
    same log each time it is run.
    """

    def __init__(self) -> None:
        self._tasks: dict[Key, Task] = {}
        self._readings: dict[str, Annotation] = {}  # thread to how the reading is now
        self._deleted: dict[str, str] = {}  # thread to when
        self._events = 0

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make tasks readable; see AnnotationStore."""
        new = {(task.round, task.image_id): task for task in tasks}
        new = {key: task for key, task in new.items() if key not in self._tasks}
        read = self._readers()
        for round_, image_id in new:
            for old in list(self._tasks):
                if old[1] == image_id and old[0] < round_ and not read[old]:
                    del self._tasks[old]
        self._tasks |= new
        return len(new)

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,  # noqa: ARG002  it always looks at everything
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        """Yield every reading as it is now, and every deletion of what the log knows."""
        if notes is not None:
            notes.links |= {thread: f"memory of {thread}" for thread in self._readings}
        yield from list(self._readings.values())
        threads: dict[str, list[Annotation]] = defaultdict(list)
        for known in log:
            threads[known.thread].append(known)
        for thread, moment in self._deleted.items():
            if thread in threads:
                last = max(threads[thread], key=lambda known: (known.at, known.source_id))
                yield last if last.verdict == "deleted" else deletion(last, moment)

    def unread(self, reader: str | None = None) -> list[Task]:
        """Return the tasks that want a reading, as a reader gets them: latest round, then rank.

        Args:
            reader: leave out what this one has read; None: whatever nobody has read.
        """
        read = self._readers()
        open_ = [
            task
            for key, task in self._tasks.items()
            if (not read[key] if reader is None else self._wants(task, reader, read[key]))
        ]
        return sorted(open_, key=lambda task: (-task.round, task.rank))

    def answer(
        self, reader: Reader, limit: int | None = None, *, name: str = SOMEBODY
    ) -> list[str]:
        """Let a scripted reader read, the first tasks first; return the image_ids it read."""
        tasks = self.unread(name)[:limit]
        for task in tasks:
            said = reader.read(task.image_id, task.width, task.height)
            self.read(task, said.verdict, said.boxes, seconds=said.seconds, reader=name)
        return [task.image_id for task in tasks]

    def read(
        self,
        task: Task,
        verdict: Verdict,
        boxes: Sequence[LabelledBox] = (),
        *,
        seconds: float | None = None,
        reader: str = SOMEBODY,
    ) -> Annotation:
        """Add a reading of a task and return it."""
        at = self._tick()
        reading = Annotation(
            source_id=f"memory-{task.round}-{task.image_id}-{self._events}@{at}",
            image_id=task.image_id,
            round=task.round,
            reader=reader,
            verdict=verdict,
            boxes=tuple(boxes),
            at=at,
            seconds=seconds,
            model_version=task.model_version,
        )
        self._readings[reading.thread] = reading
        return reading

    def edit(self, thread: str, verdict: Verdict, boxes: Sequence[LabelledBox] = ()) -> Annotation:
        """Change a reading and return it as it is now."""
        at = self._tick()
        self._readings[thread] = replace(
            self._readings[thread],
            source_id=f"{thread}@{at}",
            verdict=verdict,
            boxes=tuple(boxes),
            at=at,
        )
        return self._readings[thread]

    def delete(self, thread: str) -> None:
        """Take a reading back; its film is asked for again."""
        del self._readings[thread]
        self._deleted[thread] = self._tick()

    def _tick(self) -> str:
        self._events += 1
        return utc(EPOCH + timedelta(seconds=self._events))

    def _readers(self) -> dict[Key, set[str]]:
        read: dict[Key, set[str]] = defaultdict(set)
        for reading in self._readings.values():
            read[reading.round, reading.image_id].add(reading.reader)
        return read

    @staticmethod
    def _wants(task: Task, reader: str, read_by: set[str]) -> bool:
        return reader not in read_by and len(read_by) < task.readers
