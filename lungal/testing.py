"""What every implementation of a seam must do, as pytest classes to inherit.

    class TestMyStrategy(AcquisitionContract):
        @pytest.fixture
        def acquisition(self) -> Acquisition:
            return MyStrategy()

A detector, a strategy or a store that is written elsewhere is held to the same promises.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from lungal.acquisition.protocol import Acquisition
from lungal.annotation.protocol import AnnotationStore, Notes
from lungal.boxes import why_impossible
from lungal.data.annotations import fold, from_json, to_json
from lungal.detectors.protocol import Detector
from lungal.reading.standing import standing
from lungal.records import CLASSES, Annotation, Detections, Image, Task

Read = Callable[[AnnotationStore], None]
Change = Callable[[AnnotationStore, str], None]


def make_film(image_id: str, width: int = 96, height: int = 96) -> Image:
    """Return a film of noise that depends on its name alone."""
    random = np.random.default_rng(list(image_id.encode()))
    return Image(image_id, random.integers(0, 256, (height, width), np.uint8))


def make_detections(image_id: str, count: int, width: int = 96, height: int = 96) -> Detections:
    """Return `count` valid detections that depend on the film's name alone, best first."""
    random = np.random.default_rng(list(image_id.encode()))
    corners = random.uniform(0, 0.45, (count, 2)), random.uniform(0.55, 1, (count, 2))
    side = np.array([width, height, width, height])
    class_scores = random.uniform(0.05, 0.95, (count, len(CLASSES))).astype(np.float32)
    class_scores = class_scores[np.argsort(-class_scores.max(axis=1), kind="stable")]
    return Detections(
        image_id,
        (np.hstack(corners) * side).astype(np.float32),
        class_scores.max(axis=1),
        class_scores.argmax(axis=1).astype(np.int32),
        class_scores,
    )


def make_task(
    image_id: str,
    *,
    round: int = 1,  # noqa: A002  the field's name
    rank: int = 1,
    readers: int = 1,
) -> Task:
    """Return a task for a 96x96 film with two pre-drawn boxes."""
    return Task(
        round=round,
        image_id=image_id,
        rank=rank,
        uncertainty=1 / (1 + rank),
        reason="least_confidence",
        model_version=f"r{round}-0a1b2c3d",
        width=96,
        height=96,
        detections=make_detections(image_id, 2),
        readers=readers,
    )


