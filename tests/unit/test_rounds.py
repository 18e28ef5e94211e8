"""Pulling a round, with an annotation store in memory."""

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pandas as pd
import pytest

from lungal.annotation.protocol import Notes, Refused
from lungal.annotation.readings import deletion, refusal
from lungal.data.annotations import read_log
from lungal.errors import ServerError
from lungal.reading.refusals import waiting
from lungal.reading.scripted import Reader
from lungal.reading.standing import standing
from lungal.records import Annotation, Asked, LabelledBox, Role, SeenBox
from lungal.rounds.pull import Film, known_films, pull
from lungal.testing import MemoryStore, make_task

NAMES = [f"0000000{n}_000" for n in (1, 2, 3)]
MASS = LabelledBox("Mass", 10, 10, 40, 50)
KNOWN = {name: Film(96, 96, "train") for name in NAMES}
SEEN = (SeenBox("Mass", 10, 10, 40, 50, 0.9), SeenBox("Nodule", 60, 60, 70, 70, 0.4))
AT = "2026-11-23T10:00:00.000000Z"


def asked(name: str = NAMES[0], *, role: Role = "label", blind: bool = False, **more) -> Asked:
    plain = Asked(
        round=1,
        image_id=name,
        rank=1,
        uncertainty=0.5,
        reason="doubt",
        model_version="r1-0a1b2c3d",
        role=role,
        blind=blind,
        readers=1,
        seen=SEEN,
        at=AT,
    )
    return replace(plain, **more)


class Failing(MemoryStore):
    """Goes down after the first reading."""

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        yield next(super().fetch(log))
        raise ServerError("down")


class Doubting(MemoryStore):
    """Does not trust what is said of the first film, as long as it doubts."""

    doubts = True

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        for event in super().fetch(log, everything=everything, notes=notes):
            doubtful = event.image_id == NAMES[0] and event.verdict == "finding" and self.doubts
            yield refusal(event, "rotated") if doubtful else event


class Odd(MemoryStore):
    """Has seen readings of other people's films, and misses a task."""

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        yield from super().fetch(log, everything=everything, notes=notes)
        assert notes is not None
        notes.strangers.append("http://ls/projects/1/data?task=9")
        if everything:
            notes.gone.append("ls-1-7")


class Given(MemoryStore):
    """Says what it is given."""

    def __init__(self, events: Iterable[Annotation]) -> None:
        super().__init__()
        self.given = list(events)

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        yield from self.given


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "annotations.jsonl"


def read_all(store: MemoryStore) -> MemoryStore:
    store.submit([make_task(name, rank=n, readers=2) for n, name in enumerate(NAMES, start=1)])
    store.answer(Reader({NAMES[0]: (MASS,), NAMES[1]: ()}, miss_rate=0, jitter=0))
    return store


