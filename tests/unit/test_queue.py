"""Queueing a round, with an annotation store in memory."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungal.data.asked import read_asked
from lungal.data.images import encode_png
from lungal.errors import ImageError, SelectionError, ServerError, StageOrderError
from lungal.records import CLASSES, Annotation, Detections, LabelledBox, SeenBox, Task
from lungal.rounds.queue import QueueReport, prior_films, queue, read_selection
from lungal.testing import MemoryStore, make_detections, make_film

NAMES = [f"0000000{n}_000" for n in (1, 2, 3)]
MASS = LabelledBox("Mass", 10, 10, 40, 50)
NODULE = LabelledBox("Nodule", 60, 60, 70, 70)
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@pytest.fixture
def films(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.png" for name in NAMES}
    for name, path in paths.items():
        path.write_bytes(encode_png(make_film(name, 96, 80).pixels))
    return paths


@pytest.fixture
def selection() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rank": [2, 1, 3],
            "image_id": NAMES,
            "score": [0.5, 0.9, 0.1],
            "reason": ["rank 2 of 9: mean of 1 - p", "rank 1 of 9: ...", "rank 3 of 9: ..."],
            "strategy": ["least_confidence"] * 3,
            "selector": ["claspd"] * 3,
            "round": [4] * 3,
            "model_version": ["r4-0a1b2c3d"] * 3,
            "role": ["label", "control", "label"],
            "blind": [False, True, False],
            "readers": [2, 1, 1],
        }
    )


@pytest.fixture
def detections() -> list[Detections]:
    return [make_detections(name, 6, 96, 80) for name in NAMES]


@pytest.fixture
def run(selection, detections, films, tmp_path):
    def run(store: MemoryStore, **changes: object) -> QueueReport:
        given = {
            "selection": selection,
            "detections": detections,
            "films": films,
            "asked": tmp_path / "queue.jsonl",
            "draw_threshold": 0.5,
            "max_boxes": 3,
            "now": NOW,
        }
        return queue(store=store, **(given | changes))

    return run


def reading(reader: str, *boxes: LabelledBox, **changes: Any) -> Annotation:
    given = {
        "source_id": f"ls-1-{reader}@{changes.get('round', 3)}",
        "image_id": NAMES[1],
        "round": 3,
        "reader": reader,
        "verdict": "finding" if boxes else "no_finding",
        "boxes": boxes,
        "at": "2026-11-22T12:00:00Z",
    }
    return Annotation(**(given | changes))


class TestTasks:
    def test_the_first_rank_is_read_first(self, run) -> None:
        store = MemoryStore()
        assert run(store) == QueueReport(round=4, films=3, new=3)
        assert [t.image_id for t in store.unread()] == [NAMES[1], NAMES[0], NAMES[2]]
        first = store.unread()[0]
        assert (first.uncertainty, first.width, first.height) == (0.9, 96, 80)

    def test_they_are_what_the_selection_says(self, run) -> None:
        store = MemoryStore()
        run(store)
        said = {t.image_id: (t.role, t.blind, t.readers, t.reason) for t in store.unread()}
        assert said == {
            NAMES[0]: ("label", False, 2, "least_confidence and claspd"),
            NAMES[1]: ("control", True, 1, "least_confidence and claspd"),
            NAMES[2]: ("label", False, 1, "least_confidence and claspd"),
        }

    def test_a_selection_of_an_older_lungal_is_read_once_each_for_labels(
        self, run, selection
    ) -> None:
        store = MemoryStore()
        run(
            store,
            selection=selection.drop(columns=["role", "blind", "readers", "strategy", "selector"]),
        )
        assert {(t.role, t.blind, t.readers) for t in store.unread()} == {("label", False, 1)}

    @pytest.mark.parametrize("values", [["True", "False", "0"], [1, 0, 0], [True, False, False]])
    def test_blind_comes_as_text_number_or_flag(self, run, selection, values) -> None:
        selection["blind"] = values
        store = MemoryStore()
        run(store)
        assert {t.image_id: t.blind for t in store.unread()} == dict(
            zip(NAMES, [True, False, False], strict=True)
        )

    def test_again_is_nothing_new(self, run, tmp_path) -> None:
        store = MemoryStore()
        run(store)
        before = (tmp_path / "queue.jsonl").read_bytes()
        assert run(store, now=datetime(2026, 11, 24, tzinfo=UTC)).new == 0
        assert len(store.unread()) == 3
        assert (tmp_path / "queue.jsonl").read_bytes() == before

    def test_what_was_asked_stays_so_whatever_the_parameters_say_by_now(
        self, run, selection, tmp_path
    ) -> None:
        class Lost(MemoryStore):
            def submit(self, tasks: Sequence[Task]) -> int:
                raise ServerError("down")

        with pytest.raises(ServerError):
            run(Lost())  # written down, and never queued
        before = (tmp_path / "queue.jsonl").read_bytes()
        other = selection.assign(blind=[True, False, True], readers=[1, 2, 3], role="reread")
        store = MemoryStore()
        run(store, selection=other, draw_threshold=0.0, max_boxes=9)
        assert (tmp_path / "queue.jsonl").read_bytes() == before
        asked = {line.image_id: line for line in read_asked(tmp_path / "queue.jsonl")}
        for task in store.unread():
            line = asked[task.image_id]
            assert (task.role, task.blind, task.readers) == (line.role, line.blind, line.readers)
            assert [(box.label, box.xyxy) for box in line.seen] == [
                (CLASSES[label], pytest.approx(box))
                for label, box in zip(task.detections.labels, task.detections.boxes, strict=True)
            ]
        anew = other.assign(model_version="r4-99999999")
        run(store, selection=anew)
        lines = read_asked(tmp_path / "queue.jsonl")
        assert {one.blind for one in lines if one.model_version == "r4-99999999"} == {True, False}
        assert len(lines) == 6

    def test_only_sure_detections_are_drawn_and_not_too_many(self, run, detections) -> None:
        store = MemoryStore()
        run(store)
        sure = {found.image_id: found.above(0.5) for found in detections}
        assert max(map(len, sure.values())) > 3
        for task in store.unread():
            drawn = task.detections.scores.tolist()
            assert drawn == sure[task.image_id].scores[:3].tolist()


class TestAsked:
    def test_all_that_readers_must_not_know_is_written_down(self, run, tmp_path) -> None:
        store = MemoryStore()
        run(store)
        asked = {one.image_id: one for one in read_asked(tmp_path / "queue.jsonl")}
        control = asked[NAMES[1]]
        assert (control.role, control.blind, control.readers) == ("control", True, 1)
        assert (control.round, control.rank, control.uncertainty) == (4, 1, 0.9)
        assert control.reason == "rank 1 of 9: ..."
        assert control.at == "2026-11-23T12:00:00.000000Z"
        (task,) = [t for t in store.unread() if t.image_id == NAMES[1]]
        seen = task.detections
        assert [box.score for box in control.seen] == pytest.approx(seen.scores.tolist(), abs=1e-6)
        assert [box.xyxy for box in control.seen] == [
            pytest.approx(box.tolist(), abs=0.006) for box in seen.boxes
        ]

    def test_what_lies_beyond_the_film_was_not_seen(self, run, detections, tmp_path) -> None:
        first = detections[0]
        first.boxes[0] = (-10, -10, 20, 20)
        first.boxes[1] = (200, 10, 210, 20)
        first.scores[:] = 0.9
        run(MemoryStore())
        (asked,) = [a for a in read_asked(tmp_path / "queue.jsonl") if a.image_id == NAMES[0]]
        assert len(asked.seen) == 2
        assert isinstance(asked.seen[0], SeenBox)
        assert asked.seen[0].xyxy == (0, 0, 20, 20)

    def test_it_is_there_before_the_readers_are(self, run, tmp_path) -> None:
        class Down(MemoryStore):
            def submit(self, tasks: Sequence[Task]) -> int:
                assert len(read_asked(tmp_path / "queue.jsonl")) == len(tasks) == 3
                raise ServerError("down")

        with pytest.raises(ServerError):
            run(Down())

    def test_nothing_is_written_if_a_film_cannot_be_shown(self, run, films, tmp_path) -> None:
        films[NAMES[2]].write_bytes(films[NAMES[2]].read_bytes()[:-40])
        with pytest.raises(ImageError, match=NAMES[2]):
            run(MemoryStore())
        assert not (tmp_path / "queue.jsonl").exists()


class TestAdjudication:
    @pytest.fixture
    def disputed(self, selection) -> pd.DataFrame:
        selection["role"] = ["label", "adjudicate", "label"]
        return selection

    def test_it_shows_the_readings_of_the_last_round(self, run, disputed, tmp_path) -> None:
        log = [
            reading("a", MASS),
            reading("b", NODULE),
            reading("c", NODULE, round=2),
            reading("d", round=3, verdict="skipped"),
            reading("e", MASS, round=3, role="control"),
        ]
        store = MemoryStore()
        run(store, selection=disputed, log=log)
        (task,) = [t for t in store.unread() if t.role == "adjudicate"]
        assert sorted(task.readings, key=str) == [(MASS,), (NODULE,)]
        (asked,) = [a for a in read_asked(tmp_path / "queue.jsonl") if a.role == "adjudicate"]
        assert asked.seen == ()

    def test_whose_reading_comes_first_is_drawn_by_lot(self, run, disputed) -> None:
        firsts = set()
        for number in range(12):
            pair = [reading(f"a{number}", MASS), reading(f"b{number}", NODULE)]
            store = MemoryStore()
            run(store, selection=disputed, log=pair)
            (task,) = [t for t in store.unread() if t.role == "adjudicate"]
            firsts.add(task.readings[0])
        assert firsts == {(MASS,), (NODULE,)}

    def test_one_reading_is_no_dispute(self, run, disputed) -> None:
        with pytest.raises(SelectionError, match="read by 1"):
            run(MemoryStore(), selection=disputed, log=[reading("a", MASS)])


class TestPriorFilms:
    def test_it_is_the_last_earlier_film_of_the_patient(self) -> None:
        ids = ["00000001_004", "00000001_000", "00000002_001", "00000001_002", "00000003_000"]
        assert prior_films(ids) == {
            "00000001_002": "00000001_000",
            "00000001_004": "00000001_002",
        }

    def test_a_task_knows_it(self, run, films, selection, detections) -> None:
        films["00000001_004"] = films[NAMES[2]]
        selection.loc[0, "image_id"] = "00000001_004"
        store = MemoryStore()
        seen = [make_detections("00000001_004", 6, 96, 80), *detections]
        run(store, selection=selection, detections=seen)
        assert {t.image_id: t.prior for t in store.unread()} == {
            "00000001_004": NAMES[0],
            NAMES[1]: None,
            NAMES[2]: None,
        }

    def test_one_that_cannot_be_shown_stops_all(self, run, films, selection, detections) -> None:
        films["00000001_003"] = films[NAMES[0]].with_name("gone.png")
        films["00000001_005"] = films[NAMES[0]]
        selection.loc[0, "image_id"] = "00000001_005"
        seen = [make_detections("00000001_005", 6, 96, 80), *detections]
        with pytest.raises(ImageError, match="gone"):
            run(MemoryStore(), selection=selection, detections=seen)


class TestRefusal:
    def test_a_film_that_is_gone_stops_all(self, run, films) -> None:
        films[NAMES[0]].unlink()
        with pytest.raises(ImageError, match="No such file"):
            run(MemoryStore())

    def test_a_film_without_detections_file_is_a_missing_stage(self, run, detections) -> None:
        with pytest.raises(StageOrderError, match="`detect`"):
            run(MemoryStore(), detections=detections[:1])

    @pytest.mark.parametrize(
        ("column", "values", "reason"),
        [
            ("score", [0.5, float("nan"), 0.1], "score nan"),
            ("round", [4, 4, 5], "rounds"),
            ("image_id", [NAMES[0]] * 3, "twice"),
            ("role", ["label", "import", "label"], "'import'"),
            ("blind", ["yes", "no", "no"], "'yes'|'no'"),
            ("readers", [1, 0, 1], "0 readers"),
            ("readers", [1, 1.5, 1], "1.5 readers"),
        ],
    )
    def test_a_malformed_selection_is_refused(self, run, selection, column, values, reason) -> None:
        selection[column] = values
        with pytest.raises(SelectionError, match=reason):
            run(MemoryStore(), selection=selection)

    def test_a_selection_without_a_column_is_refused(self, run, selection) -> None:
        with pytest.raises(SelectionError, match="reason"):
            run(MemoryStore(), selection=selection.drop(columns="reason"))

    def test_an_empty_selection_queues_nothing(self, run, selection, tmp_path) -> None:
        assert run(MemoryStore(), selection=selection.iloc[:0]).films == 0
        assert not (tmp_path / "queue.jsonl").exists()


class TestFile:
    def test_it_keeps_the_zeros_of_a_name(self, selection, tmp_path) -> None:
        selection["image_id"] = ["00000001", "00000002", "00000003"]
        selection.to_csv(tmp_path / "selection.csv", index=False)
        assert read_selection(tmp_path / "selection.csv")["image_id"][0] == "00000001"

    def test_what_was_written_is_queued(self, run, selection, tmp_path) -> None:
        selection.to_csv(tmp_path / "selection.csv", index=False)
        store = MemoryStore()
        run(store, selection=read_selection(tmp_path / "selection.csv"))
        assert [t.blind for t in store.unread()] == [True, False, False]

    def test_no_file_is_a_missing_stage(self, tmp_path: Path) -> None:
        with pytest.raises(StageOrderError, match="`select`"):
            read_selection(tmp_path / "selection.csv")
