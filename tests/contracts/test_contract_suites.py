"""The contract suites of lungal.testing hold for an honest implementation and catch broken ones."""

import inspect
from dataclasses import replace

import numpy as np
import pytest

from lungal.acquisition.pool import as_choices
from lungal.acquisition.selectors.topk import one_a_patient
from lungal.errors import AnnotationError
from lungal.records import CLASSES, Annotation, Detections, LabelledBox
from lungal.testing import (
    AcquisitionContract,
    AnnotationStoreContract,
    DetectorContract,
    SelectorContract,
    make_detections,
    make_film,
    make_task,
)


class BrightestQuarter:
    """A pure detector: one box around the brightest quarter of a film, unless it is black."""

    classes = CLASSES

    def detect(self, images):
        for image in images:
            yield self.look(image)

    def look(self, image):
        middle, centre = image.height // 2, image.width // 2
        corners = [(x, y) for x in (0, centre) for y in (0, middle)]
        means = [image.pixels[y : y + middle, x : x + centre].mean() for x, y in corners]
        x, y = corners[int(np.argmax(means))]
        boxes = np.array([[x, y, x + centre, y + middle]], np.float32)
        scores = np.array([max(means) / 255], np.float32)
        labels = np.zeros(1, np.int32)
        seen = int(image.pixels.any())
        per_class = np.tile(scores[:, None], (1, len(CLASSES)))
        return Detections(
            image.image_id, boxes[:seen], scores[:seen], labels[:seen], per_class[:seen]
        )


class TestHonestDetector(DetectorContract):
    @pytest.fixture
    def detector(self):
        return BrightestQuarter()


class Backwards(BrightestQuarter):
    def detect(self, images):
        yield from reversed(list(super().detect(images)))


class Oversized(BrightestQuarter):
    def look(self, image):
        found = super().look(image)
        return replace(found, boxes=found.boxes * 2)


class Percent(BrightestQuarter):
    def look(self, image):
        found = super().look(image)
        return replace(found, scores=found.scores * 100)


class WideIntegers(BrightestQuarter):
    def look(self, image):
        found = super().look(image)
        return replace(found, labels=found.labels.astype(np.int64))


class Remembering(BrightestQuarter):
    seen = 0

    def look(self, image):
        self.seen += 1
        found = super().look(image)
        return replace(found, scores=found.scores / self.seen)


class Painting(BrightestQuarter):
    def look(self, image):
        found = super().look(image)
        image.pixels[0, 0] ^= 255
        return found


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Backwards, "test_each_film_is_answered_once_and_in_order"),
        (Oversized, "test_boxes_lie_within_their_own_film"),
        (Percent, "test_scores_are_probabilities_best_first"),
        (WideIntegers, "test_arrays_have_their_shapes_and_types"),
        (Remembering, "test_a_film_is_seen_alike_in_any_company"),
        (Painting, "test_films_are_left_as_they_were"),
    ],
)
def test_a_broken_detector_is_caught(broken, check):
    films = [make_film("00000001_000"), make_film("00000002_000", 60, 40)]
    with pytest.raises(AssertionError):
        getattr(DetectorContract(), check)(broken(), films)


class MeanScore:
    def __call__(self, evidence):
        return float(evidence.detections.scores.mean()) if len(evidence.detections) else 0.0

    def explain(self, evidence):
        return f"mean of {len(evidence.detections)} scores"


class TestHonestStrategy(AcquisitionContract):
    @pytest.fixture
    def acquisition(self):
        return MeanScore()


class NotANumber(MeanScore):
    def __call__(self, evidence):
        return float(
            np.sum(evidence.detections.scores) / np.float64(len(evidence.detections) or np.nan)
        )


class Unbounded(MeanScore):
    def __call__(self, evidence):
        return float(evidence.detections.scores.sum())


class Silent(MeanScore):
    def explain(self, evidence):
        return ""