class TestPull:
    def test_every_reading_comes_in_once(self, log: Path) -> None:
        store = read_all(MemoryStore())
        report = pull(store, log, KNOWN)
        assert {r.image_id: r.verdict for r in report.new} == dict(
            zip(NAMES, ("finding", "no_finding", "skipped"), strict=True)
        )
        assert {report.kind(event) for event in report.new} == {"reading"}
        assert set(read_log(log)) == set(store.fetch())
        before = log.read_bytes()
        again = pull(store, log, KNOWN)
        assert (again.new, again.known, again.refused) == ((), 3, ())
        assert log.read_bytes() == before

    def test_what_the_queue_does_not_know_waits_and_is_no_label(self, log: Path) -> None:
        store = read_all(MemoryStore())
        lines = [asked(name) for name in NAMES[1:]]  # of a clone that lacks a colleague's line
        report = pull(store, log, KNOWN, lines)
        assert [event.image_id for event in report.refusals] == [NAMES[0]]
        assert "git pull" in report.refused[0].reason
        assert NAMES[0] not in {reading.image_id for reading in standing(read_log(log))}
        known_case = asked(NAMES[0], role="control")
        mended = pull(store, log, KNOWN, [known_case, *lines], everything=True)
        assert [(event.image_id, event.role) for event in mended.new] == [(NAMES[0], "control")]
        assert mended.refused == ()
        assert pull(store, log, KNOWN, [], everything=True).new == (), "what was good stays so"

    def test_events_are_written_in_the_order_in_which_they_happened(self, log: Path) -> None:
        pull(read_all(MemoryStore()), log, KNOWN)
        moments = [event.at for event in read_log(log)]
        assert moments == sorted(moments)

    def test_a_second_reader_is_another_reading(self, log: Path) -> None:
        store = read_all(MemoryStore())
        pull(store, log, KNOWN)
        store.answer(Reader({NAMES[0]: ()}), limit=1, name="user-2")
        (new,) = pull(store, log, KNOWN).new
        assert (new.image_id, new.reader, new.verdict) == (NAMES[0], "user-2", "no_finding")
        assert len(standing(read_log(log))) == 4

    def test_an_edit_is_another_line_and_rewrites_none(self, log: Path) -> None:
        store = read_all(MemoryStore())
        (first, *_) = pull(store, log, KNOWN).new
        before = log.read_bytes()
        store.edit(first.thread, "no_finding")
        report = pull(store, log, KNOWN)
        assert [report.kind(event) for event in report.new] == ["edit"]
        assert log.read_bytes().startswith(before)
        assert {r.verdict for r in standing(read_log(log))} == {"no_finding", "skipped"}

    def test_a_deletion_is_another_line_and_the_film_is_unread(self, log: Path) -> None:
        store = read_all(MemoryStore())
        (first, *_) = pull(store, log, KNOWN).new
        store.delete(first.thread)
        report = pull(store, log, KNOWN)
        assert [report.kind(event) for event in report.new] == ["deletion"]
        assert {r.image_id for r in standing(read_log(log))} == set(NAMES[1:])
        assert pull(store, log, KNOWN, everything=True).new == ()

    def test_a_dry_run_tells_and_writes_nothing(self, log: Path) -> None:
        store = read_all(Doubting())
        told = pull(store, log, KNOWN, dry=True)
        assert not log.exists()
        done = pull(store, log, KNOWN)
        assert (told.new, told.refusals, told.refused) == (done.new, done.refusals, done.refused)

    def test_a_server_that_goes_down_leaves_the_log_alone(self, log: Path) -> None:
        with pytest.raises(ServerError):
            pull(read_all(Failing()), log, KNOWN)
        assert not log.exists()

    def test_what_else_was_seen_is_told(self, log: Path) -> None:
        report = pull(read_all(Odd()), log, KNOWN, everything=True)
        assert report.strangers == ("http://ls/projects/1/data?task=9",)
        assert report.gone == ("ls-1-7",)
        assert len(read_log(log)) == 3

    def test_films_are_known_by_manifest_and_splits(self) -> None:
        manifest = pd.DataFrame({"image_id": ["a"], "width": [10], "height": [20]})
        splits = pd.DataFrame({"image_id": ["a"], "patient_id": ["p"], "split": ["val"]})
        assert known_films(manifest, splits) == {"a": Film(10, 20, "val")}


