"""What every store of annotations must do."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import pytest

from lungal.annotation.protocol import AnnotationStore, Notes
from lungal.boxes import why_impossible
from lungal.data.annotations import fold, from_json, to_json
from lungal.reading.standing import standing
from lungal.records import Annotation, Task
from lungal.testing.makers import make_task

Read = Callable[[AnnotationStore], None]
Change = Callable[[AnnotationStore, str], None]


class AnnotationStoreContract:
    """Promises of lungal.annotation.protocol.AnnotationStore.

    Supply the fixtures `store`, empty and fresh for each test, and what people do there: `read`
    makes a reader read all that is unread, `second` makes another reader read everything, `edit`
    changes whatever was said of a film, `delete` takes it back. And `tasks`, where the store knows
    only certain films.
    """

    @pytest.fixture
    def store(self) -> AnnotationStore:
        """Return the store under test."""
        raise NotImplementedError("supply the fixture `store`")

    @pytest.fixture
    def read(self) -> Read:
        """Return what makes a reader read what is unread."""
        raise NotImplementedError("supply the fixture `read`")

    @pytest.fixture
    def second(self) -> Read:
        """Return what makes another reader read every film that was submitted."""
        raise NotImplementedError("supply the fixture `second`")

    @pytest.fixture
    def edit(self) -> Change:
        """Return what changes all readings of a film, given its image_id."""
        raise NotImplementedError("supply the fixture `edit`")

    @pytest.fixture
    def delete(self) -> Change:
        """Return what deletes all readings of a film, given its image_id."""
        raise NotImplementedError("supply the fixture `delete`")

    @pytest.fixture
    def tasks(self) -> list[Task]:
        """Return at least three tasks of round 1, most uncertain first."""
        return [make_task(f"0000000{rank}_000", rank=rank, readers=2) for rank in (1, 2, 3)]

    def test_a_fresh_store_has_no_readings(self, store: AnnotationStore) -> None:
        assert list(store.fetch()) == []
        assert list(store.fetch(everything=True, notes=Notes())) == []

    def test_submitting_nothing_is_nothing_new(self, store: AnnotationStore) -> None:
        assert store.submit([]) == 0

    def test_a_task_is_new_once(self, store: AnnotationStore, tasks: Sequence[Task]) -> None:
        assert store.submit(tasks[:2]) == 2
        assert store.submit(tasks[:2]) == 0
        assert store.submit(tasks) == len(tasks) - 2

    def test_a_task_twice_in_one_call_is_one_task(
        self, store: AnnotationStore, tasks: Sequence[Task]
    ) -> None:
        assert store.submit([*tasks, tasks[0]]) == len(tasks)

    def test_a_film_that_was_read_may_be_asked_for_in_another_round(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        assert store.submit([replace(tasks[0], round=2)]) == 1
        read(store)
        rounds = {r.round for r in store.fetch() if r.image_id == tasks[0].image_id}
        assert rounds == {1, 2}

    def test_an_unread_film_moves_to_the_new_round(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        assert store.submit([replace(tasks[0], round=2)]) == 1
        read(store)
        rounds = {r.round for r in store.fetch() if r.image_id == tasks[0].image_id}
        assert rounds == {2}

    def test_what_was_submitted_can_be_read_and_nothing_else(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        assert list(store.fetch()) == []
        read(store)
        readings = list(store.fetch())
        assert {reading.image_id for reading in readings} == {task.image_id for task in tasks}
        assert {reading.round for reading in readings} == {1}

    def test_submitting_again_doubles_no_reading(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        before = _by_source(store)
        store.submit(tasks)
        assert _by_source(store) == before

    def test_a_reading_keeps_its_source_id_and_shares_it_with_none(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        readings = list(store.fetch())
        assert len({reading.source_id for reading in readings}) == len(readings)
        assert len({reading.thread for reading in readings}) == len(readings)
        assert _by_source(store) == {reading.source_id: reading for reading in readings}

    def test_each_reader_has_a_reading_of_their_own(
        self, store: AnnotationStore, read: Read, second: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        second(store)
        readings = list(store.fetch())
        assert len({reading.thread for reading in readings}) == len(readings) == 2 * len(tasks)
        films = {
            reader: [r.image_id for r in readings if r.reader == reader]
            for reader in {reading.reader for reading in readings}
        }
        assert len(films) == 2
        for read_by in films.values():
            assert sorted(read_by) == sorted(task.image_id for task in tasks)
        assert len(standing(readings)) == len(readings)

    def test_a_fetch_brings_all_that_the_log_lacks(
        self, store: AnnotationStore, read: Read, second: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        log = list(store.fetch())
        second(store)
        lacking = set(_by_source(store)) - {event.source_id for event in log}
        assert len(lacking) == len(tasks)
        assert lacking <= {event.source_id for event in store.fetch(log)}

    def test_an_edit_is_a_later_event_of_the_same_reading(
        self, store: AnnotationStore, read: Read, edit: Change, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        log = list(store.fetch())
        edit(store, tasks[0].image_id)
        (edited,) = _new(store, log)
        (before,) = [event for event in log if event.thread == edited.thread]
        assert edited.image_id == tasks[0].image_id
        assert edited.reader == before.reader
        assert standing([edited, *log]) == standing([*log[::-1], edited])
        assert edited in standing([edited, *log])
        assert before not in standing([edited, *log])
        assert _new(store, [*log, edited]) == []

    def test_a_deletion_ends_what_the_log_knows_and_nothing_else(
        self, store: AnnotationStore, read: Read, delete: Change, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        log = list(store.fetch())
        delete(store, tasks[0].image_id)
        (gone,) = _new(store, log)
        assert gone.verdict == "deleted"
        assert {r.image_id for r in standing([gone, *log])} == {t.image_id for t in tasks[1:]}
        assert _new(store, [*log, gone]) == []
        assert _new(store, [*log, gone], everything=True) == []
        # Whoever has never heard of it has nothing to take back.
        assert {event.image_id for event in store.fetch()} == {t.image_id for t in tasks[1:]}

    def test_a_film_that_was_read_anew_after_a_deletion_is_another_reading(
        self, store: AnnotationStore, read: Read, delete: Change, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        log = list(store.fetch())
        delete(store, tasks[0].image_id)
        read(store)
        new = _new(store, log)
        assert len({event.thread for event in new}) == len(new) == 2
        assert {r.image_id for r in standing([*new, *log])} == {t.image_id for t in tasks}

    def test_looking_at_everything_finds_all_that_changes_bring(
        self,
        store: AnnotationStore,
        read: Read,
        edit: Change,
        delete: Change,
        tasks: Sequence[Task],
    ) -> None:
        store.submit(tasks)
        read(store)
        log, notes = list(store.fetch()), Notes()
        edit(store, tasks[0].image_id)
        delete(store, tasks[1].image_id)
        changes = {event.source_id for event in _new(store, log)}
        whole = {event.source_id: event for event in store.fetch(log, everything=True, notes=notes)}
        assert changes == set(whole) - {event.source_id for event in log}
        assert notes.gone == []
        alive = {event.thread for event in whole.values() if event.verdict != "deleted"}
        assert alive <= set(notes.links)

    def test_readings_are_fit_for_the_log(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        store.submit(tasks)
        read(store)
        readings = list(store.fetch())
        assert [from_json(to_json(reading)) for reading in readings] == readings
        assert set(fold(readings)) == {task.image_id for task in tasks}
        for reading in readings:
            assert datetime.fromisoformat(reading.at).utcoffset() is not None

    def test_boxes_lie_within_their_film(
        self, store: AnnotationStore, read: Read, tasks: Sequence[Task]
    ) -> None:
        sizes = {task.image_id: (task.width, task.height) for task in tasks}
        store.submit(tasks)
        read(store)
        for reading in store.fetch():
            for box in reading.boxes:
                assert why_impossible(box.xyxy, *sizes[reading.image_id], slack=1e-3) is None


def _by_source(store: AnnotationStore) -> dict[str, Annotation]:
    return {reading.source_id: reading for reading in store.fetch()}


def _new(
    store: AnnotationStore, log: Sequence[Annotation], *, everything: bool = False
) -> list[Annotation]:
    known = {event.source_id for event in log}
    return [e for e in store.fetch(log, everything=everything) if e.source_id not in known]
