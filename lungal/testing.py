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

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Pool
from lungal.acquisition.protocol import Acquisition, Selector
from lungal.annotation.protocol import AnnotationStore, Notes
from lungal.boxes import why_impossible
from lungal.data.annotations import fold, from_json, to_json
from lungal.detectors.protocol import Detector
from lungal.errors import SelectionError
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


def make_evidence(image_id: str, count: int) -> Evidence:
    """Return evidence of `count` detections, two views and two others' detections of a film."""
    seen = make_detections(image_id, count)

    def again(name: str) -> Detections:
        random = np.random.default_rng(list(f"{image_id} {name}".encode()))
        shift = random.normal(0, 4, seen.boxes.shape).astype(np.float32)
        factor = random.uniform(0.7, 1.0)
        assert seen.class_scores is not None
        return replace(
            seen,
            boxes=seen.boxes + shift,
            scores=(seen.scores * factor).astype(np.float32),
            class_scores=(seen.class_scores * factor).astype(np.float32),
        )

    return Evidence(
        seen,
        views=(again("brighter"), again("darker")),
        committee=(again("second"), make_detections(f"{image_id} third", count)),
        findings=frozenset({CLASSES[count % len(CLASSES)]}),
    )


def make_pool(films: int, *, labelled: int = 6, length: int = 8, doubts: bool = True) -> Pool:
    """Return a pool of so many films, two of each patient, that depends on the numbers alone.

    Args:
        films: of the pool.
        labelled: films whose embeddings are known as well.
        length: of an embedding.
        doubts: whether the strategy's scores by class are known.
    """
    random = np.random.default_rng([films, labelled, length])
    names = tuple(f"{number // 2:08d}_{number % 2:03d}" for number in range(films))
    shown = random.random((films, len(CLASSES))) < 0.25
    class_scores = np.where(shown, random.uniform(0.05, 1, shown.shape), 0).astype(np.float32)
    known = random.random(films) < 0.8
    return Pool(
        image_ids=names,
        patients=tuple(name[:8] for name in names),
        scores=random.uniform(0, 1, films),
        class_scores=class_scores,
        findings=(random.random(shown.shape) < 0.2) & known[:, None],
        known=known,
        labelled_class_scores=random.uniform(0, 1, (labelled, len(CLASSES))).astype(np.float32),
        embeddings=random.normal(0, 1, (films, length)).astype(np.float32),
        labelled_embeddings=random.normal(0, 1, (labelled, length)).astype(np.float32),
        class_doubts=np.where(shown, 1 - class_scores, 0).astype(np.float32) if doubts else None,
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
        score = acquisition(make_evidence("00000001_000", count))
        assert isinstance(score, float)
        assert 0 <= score <= 1

    @pytest.mark.parametrize("certainty", [0.0, 1.0])
    def test_certain_detections_have_a_score_too(
        self, acquisition: Acquisition, certainty: float
    ) -> None:
        extreme = _certain(make_evidence("00000001_000", 3), certainty)
        assert 0 <= acquisition(extreme) <= 1

    @pytest.mark.parametrize("findings", [None, frozenset[str](), frozenset(CLASSES)])
    def test_any_report_is_legal(
        self, acquisition: Acquisition, findings: frozenset[str] | None
    ) -> None:
        for count in (0, 3):
            evidence = replace(make_evidence("00000001_000", count), findings=findings)
            assert 0 <= acquisition(evidence) <= 1
            assert acquisition.explain(evidence).strip()

    @pytest.mark.parametrize("count", [0, 1, 100])
    def test_a_score_is_explained_in_one_line(self, acquisition: Acquisition, count: int) -> None:
        words = acquisition.explain(make_evidence("00000001_000", count))
        assert words.strip()
        assert "\n" not in words

    def test_scores_of_the_other_classes_need_not_be_known(self, acquisition: Acquisition) -> None:
        evidence = make_evidence("00000001_000", 3)
        less = Evidence(
            replace(evidence.detections, class_scores=None),
            tuple(replace(view, class_scores=None) for view in evidence.views),
            tuple(replace(member, class_scores=None) for member in evidence.committee),
            evidence.findings,
        )
        assert 0 <= acquisition(less) <= 1

    def test_the_same_evidence_scores_the_same(self, acquisition: Acquisition) -> None:
        films = [make_evidence(f"{number:08d}_000", number % 4) for number in range(12)]
        forwards = [acquisition(film) for film in films]
        backwards = [acquisition(film) for film in reversed(films)]
        assert forwards == backwards[::-1]

    def test_detections_are_left_as_they_were(self, acquisition: Acquisition) -> None:
        given, untouched = (make_evidence("00000001_000", 5) for _ in range(2))
        acquisition(given)
        acquisition.explain(given)
        for mine, before in zip(_all(given), _all(untouched), strict=True):
            np.testing.assert_array_equal(mine.boxes, before.boxes)
            np.testing.assert_array_equal(mine.scores, before.scores)
            np.testing.assert_array_equal(mine.labels, before.labels)
            assert mine.class_scores is not None
            assert before.class_scores is not None
            np.testing.assert_array_equal(mine.class_scores, before.class_scores)


class SelectorContract:
    """Promises of lungal.acquisition.protocol.Selector. Supply the fixture `selector`.

    Override `alone` if the selector was told that a patient's second film is no matter.
    """

    @pytest.fixture
    def selector(self) -> Selector:
        """Return the selector under test."""
        raise NotImplementedError("supply the fixture `selector`")

    @pytest.fixture
    def alone(self) -> bool:
        """Return whether the selector takes no patient's second film."""
        return True

    def test_choices_are_films_of_the_pool_as_they_are(self, selector: Selector) -> None:
        pool = make_pool(40)
        choices = selector(pool, 7, seed=0, number=1)
        assert [choice.rank for choice in choices] == list(range(1, 8))
        assert len({choice.image_id for choice in choices}) == 7
        for choice in choices:
            film = pool.image_ids.index(choice.image_id)
            assert choice.patient_id == pool.patients[film]
            assert choice.score == pool.scores[film]

    def test_a_receipt_holds_numbers_and_words(self, selector: Selector) -> None:
        for choice in selector(make_pool(40), 7, seed=0, number=1):
            for name, value in choice.components.items():
                assert name
                assert isinstance(value, (int, float, str))
                assert isinstance(value, str) or not np.isnan(value)

    def test_the_same_seed_chooses_the_same(self, selector: Selector) -> None:
        first = selector(make_pool(60), 9, seed=3, number=2)
        assert selector(make_pool(60), 9, seed=3, number=2) == first

    def test_an_empty_pool_gives_no_choice(self, selector: Selector) -> None:
        assert selector(make_pool(0), 5, seed=0, number=1) == []

    def test_no_budget_gives_no_choice(self, selector: Selector) -> None:
        assert selector(make_pool(10), 0, seed=0, number=1) == []

    @pytest.mark.parametrize("films", [1, 2, 13])
    def test_a_budget_beyond_the_pool_takes_all_there_is(
        self, selector: Selector, films: int, *, alone: bool
    ) -> None:
        pool = make_pool(films)
        choices = selector(pool, 50, seed=0, number=1)
        assert len(choices) == (len(set(pool.patients)) if alone else films)

    def test_a_patient_is_chosen_once_where_that_is_the_rule(
        self, selector: Selector, *, alone: bool
    ) -> None:
        choices = selector(make_pool(30), 12, seed=0, number=1)
        if alone:
            assert len({choice.patient_id for choice in choices}) == len(choices)

    def test_a_cold_start_without_labelled_films_is_legal(self, selector: Selector) -> None:
        assert len(selector(make_pool(30, labelled=0), 5, seed=0, number=1)) == 5

    def test_films_that_show_and_report_nothing_are_legal(self, selector: Selector) -> None:
        pool = make_pool(30)
        nothing = replace(
            pool,
            scores=np.zeros(30),
            class_scores=np.zeros_like(pool.class_scores),
            class_doubts=np.zeros_like(pool.class_scores),
            findings=np.zeros_like(pool.findings),
            known=np.zeros_like(pool.known),
        )
        assert len(selector(nothing, 5, seed=0, number=1)) == 5

    def test_twins_are_legal(self, selector: Selector) -> None:
        pool = make_pool(30)
        assert pool.embeddings is not None
        same = replace(pool, embeddings=np.tile(pool.embeddings[:1], (30, 1)))
        assert len(selector(same, 5, seed=0, number=1)) == 5

    def test_without_embeddings_it_works_or_says_what_it_needs(self, selector: Selector) -> None:
        pool = replace(make_pool(20), embeddings=None, labelled_embeddings=None)
        try:
            assert len(selector(pool, 5, seed=0, number=1)) == 5
        except SelectionError as error:
            assert "embedding" in str(error)  # noqa: PT017  both ways are right

    def test_the_pool_is_left_as_it_was(self, selector: Selector) -> None:
        given, untouched = make_pool(30), make_pool(30)
        selector(given, 5, seed=0, number=1)
        for name in ("scores", "class_scores", "class_doubts", "findings", "known", "embeddings"):
            np.testing.assert_array_equal(getattr(given, name), getattr(untouched, name))


def _certain(evidence: Evidence, certainty: float) -> Evidence:
    def sure(seen: Detections) -> Detections:
        return replace(
            seen,
            scores=np.full(len(seen), certainty, np.float32),
            class_scores=np.full((len(seen), len(CLASSES)), certainty, np.float32),
        )

    return Evidence(
        sure(evidence.detections),
        tuple(sure(view) for view in evidence.views),
        tuple(sure(member) for member in evidence.committee),
        evidence.findings,
    )


def _all(evidence: Evidence) -> list[Detections]:
    return [evidence.detections, *evidence.views, *evidence.committee]


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