class TestRefusals:
    @pytest.mark.parametrize(
        ("film", "reason"),
        [
            (None, "not in the manifest"),
            (Film(96, 96, "test"), r"held out \(test\)"),
            (Film(96, 96, "val"), r"held out \(val\)"),
            (Film(30, 30, "train"), "outside the 30x30 film"),
        ],
    )
    def test_one_bad_reading_stops_no_other_and_is_not_lost(
        self, log: Path, film: Film | None, reason: str
    ) -> None:
        store = read_all(MemoryStore())
        films = {name: known for name, known in KNOWN.items() if name != NAMES[0]}
        report = pull(store, log, films | ({NAMES[0]: film} if film else {}))
        assert {r.image_id for r in report.new} == set(NAMES[1:])
        (refused,), (event,) = report.refused, report.refusals
        assert re.search(reason, refused.reason)
        assert refused.link.startswith("memory of memory-1-")
        assert (event.verdict, event.boxes, event.image_id) == ("refused", (), NAMES[0])
        assert report.kind(event) == "refusal"
        assert event in read_log(log)
        assert {r.image_id for r in standing(read_log(log))} == set(NAMES[1:])

    def test_it_waits_until_it_is_mended(self, log: Path) -> None:
        store = read_all(Doubting())
        assert len(pull(store, log, KNOWN).refusals) == 1
        again = pull(store, log, KNOWN)
        assert (again.refusals, len(again.refused)) == ((), 1)
        (thread,) = {e.thread for e in read_log(log) if e.verdict == "refused"}
        store.edit(thread, "no_finding")
        mended = pull(store, log, KNOWN)
        assert [mended.kind(event) for event in mended.new] == ["edit"]
        assert mended.refused == ()

    def test_what_is_mended_on_our_side_comes_in(self, log: Path) -> None:
        store = read_all(Doubting())
        pull(store, log, KNOWN)
        store.doubts = False
        report = pull(store, log, KNOWN)
        assert [event.verdict for event in report.new] == ["finding"]
        assert report.refused == ()

    def test_what_was_good_enough_once_is_not_refused_later(self, log: Path) -> None:
        store = read_all(MemoryStore())
        pull(store, log, KNOWN)
        report = pull(store, log, {}, everything=True)
        assert (report.new, report.refusals, report.refused) == ((), (), ())
        assert len(read_log(log)) == 3

    def test_a_deletion_of_a_film_that_is_no_longer_there_is_no_refusal(self, log: Path) -> None:
        store = read_all(MemoryStore())
        (first, *_) = pull(store, log, KNOWN).new
        store.delete(first.thread)
        assert [event.verdict for event in pull(store, log, {}).new] == ["deleted"]

    def test_an_unseen_refusal_is_named_by_its_thread(self, log: Path) -> None:
        pull(read_all(Doubting()), log, KNOWN)
        (refused,) = pull(MemoryStore(), log, KNOWN).refused
        thread = f"memory-1-{NAMES[0]}-1"
        assert refused == Refused(thread, thread, "rotated")

    def test_two_pulls_together_know_what_each_has_seen(self, log: Path) -> None:
        store = read_all(Doubting())
        first = pull(store, log, KNOWN)
        (new,) = first.new[:1]
        store.edit(new.thread, "skipped")
        both = first.then(pull(store, log, KNOWN)).then(pull(MemoryStore(), log, KNOWN))
        assert (len(both.new), len(both.refusals), both.known) == (3, 1, 0)
        assert [both.kind(event) for event in both.new] == ["reading", "reading", "edit"]
        assert both.refused == first.refused
        assert both.refused[0].link.startswith("memory of ")
        odd = pull(read_all(Odd()), log, KNOWN, everything=True)
        assert (odd.then(odd).strangers, odd.then(odd).gone) == (odd.strangers, odd.gone)


class TestWaiting:
    good = replace(
        next(iter(read_all(MemoryStore()).fetch())), source_id=f"ls-1-1@{AT}", at=AT, reader="a"
    )
    bad = refusal(good, "rotated")
    later = "2026-11-23T11:00:00.000000Z"

    def test_a_refusal_waits(self) -> None:
        assert waiting([self.bad]) == [self.bad]

    @pytest.mark.parametrize(
        "word",
        [
            good,  # the same saved moment, accepted: mended on our side
            replace(good, source_id=f"ls-1-1@{later}", at=later),  # edited
            deletion(bad, later),
            replace(good, source_id=f"ls-1-2@{later}", at=later),  # said anew
            replace(good, source_id=f"ls-1-2@{later}", at=later, verdict="skipped", boxes=()),
        ],
    )
    def test_until_its_reader_speaks(self, word: Annotation) -> None:
        for events in permutations([self.bad, word]):
            assert waiting(events) == []

    @pytest.mark.parametrize(
        "word",
        [
            replace(good, source_id=f"ls-1-2@{later}", at=later, reader="b"),
            replace(good, source_id=f"ls-1-2@{later}", at=later, round=2),
            replace(good, source_id=f"ls-1-2@{later}", at=later, image_id=NAMES[1]),
            replace(good, source_id="ls-1-1@2026-11-23T09", at="2026-11-23T09:00:00.000000Z"),
            replace(good, source_id="ls-1-2@2026-11-23T09", at="2026-11-23T09:00:00.000000Z"),
            deletion(replace(good, source_id=f"ls-1-2@{AT}"), later),
        ],
    )
    def test_others_and_earlier_words_mend_nothing(self, word: Annotation) -> None:
        for events in permutations([self.bad, word]):
            assert waiting(events) == [self.bad]

    def test_what_is_refused_again_waits_once_with_the_latest_reason(self) -> None:
        again = refusal(replace(self.good, source_id=f"ls-1-1@{self.later}", at=self.later), "no")
        assert waiting([again, self.good, self.bad]) == [again]