@pytest.mark.parametrize(
    ("broken", "check", "count"),
    [
        (NotANumber, "test_a_score_is_one_number_from_0_to_1", 0),
        (Unbounded, "test_a_score_is_one_number_from_0_to_1", 100),
        (Silent, "test_a_score_is_explained_in_one_line", 1),
    ],
)
def test_a_broken_strategy_is_caught(broken, check, count):
    with pytest.raises(AssertionError):
        getattr(AcquisitionContract(), check)(broken(), count)


class Growing(MeanScore):
    calls = 0

    def __call__(self, evidence):
        self.calls += 1
        return 1 - 1 / self.calls


class Thresholding(MeanScore):
    def __call__(self, evidence):
        evidence.detections.scores[evidence.detections.scores < 0.9] = 0
        return super().__call__(evidence)


def test_a_strategy_with_a_memory_or_a_heavy_hand_is_caught():
    with pytest.raises(AssertionError):
        AcquisitionContract().test_the_same_evidence_scores_the_same(Growing())
    with pytest.raises(AssertionError):
        AcquisitionContract().test_detections_are_left_as_they_were(Thresholding())


class FirstOnes:
    """Honest: takes films as they come, one a patient."""

    def __call__(self, pool, budget, *, seed, number):
        return as_choices(pool, list(one_a_patient(range(len(pool)), pool))[:budget])


class TestHonestSelector(SelectorContract):
    @pytest.fixture
    def selector(self):
        return FirstOnes()


class Doubling(FirstOnes):
    def __call__(self, pool, budget, **lots):
        films = list(range(len(pool)))[:budget]
        return as_choices(pool, [films[0], *films[:-1]] if films else [])


class Forgetful(FirstOnes):
    def __call__(self, pool, budget, **lots):
        return [replace(c, score=0.5) for c in super().__call__(pool, budget, **lots)]


class Stingy(FirstOnes):
    def __call__(self, pool, budget, **lots):
        return super().__call__(pool, max(1, budget - 1), **lots)


class Generous(FirstOnes):
    def __call__(self, pool, budget, **lots):
        return as_choices(pool, list(range(len(pool)))[:budget])


class Wavering(FirstOnes):
    calls = 0

    def __call__(self, pool, budget, **lots):
        self.calls += 1
        return as_choices(pool, list(range(len(pool)))[self.calls : self.calls + budget])


class Marking(FirstOnes):
    def __call__(self, pool, budget, **lots):
        pool.scores[:] = 0
        return super().__call__(pool, budget, **lots)


class Raw(FirstOnes):
    def __call__(self, pool, budget, **lots):
        return super().__call__(pool, len(pool.embeddings[:budget]), **lots)


@pytest.mark.parametrize(
    ("broken", "check", "arguments"),
    [
        (Doubling, "test_choices_are_films_of_the_pool_as_they_are", {}),
        (Forgetful, "test_choices_are_films_of_the_pool_as_they_are", {}),
        (Stingy, "test_a_budget_beyond_the_pool_takes_all_there_is", {"films": 13, "alone": False}),
        (Stingy, "test_a_cold_start_without_labelled_films_is_legal", {}),
        (Generous, "test_a_patient_is_chosen_once_where_that_is_the_rule", {"alone": True}),
        (Wavering, "test_the_same_seed_chooses_the_same", {}),
        (Marking, "test_the_pool_is_left_as_it_was", {}),
    ],
)
def test_a_broken_selector_is_caught(broken, check, arguments):
    with pytest.raises(AssertionError):
        getattr(SelectorContract(), check)(broken(), **arguments)


def test_a_selector_that_falls_over_without_embeddings_is_caught():
    with pytest.raises(TypeError):
        SelectorContract().test_without_embeddings_it_works_or_says_what_it_needs(Raw())


