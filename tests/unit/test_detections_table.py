"""Detections come back from Parquet as they went in, and equal films are equal bytes."""

import weakref
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lungal.data import detections
from lungal.data.detections import DETECTIONS, read_detections, write_detections
from lungal.errors import DetectorError, StageOrderError
from lungal.records import CLASSES, Detections

unit = st.floats(0, 1, width=32)


@st.composite
def films(draw):
    made = []
    width = draw(st.integers(1, 5))
    for image_id in draw(st.sets(st.integers(0, 999).map("{:08d}_000".format), max_size=6)):
        count = draw(st.integers(0, 4))
        per_class = draw(st.booleans())
        made.append(
            Detections(
                image_id,
                draw(hnp.arrays(np.float32, (count, 4), elements=st.floats(0, 1024, width=32))),
                draw(hnp.arrays(np.float32, count, elements=unit)),
                draw(hnp.arrays(np.int32, count, elements=st.integers(0, 7))),
                draw(hnp.arrays(np.float32, (count, len(CLASSES)), elements=unit))
                if per_class
                else None,
                draw(st.none() | hnp.arrays(np.float32, width, elements=unit)),
            )
        )
    return made


def assert_same(found, expected):
    assert found.image_id == expected.image_id
    for name in ("boxes", "scores", "labels", "class_scores", "embedding"):
        ours, theirs = getattr(found, name), getattr(expected, name)
        if theirs is None:
            assert ours is None
        else:
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
            np.testing.assert_array_equal(ours, theirs)


@settings(max_examples=60, deadline=None)
@given(films())
def test_what_is_written_is_read(tmp_path_factory, films):
    path = tmp_path_factory.mktemp("detections") / "pool.parquet"
    write_detections(path, iter(films))
    expected = sorted(films, key=lambda film: film.image_id)
    for found, film in zip(read_detections(path), expected, strict=True):
        assert_same(found, film)


@settings(max_examples=60, deadline=None)
@given(films(), st.integers(1, 3), st.randoms())
def test_groups_are_read_as_one_table_in_whatever_order_films_come(
    tmp_path_factory, films, group, random
):
    folder = tmp_path_factory.mktemp("detections")
    expected = sorted(films, key=lambda film: film.image_id)
    random.shuffle(films)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detections, "GROUP", group)
        write_detections(folder / "a.parquet", iter(films))
        write_detections(folder / "b.parquet", iter(expected))
    assert (folder / "a.parquet").read_bytes() == (folder / "b.parquet").read_bytes()
    groups = pq.ParquetFile(folder / "a.parquet").num_row_groups
    assert groups == max(1, -(-len(films) // group))
    for found, film in zip(read_detections(folder / "a.parquet"), expected, strict=True):
        assert_same(found, film)


def test_films_that_come_sorted_are_not_all_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(detections, "GROUP", 10)
    boxes, most = [], 0

    def come():
        nonlocal most
        for number in range(200):
            film = some(f"{number:08d}_000")
            boxes.append(weakref.ref(film.boxes))
            most = max(most, sum(ref() is not None for ref in boxes))
            yield film
            del film

    write_detections(tmp_path / "pool.parquet", come())
    assert len(read_detections(tmp_path / "pool.parquet")) == 200
    assert 10 <= most <= 25


@pytest.mark.parametrize("number", [0, 9, 10, 15])
def test_groups_are_checked_against_each_other(tmp_path, monkeypatch, number):
    monkeypatch.setattr(detections, "GROUP", 10)
    films = [
        replace(some(f"{number:08d}_000"), embedding=np.ones(3, np.float32)) for number in range(20)
    ]
    with pytest.raises(DetectorError, match=f"{number:08d}_000 was examined twice"):
        write_detections(tmp_path / "pool.parquet", [*films, films[number]])
    films[number] = replace(films[number], embedding=np.ones(4, np.float32))
    with pytest.raises(DetectorError, match=r"\[\(3,\), \(4,\)\] in one table"):
        write_detections(tmp_path / "pool.parquet", films)
    assert list(tmp_path.iterdir()) == []


def some(image_id, count=2):
    boxes = np.tile(np.array([[1, 2, 30, 40]], np.float32), (count, 1))
    return Detections(
        image_id, boxes, np.full(count, 0.5, np.float32), np.zeros(count, np.int32), None
    )


def test_the_order_of_films_means_nothing(tmp_path):
    films = [some("00000002_000"), some("00000001_000", 0), some("00000003_000", 3)]
    write_detections(tmp_path / "a.parquet", films)
    write_detections(tmp_path / "b.parquet", films[::-1])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_the_file_has_the_columns_that_others_may_read(tmp_path):
    write_detections(tmp_path / "val.parquet", [some("00000001_000"), some("00000002_000", 0)])
    table = pq.read_table(tmp_path / "val.parquet")
    assert table.schema.equals(DETECTIONS)
    assert table.to_pylist()[0]["boxes"] == [[1, 2, 30, 40], [1, 2, 30, 40]]
    assert table.to_pylist()[1] == {
        "image_id": "00000002_000", "boxes": [], "scores": [], "labels": [], "class_scores": None,
        "embedding": None,
    }  # fmt: skip


def test_a_film_examined_twice_is_refused(tmp_path):
    with pytest.raises(DetectorError, match="00000001_000 was examined twice"):
        write_detections(tmp_path / "val.parquet", [some("00000001_000"), some("00000001_000")])
    assert not (tmp_path / "val.parquet").exists()


def test_arrays_of_different_lengths_are_refused(tmp_path):
    film = some("00000001_000")
    crooked = Detections(film.image_id, film.boxes, film.scores[:1], film.labels)
    with pytest.raises(DetectorError, match=r"00000001_000.*\[2, 1, 2\]"):
        write_detections(tmp_path / "val.parquet", [crooked])


def test_embeddings_of_different_lengths_are_refused(tmp_path):
    films = [
        replace(some(f"0000000{number}_000"), embedding=np.ones(number, np.float32))
        for number in (1, 2)
    ]
    with pytest.raises(DetectorError, match=r"\[\(1,\), \(2,\)\] in one table"):
        write_detections(tmp_path / "val.parquet", films)


def test_a_file_of_an_older_version_is_read(tmp_path):
    path = tmp_path / "pool.parquet"
    films = [some("00000001_000"), some("00000002_000", 0)]
    write_detections(path, films)
    pq.write_table(pq.read_table(path).drop_columns("embedding"), path)
    for found, film in zip(read_detections(path), films, strict=True):
        assert_same(found, film)


def test_a_threshold_keeps_the_embedding():
    film = replace(some("00000001_000"), embedding=np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(film.above(0.9).embedding, [0, 1, 2])


def test_a_missing_or_damaged_file_names_its_stage(tmp_path):
    path = tmp_path / "pool.parquet"
    with pytest.raises(StageOrderError, match="`detect`"):
        read_detections(path)
    write_detections(path, [some("00000001_000")])
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StageOrderError, match=r"damaged.*dvc repro -f detect"):
        read_detections(path)
    with pytest.raises(StageOrderError, match=r"damaged.*dvc repro -f crossfit"):
        read_detections(path, "crossfit")