class TestWhatWasAsked:
    def pull_one(self, log: Path, *lines: Asked, boxes: tuple[LabelledBox, ...]) -> Annotation:
        store = MemoryStore()
        store.submit([make_task(NAMES[0])])
        store.read(store.unread()[0], "finding" if boxes else "no_finding", boxes)
        (event,) = pull(store, log, KNOWN, lines).new
        return event

    def test_each_box_says_where_it_comes_from(self, log: Path) -> None:
        moved = LabelledBox("Nodule", 61, 62, 72, 72)
        new = LabelledBox("Effusion", 0, 60, 30, 90)
        event = self.pull_one(log, asked(), boxes=(MASS, new, moved))
        origins = {box.label: box.origin for box in event.boxes}
        assert origins == {"Mass": "accepted", "Effusion": "drawn", "Nodule": "moved"}
        assert (event.role, event.blind, event.deleted) == ("label", False, ())
        assert read_log(log) == [event]

    def test_what_the_reader_removed_is_kept(self, log: Path) -> None:
        event = self.pull_one(log, asked(role="control"), boxes=())
        assert [(box.label, box.xyxy) for box in event.deleted] == [
            (box.label, box.xyxy) for box in SEEN
        ]
        assert (event.verdict, event.role) == ("no_finding", "control")

    def test_a_blind_reader_draws_all_and_deletes_nothing(self, log: Path) -> None:
        event = self.pull_one(log, asked(blind=True, role="reread"), boxes=(MASS,))
        assert [box.origin for box in event.boxes] == ["drawn"]
        assert (event.blind, event.role, event.deleted) == (True, "reread", ())

    def test_where_nobody_knows_what_was_asked_nothing_is_claimed(self, log: Path) -> None:
        (event, *_) = pull(read_all(MemoryStore()), log, KNOWN).new
        assert [box.origin for box in event.boxes] == [None]
        assert (event.role, event.blind, event.deleted) == ("label", False, ())

    def test_the_line_of_the_model_whose_boxes_were_drawn_counts(self, log: Path) -> None:
        anew = asked(model_version="r1-99999999", seen=(), at="2026-11-23T12:00:00.000000Z")
        event = self.pull_one(log, anew, asked(), boxes=(MASS,))
        assert [box.origin for box in event.boxes] == ["accepted"]

    def test_what_another_model_saw_is_no_guide(self, log: Path, tmp_path: Path) -> None:
        stale = [asked(model_version="r1-99999999", role="control", blind=True, seen=())]
        store = MemoryStore()
        store.submit([make_task(NAMES[0])])
        said = store.read(store.unread()[0], "finding", (MASS,))
        (refused,) = pull(store, log, KNOWN, stale).refusals
        assert "git pull" in (refused.comment or "")
        elsewhere = tmp_path / "elsewhere.jsonl"
        pull(store, elsewhere, KNOWN, [*stale, asked()])
        store.delete(said.thread)
        for clone, lines in ((log, stale), (elsewhere, [*stale, asked()])):
            pull(store, clone, KNOWN, lines)
        merged = [*read_log(log), *read_log(elsewhere)]
        assert standing(merged) == standing(merged[::-1]) == []
        assert waiting(merged) == []

    def test_a_task_that_names_no_model_is_what_was_asked_last(self, log: Path) -> None:
        store = MemoryStore()
        store.submit([make_task(NAMES[0])])
        store.read(store.unread()[0], "finding", (MASS,))
        said = [replace(event, model_version=None) for event in store.fetch()]
        anew = asked(role="control", model_version="r1-99999999", at="2026-11-23T12:00:00.000000Z")
        (event,) = pull(Given(said), log, KNOWN, [anew, asked()]).new
        assert (event.role, event.seen) == ("control", SEEN)

    @pytest.mark.parametrize("verdict", ["skipped", "unreadable"])
    def test_whoever_passes_deletes_nothing(self, log: Path, verdict: str) -> None:
        store = MemoryStore()
        store.submit([make_task(NAMES[0])])
        store.read(store.unread()[0], verdict)
        (event,) = pull(store, log, KNOWN, [asked(role="control")]).new
        assert (event.deleted, event.role) == ((), "control")

    def test_refusals_and_deletions_know_what_they_were_for(self, log: Path) -> None:
        store = read_all(Doubting())
        lines = [asked(role="control", blind=True), *(asked(name) for name in NAMES[1:])]
        report = pull(store, log, KNOWN, lines)
        (refused,) = report.refusals
        assert (refused.role, refused.blind) == ("control", True)
        store.delete(refused.thread)
        (gone,) = pull(store, log, KNOWN, lines).new
        assert (gone.verdict, gone.role) == ("deleted", "control")