class Ledger:
    """An honest store in fifty lines; faults are added by subclasses."""

    def __init__(self):
        self.tasks = {}
        self.readings = {}
        self.deleted = {}
        self.seconds = 0

    def submit(self, tasks):
        new = {(t.round, t.image_id): t for t in tasks if (t.round, t.image_id) not in self.tasks}
        moved, read = {image_id for _, image_id in new}, {key[:2] for key in self.readings}
        self.tasks = {k: t for k, t in self.tasks.items() if k in read or k[1] not in moved}
        self.tasks |= new
        return len(new)

    def fetch(self, log=(), *, everything=False, notes=None):
        known = {event.thread for event in log}
        if notes is not None:
            notes.links |= {reading.thread: "here" for reading in self.readings.values()}
        yield from self.readings.values()
        yield from (event for thread, event in self.deleted.items() if thread in known)

    def read(self, reader="r1"):
        for key, task in self.tasks.items():
            if (*key, reader) not in self.readings:
                self.readings[(*key, reader)] = self.reading(task, reader)

    def reading(self, task, reader):
        box, at = LabelledBox("Mass", 1.0, 2.0, task.width / 2, task.height / 2), self.tick()
        name = f"{task.round}-{task.image_id}-{reader}-{self.seconds}@{at}"
        return Annotation(name, task.image_id, task.round, reader, "finding", (box,), at)

    def second(self):
        self.read("r2")

    def edit(self, image_id):
        for key in [key for key in self.readings if key[1] == image_id]:
            old, at = self.readings[key], self.tick()
            self.readings[key] = replace(
                old, source_id=f"{old.thread}@{at}", verdict="no_finding", boxes=(), at=at
            )

    def delete(self, image_id):
        for key in [key for key in self.readings if key[1] == image_id]:
            old, at = self.readings.pop(key), self.tick()
            self.deleted[old.thread] = replace(
                old, source_id=f"{old.thread}@deleted-{at}", verdict="deleted", boxes=(), at=at
            )

    def tick(self):
        self.seconds += 1
        return f"2026-11-23T10:00:{self.seconds:02d}+00:00"


class TestHonestStore(AnnotationStoreContract):
    @pytest.fixture
    def store(self):
        return Ledger()

    @pytest.fixture
    def read(self):
        return Ledger.read

    @pytest.fixture
    def second(self):
        return Ledger.second

    @pytest.fixture
    def edit(self):
        return Ledger.edit

    @pytest.fixture
    def delete(self):
        return Ledger.delete


class Doubling(Ledger):
    def submit(self, tasks):
        super().submit(tasks)
        return len(tasks)


class Renaming(Ledger):
    fetched = 0

    def fetch(self, log=(), **how):
        self.fetched += 1
        for reading in super().fetch(log, **how):
            yield replace(reading, source_id=f"{reading.source_id}-{self.fetched}")


class Nameless(Ledger):
    def reading(self, task, reader):
        return replace(super().reading(task, reader), source_id="reading")


class Forgetful(Ledger):
    def fetch(self, log=(), **how):
        yield from list(super().fetch(log, **how))[1:]


class Sloppy(Ledger):
    def reading(self, task, reader):
        box = LabelledBox("Mass", 1.0, 2.0, task.width + 9.0, 50.0)
        return replace(super().reading(task, reader), boxes=(box,))


class Clockless(Ledger):
    def reading(self, task, reader):
        return replace(super().reading(task, reader), at="2026-11-23T10:00:00")


class Insistent(Ledger):
    def submit(self, tasks):
        before = dict(self.tasks)
        count = super().submit(tasks)
        self.tasks = before | self.tasks
        return count


class OneChair(Ledger):
    def read(self, reader="r1"):
        for key in [key for key in self.readings if key[2] != reader]:
            self.readings[(*key[:2], reader)] = replace(self.readings.pop(key), reader=reader)
        super().read(reader)


class Crowd(Ledger):
    def reading(self, task, reader):
        return replace(super().reading(task, reader), reader="somebody")


class Hasty(Ledger):
    """Takes the log's last moment for the moment up to which the log is complete."""

    def fetch(self, log=(), **how):
        last = max((event.at for event in log if "r2" not in event.thread), default="")
        yield from (e for e in super().fetch(log, **how) if e.reader != "r2" or e.at < last)


class Rewriting(Ledger):
    def edit(self, image_id):
        before = dict(self.readings)
        super().edit(image_id)
        self.readings = {
            key: replace(reading, source_id=before[key].source_id)
            for key, reading in self.readings.items()
        }


