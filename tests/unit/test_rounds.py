"""Queueing and pulling a round, with an annotation store in memory."""

import re
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from lungal.annotation.memory import MemoryStore
from lungal.annotation.oracle import Reader
from lungal.annotation.protocol import OnRefused, Refused
from lungal.data.annotations import read_log
from lungal.data.images import encode_png
from lungal.errors import ImageError, SelectionError, ServerError, StageOrderError
from lungal.records import Annotation, Detections, LabelledBox
from lungal.rounds.pull import Film, known_films, pull
from lungal.rounds.queue import QueueReport, queue, read_selection
from lungal.testing import make_detections, make_film, make_task

NAMES = [f"0000000{n}_000" for n in (1, 2, 3)]
MASS = LabelledBox("Mass", 10, 10, 40, 50)


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
            "reason": ["doubtful"] * 3,
            "round": [4] * 3,
            "model_version": ["r4-0a1b2c3d"] * 3,
        }
    )


@pytest.fixture
def detections() -> list[Detections]:
    return [make_detections(name, 6, 96, 80) for name in NAMES]


class TestQueue:
    @pytest.fixture
    def run(self, selection, detections, films):
        def run(store: MemoryStore, **changes: object) -> QueueReport:
            given = {"selection": selection, "detections": detections, "films": films} | changes
            return queue(store=store, draw_threshold=0.5, max_boxes=3, **given)

        return run

    def test_the_first_rank_is_read_first(self, run) -> None:
        store = MemoryStore()
        assert run(store) == QueueReport(round=4, films=3, new=3)
        assert [t.image_id for t in store.unread()] == [NAMES[1], NAMES[0], NAMES[2]]
        first = store.unread()[0]
        assert (first.uncertainty, first.width, first.height) == (0.9, 96, 80)

    def test_again_is_nothing_new(self, run) -> None:
        store = MemoryStore()
        run(store)
        assert run(store).new == 0
        assert len(store.unread()) == 3

    def test_only_sure_detections_are_drawn_and_not_too_many(self, run, detections) -> None:
        store = MemoryStore()
        run(store)
        sure = {found.image_id: found.above(0.5) for found in detections}
        assert max(map(len, sure.values())) > 3
        for task in store.unread():
            drawn = task.detections.scores.tolist()
            assert drawn == sure[task.image_id].scores[:3].tolist()

    def test_a_film_that_cannot_be_shown_stops_all(self, run, films) -> None:
        store = MemoryStore()
        films[NAMES[2]].write_bytes(films[NAMES[2]].read_bytes()[:-40])
        with pytest.raises(ImageError, match=NAMES[2]):
            run(store)
        assert store.unread() == []

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
        ],
    )
    def test_a_malformed_selection_is_refused(self, run, selection, column, values, reason) -> None:
        selection[column] = values
        with pytest.raises(SelectionError, match=reason):
            run(MemoryStore(), selection=selection)

    def test_a_selection_without_a_column_is_refused(self, run, selection) -> None:
        with pytest.raises(SelectionError, match="reason"):
            run(MemoryStore(), selection=selection.drop(columns="reason"))

    def test_an_empty_selection_queues_nothing(self, run, selection) -> None:
        assert run(MemoryStore(), selection=selection.iloc[:0]).films == 0

    def test_the_file_keeps_the_zeros_of_a_name(self, selection, tmp_path) -> None:
        selection["image_id"] = ["00000001", "00000002", "00000003"]
        selection.to_csv(tmp_path / "selection.csv", index=False)
        assert read_selection(tmp_path / "selection.csv")["image_id"][0] == "00000001"

    def test_no_file_is_a_missing_stage(self, tmp_path: Path) -> None:
        with pytest.raises(StageOrderError, match="`select`"):
            read_selection(tmp_path / "selection.csv")


KNOWN = {name: Film(96, 96, "train") for name in NAMES}


class Failing(MemoryStore):
    """Goes down after the first reading."""

    def fetch(self, on_refused: OnRefused | None = None) -> Iterator[Annotation]:
        yield next(super().fetch(on_refused))
        raise ServerError("down")


class Doubting(MemoryStore):
    """Refuses one reading of its own."""

    def fetch(self, on_refused: OnRefused | None = None) -> Iterator[Annotation]:
        assert on_refused is not None
        on_refused(Refused("link", "rotated"))
        yield from super().fetch(on_refused)


class TestPull:
    @pytest.fixture
    def log(self, tmp_path: Path) -> Path:
        return tmp_path / "annotations.jsonl"

    @staticmethod
    def read_all(store: MemoryStore) -> MemoryStore:
        store.submit([make_task(name, rank=n) for n, name in enumerate(NAMES, start=1)])
        store.answer(Reader({NAMES[0]: (MASS,), NAMES[1]: ()}, miss_rate=0))
        return store

    def test_every_reading_comes_in_once(self, log: Path) -> None:
        store = self.read_all(MemoryStore())
        report = pull(store, log, KNOWN)
        assert {r.image_id: r.verdict for r in report.new} == dict(
            zip(NAMES, ("finding", "no_finding", "skipped"), strict=True)
        )
        assert set(read_log(log)) == set(store.fetch())
        before = log.read_bytes()
        again = pull(store, log, KNOWN)
        assert (again.new, again.known) == ((), 3)
        assert log.read_bytes() == before

    def test_a_second_reading_of_a_film_is_another_line(self, log: Path) -> None:
        store = self.read_all(MemoryStore())
        pull(store, log, KNOWN)
        store.read(make_task(NAMES[0]), "no_finding")
        assert [r.verdict for r in pull(store, log, KNOWN).new] == ["no_finding"]
        assert len(read_log(log)) == 4

    @pytest.mark.parametrize(
        ("film", "reason"),
        [
            (None, "not in the manifest"),
            (Film(96, 96, "test"), r"held out \(test\)"),
            (Film(30, 30, "train"), "outside the 30x30 film"),
        ],
    )
    def test_one_bad_reading_stops_no_other(
        self, log: Path, film: Film | None, reason: str
    ) -> None:
        store = self.read_all(MemoryStore())
        films = {name: known for name, known in KNOWN.items() if name != NAMES[0]}
        report = pull(store, log, films | ({NAMES[0]: film} if film else {}))
        assert {r.image_id for r in report.new} == set(NAMES[1:])
        (refused,) = report.refused
        assert re.search(reason, refused.reason)
        assert refused.link.startswith("memory-1-")

    def test_what_the_store_refuses_is_reported(self, log: Path) -> None:
        report = pull(self.read_all(Doubting()), log, KNOWN)
        assert report.refused == (Refused("link", "rotated"),)
        assert len(report.new) == 3

    def test_a_server_that_goes_down_leaves_the_log_alone(self, log: Path) -> None:
        with pytest.raises(ServerError):
            pull(self.read_all(Failing()), log, KNOWN)
        assert not log.exists()

    def test_films_are_known_by_manifest_and_splits(self) -> None:
        manifest = pd.DataFrame({"image_id": ["a"], "width": [10], "height": [20]})
        splits = pd.DataFrame({"image_id": ["a"], "patient_id": ["p"], "split": ["val"]})
        assert known_films(manifest, splits) == {"a": Film(10, 20, "val")}


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

    def test_an_unread_film_of_an_earlier_round_moves(self) -> None:
        store = MemoryStore()
        store.submit([make_task(NAMES[0]), make_task(NAMES[1], rank=2)])
        assert store.submit([make_task(NAMES[1], round=2)]) == 1
        assert [(t.round, t.image_id) for t in store.unread()] == [(2, NAMES[1]), (1, NAMES[0])]