class TestMemory:
    def test_an_unread_film_of_an_earlier_round_moves(self) -> None:
        store = MemoryStore()
        store.submit([make_task(NAMES[0]), make_task(NAMES[1], rank=2)])
        assert store.submit([make_task(NAMES[1], round=2)]) == 1
        assert [(t.round, t.image_id) for t in store.unread()] == [(2, NAMES[1]), (1, NAMES[0])]

    def test_a_film_of_the_overlap_is_open_until_it_has_its_readers(self) -> None:
        store = MemoryStore()
        task = make_task(NAMES[0], readers=2)
        store.submit([task])
        first = store.read(task, "no_finding", reader="a")
        assert store.unread("a") == []
        assert store.unread("b") == [task]
        store.read(task, "no_finding", reader="b")
        assert store.unread("c") == []
        store.delete(first.thread)
        assert store.unread("c") == [task]


class TestScriptedReader:
    def test_faults_depend_on_seed_and_film_alone(self) -> None:
        truth = dict.fromkeys(NAMES, (MASS, MASS))
        one, same, other = (Reader(truth, 0.5, 4.0, seed) for seed in (1, 1, 2))
        assert one.read(NAMES[0], 96, 96) == same.read(NAMES[0], 96, 96)
        assert [one.read(n, 96, 96) for n in NAMES] != [other.read(n, 96, 96) for n in NAMES]

    def test_a_perfect_reader_says_the_truth(self) -> None:
        said = Reader({"a": (MASS,)}, miss_rate=0, jitter=0).read("a", 96, 96)
        assert (said.verdict, said.boxes) == ("finding", (MASS,))
        assert 1 < said.seconds < 200

    def test_misses_come_at_their_rate(self) -> None:
        truth = {str(n): (MASS,) for n in range(400)}
        reader = Reader(truth, miss_rate=0.3)
        missed = sum(reader.read(name, 96, 96).verdict == "no_finding" for name in truth)
        assert 90 < missed < 150  # 120 expected, standard deviation 9

    def test_jittered_boxes_keep_to_the_film(self) -> None:
        edge = LabelledBox("Nodule", 90, 90, 96, 96)
        for name in map(str, range(50)):
            for box in Reader({name: (edge,)}, jitter=8).read(name, 96, 96).boxes:
                assert 0 <= box.x1 < box.x2 <= 96
                assert 0 <= box.y1 < box.y2 <= 96