class DetectorContract:
    """Promises of lungal.detectors.protocol.Detector.

    Supply the fixture `detector`; override `films` where a detector needs films of another kind.
    """

    @pytest.fixture
    def detector(self) -> Detector:
        """Return the detector under test."""
        raise NotImplementedError("supply the fixture `detector`")

    @pytest.fixture
    def films(self) -> list[Image]:
        """Return films of several shapes, one of them black."""
        shapes = [("00000001_000", 96, 96), ("00000002_000", 128, 80), ("00000003_000", 64, 100)]
        black = Image("00000004_000", np.zeros((96, 96), np.uint8))
        return [*(make_film(*shape) for shape in shapes), black]

    def test_classes_are_named_once(self, detector: Detector) -> None:
        assert detector.classes
        assert len(set(detector.classes)) == len(detector.classes)

    def test_no_films_give_no_detections(self, detector: Detector) -> None:
        assert list(detector.detect([])) == []

    def test_each_film_is_answered_once_and_in_order(
        self, detector: Detector, films: list[Image]
    ) -> None:
        seen = detector.detect(film for film in films)
        assert [found.image_id for found in seen] == [film.image_id for film in films]

    def test_arrays_have_their_shapes_and_types(
        self, detector: Detector, films: list[Image]
    ) -> None:
        for found in detector.detect(films):
            count = len(found)
            assert found.boxes.shape == (count, 4)
            assert found.scores.shape == (count,)
            assert found.labels.shape == (count,)
            assert found.boxes.dtype == np.float32
            assert found.scores.dtype == np.float32
            assert found.labels.dtype == np.int32
            if found.class_scores is not None:
                assert found.class_scores.shape == (count, len(detector.classes))
                assert found.class_scores.dtype == np.float32

    def test_embeddings_are_there_for_all_films_or_for_none(
        self, detector: Detector, films: list[Image]
    ) -> None:
        embeddings = [found.embedding for found in detector.detect(films)]
        known = [embedding for embedding in embeddings if embedding is not None]
        assert len(known) in (0, len(films))
        assert len({embedding.shape for embedding in known}) <= 1
        for embedding in known:
            assert embedding.ndim == 1
            assert embedding.dtype == np.float32
            assert np.isfinite(embedding).all()

    def test_scores_are_probabilities_best_first(
        self, detector: Detector, films: list[Image]
    ) -> None:
        for found in detector.detect(films):
            assert np.all((found.scores >= 0) & (found.scores <= 1))
            assert np.all(np.diff(found.scores) <= 0)
            assert np.all((found.labels >= 0) & (found.labels < len(detector.classes)))
            if found.class_scores is not None:
                assert np.all((found.class_scores >= 0) & (found.class_scores <= 1))

    def test_boxes_lie_within_their_own_film(self, detector: Detector, films: list[Image]) -> None:
        for film, found in zip(films, detector.detect(films), strict=True):
            for box in found.boxes:
                assert why_impossible(box, film.width, film.height, slack=1e-3) is None

    def test_a_film_is_seen_alike_in_any_company(
        self, detector: Detector, films: list[Image]
    ) -> None:
        together = list(detector.detect(films))
        for film, expected in zip(films, together, strict=True):
            (alone,) = detector.detect([film])
            np.testing.assert_allclose(alone.scores, expected.scores, atol=1e-4)
            np.testing.assert_allclose(alone.boxes, expected.boxes, atol=0.05)
            if expected.embedding is not None:
                assert alone.embedding is not None
                np.testing.assert_allclose(alone.embedding, expected.embedding, atol=1e-4)

    def test_films_are_left_as_they_were(self, detector: Detector, films: list[Image]) -> None:
        before = [film.pixels.copy() for film in films]
        list(detector.detect(films))
        for pixels, film in zip(before, films, strict=True):
            np.testing.assert_array_equal(pixels, film.pixels)


class AcquisitionContract:
    """Promises of lungal.acquisition.protocol.Acquisition. Supply the fixture `acquisition`."""

    @pytest.fixture
    def acquisition(self) -> Acquisition:
        """Return the strategy under test."""
        raise NotImplementedError("supply the fixture `acquisition`")

    @pytest.mark.parametrize("count", [0, 1, 2, 100])
    def test_a_score_is_one_number_from_0_to_1(self, acquisition: Acquisition, count: int) -> None:
        score = acquisition(make_detections("00000001_000", count))
        assert isinstance(score, float)
        assert 0 <= score <= 1

    @pytest.mark.parametrize("certainty", [0.0, 1.0])
    def test_certain_detections_have_a_score_too(
        self, acquisition: Acquisition, certainty: float
    ) -> None:
        some = make_detections("00000001_000", 3)
        scores = np.full(3, certainty, np.float32)
        per_class = np.full((3, len(CLASSES)), certainty, np.float32)
        extreme = Detections(some.image_id, some.boxes, scores, some.labels, per_class)
        assert 0 <= acquisition(extreme) <= 1

    @pytest.mark.parametrize("count", [0, 1, 100])
    def test_a_score_is_explained_in_one_line(self, acquisition: Acquisition, count: int) -> None:
        words = acquisition.explain(make_detections("00000001_000", count))
        assert words.strip()
        assert "\n" not in words

    def test_the_same_detections_score_the_same(self, acquisition: Acquisition) -> None:
        films = [make_detections(f"{number:08d}_000", number % 4) for number in range(12)]
        forwards = [acquisition(film) for film in films]
        backwards = [acquisition(film) for film in reversed(films)]
        assert forwards == backwards[::-1]

    def test_detections_are_left_as_they_were(self, acquisition: Acquisition) -> None:
        given, untouched = (make_detections("00000001_000", 5) for _ in range(2))
        acquisition(given)
        np.testing.assert_array_equal(given.boxes, untouched.boxes)
        np.testing.assert_array_equal(given.scores, untouched.scores)
        np.testing.assert_array_equal(given.labels, untouched.labels)
        assert given.class_scores is not None
        assert untouched.class_scores is not None
        np.testing.assert_array_equal(given.class_scores, untouched.class_scores)


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
