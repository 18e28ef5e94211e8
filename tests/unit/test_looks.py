"""A folder of looks is read in the order in which it was written, whole or not at all."""

import pytest

from lungal.data.looks import read_looks, write_looks
from lungal.errors import DetectorError, StageOrderError
from lungal.testing import make_detections


def films(*image_ids):
    return [make_detections(image_id, 2) for image_id in image_ids]


def test_looks_come_back_in_their_own_order(tmp_path):
    folder = tmp_path / "committee"
    write_looks(folder, ((name, films("b", "a")) for name in ("2", "10", "1")))
    read = list(read_looks(folder, "crossfit"))
    assert [name for name, _ in read] == ["2", "10", "1"]
    assert [[film.image_id for film in found] for _, found in read] == [["a", "b"]] * 3
    assert sorted(path.name for path in folder.iterdir()) == [
        "1.parquet", "10.parquet", "2.parquet", "looks.json"
    ]  # fmt: skip


def test_later_looks_take_the_place_of_earlier_ones(tmp_path):
    folder = tmp_path / "views"
    write_looks(folder, [("clahe", films("a"))])
    write_looks(folder, [])
    assert list(read_looks(folder, "views")) == []
    assert [path.name for path in folder.iterdir()] == ["looks.json"]


def test_a_look_that_fails_leaves_the_folder_as_it_was(tmp_path):
    folder = tmp_path / "views"
    write_looks(folder, [("clahe", films("a"))])
    with pytest.raises(DetectorError, match="b was examined twice"):
        write_looks(folder, [("shrink", films("a")), ("enlarge", films("b", "b"))])
    assert [name for name, _ in read_looks(folder, "views")] == ["clahe"]
    assert [path.name for path in tmp_path.iterdir()] == ["views"]


@pytest.mark.parametrize("gone", ["looks.json", "clahe.parquet"])
def test_what_is_missing_names_its_stage(tmp_path, gone):
    folder = tmp_path / "views"
    write_looks(folder, [("clahe", films("a"))])
    (folder / gone).unlink()
    with pytest.raises(StageOrderError, match=rf"{gone} is missing; the stage `views`"):
        list(read_looks(folder, "views"))


def test_what_is_damaged_names_its_stage(tmp_path):
    folder = tmp_path / "views"
    write_looks(folder, [("clahe", films("a"))])
    (folder / "looks.json").write_text('["cla')
    with pytest.raises(StageOrderError, match=r"looks.json is damaged.*dvc repro -f views"):
        list(read_looks(folder, "views"))