class Backdating(Ledger):
    def edit(self, image_id):
        super().edit(image_id)
        self.readings = {
            key: replace(reading, at="2026-11-23T09:00:00+00:00") if key[1] == image_id else reading
            for key, reading in self.readings.items()
        }


class Reticent(Ledger):
    """Tells nobody that a reading was taken back."""

    def fetch(self, log=(), **how):
        yield from (e for e in super().fetch(log, **how) if e.verdict != "deleted")


class Loud(Ledger):
    """Takes back what nobody has heard of."""

    def fetch(self, log=(), **how):
        yield from super().fetch([*log, *self.deleted.values()], **how)


class Sweeping(Ledger):
    def delete(self, image_id):
        for _, film, _ in list(self.readings):
            super().delete(film)


class Shortsighted(Ledger):
    """Looks at everything and misses the deletions."""

    def fetch(self, log=(), *, everything=False, notes=None):
        yield from super().fetch(() if everything else log, notes=notes)


class Reusing(Ledger):
    def reading(self, task, reader):
        made = super().reading(task, reader)
        return replace(made, source_id=f"{task.round}-{task.image_id}-{reader}@{made.at}")


@pytest.mark.parametrize(
    ("broken", "check"),
    [
        (Renaming, "test_a_reading_keeps_its_source_id_and_shares_it_with_none"),
        (Nameless, "test_a_reading_keeps_its_source_id_and_shares_it_with_none"),
        (Forgetful, "test_what_was_submitted_can_be_read_and_nothing_else"),
        (Sloppy, "test_boxes_lie_within_their_film"),
        (Clockless, "test_readings_are_fit_for_the_log"),
        (Insistent, "test_an_unread_film_moves_to_the_new_round"),
        (Renaming, "test_submitting_again_doubles_no_reading"),
        (OneChair, "test_each_reader_has_a_reading_of_their_own"),
        (Crowd, "test_each_reader_has_a_reading_of_their_own"),
        (Hasty, "test_a_fetch_brings_all_that_the_log_lacks"),
        (Rewriting, "test_an_edit_is_a_later_event_of_the_same_reading"),
        (Backdating, "test_an_edit_is_a_later_event_of_the_same_reading"),
        (Reticent, "test_a_deletion_ends_what_the_log_knows_and_nothing_else"),
        (Loud, "test_a_deletion_ends_what_the_log_knows_and_nothing_else"),
        (Sweeping, "test_a_deletion_ends_what_the_log_knows_and_nothing_else"),
        (Reusing, "test_a_film_that_was_read_anew_after_a_deletion_is_another_reading"),
        (Shortsighted, "test_looking_at_everything_finds_all_that_changes_bring"),
    ],
)
def test_a_broken_store_is_caught(broken, check):
    tasks = [make_task(f"0000000{rank}_000", rank=rank, readers=2) for rank in (1, 2, 3)]
    hands = {
        "read": broken.read,
        "second": broken.second,
        "edit": broken.edit,
        "delete": broken.delete,
    }
    promise = getattr(AnnotationStoreContract(), check)
    wanted = set(inspect.signature(promise).parameters) & set(hands)
    with pytest.raises((AssertionError, AnnotationError, ValueError)):
        promise(store=broken(), tasks=tasks, **{name: hands[name] for name in wanted})


def test_a_store_that_counts_tasks_twice_is_caught():
    tasks = [make_task(f"0000000{rank}_000", rank=rank) for rank in (1, 2, 3)]
    with pytest.raises(AssertionError):
        AnnotationStoreContract().test_a_task_is_new_once(Doubling(), tasks)


def test_made_detections_keep_the_promises_of_a_detector():
    found = make_detections("00000001_000", 20, width=50, height=80)
    assert np.all(np.diff(found.scores) <= 0)
    assert np.all(found.boxes[:, 2:] > found.boxes[:, :2])
    assert np.all(found.boxes <= [50, 80, 50, 80])
    np.testing.assert_array_equal(found.labels, found.class_scores.argmax(axis=1))
