"""The stage records: what training will see is what `prepare` makes of the films."""

import hashlib
from collections import Counter

import numpy as np
import pytest

from lungal.data.films import film_paths
from lungal.data.images import prepare, prepared_scale, read_pixels
from lungal.data.labels import films, ground_truth, read_labels
from lungal.data.tfrecords import (
    read_records,
    shard_paths,
    stored_side,
    write_records,
)
from lungal.errors import SourceError, StageOrderError
from lungal.records import GroundTruth, Image
from pipelines import label, records, split
from pipelines.stage import PATHS


@pytest.fixture
def labelled(project):
    assert split.main([]) == 0
    assert label.main([]) == 0
    return project


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("which", "detail", "side"), [("train", "2.0", 192), ("train", "1.1", 106), ("val", "2.0", 96)]
)
def test_records_hold_the_prepared_films_and_their_boxes(
    labelled, change_params, which, detail, side
):
    change_params("      input_size: 160", "      input_size: 96")
    change_params("  detail: 2.0", f"  detail: {detail}")
    assert records.main([which]) == 0
    paths = film_paths(PATHS.manifest)
    truths = {t.image_id: t for t in ground_truth(read_labels(PATHS.labels), which)}
    found = {image.image_id: (image, t) for image, t in read_records(PATHS.records / which)}
    assert found.keys() == truths.keys()
    assert len(list(read_records(PATHS.records / which))) == len(truths)
    for image_id, (image, truth) in found.items():
        film = read_pixels(paths[image_id])
        size = min(side, max(film.shape))  # the longest side of the films is 96 to 120 px
        np.testing.assert_array_equal(image.pixels, prepare(film, size))
        scale = prepared_scale(film.shape[1], film.shape[0], size)
        np.testing.assert_allclose(truth.boxes, truths[image_id].boxes * scale, atol=1e-3)
        np.testing.assert_array_equal(truth.labels, truths[image_id].labels)


def test_only_labelled_films_of_the_split_are_in_the_records(labelled):
    records.main(["train"])
    written = sorted(image.image_id for image, _ in read_records(PATHS.records / "train"))
    assert written == films(read_labels(PATHS.labels), "train", "labelled")


def test_running_again_changes_no_byte(labelled):
    records.main(["train"])
    before = digests(PATHS.records / "train")
    records.main(["train"])
    assert digests(PATHS.records / "train") == before


def test_films_are_dealt_to_shards_evenly_and_not_by_patient(labelled):
    records.main(["train"])
    shards = shard_paths(PATHS.records / "train")
    assert [shard.name for shard in shards] == [f"0000{n}-of-00003.tfrecord" for n in range(3)]
    written = [image.image_id for image, _ in read_records(PATHS.records / "train")]
    assert len(written) == 12
    assert written != sorted(written)


def test_the_label_map_counts_from_one(labelled):
    records.main(["val"])
    text = (PATHS.records / "val" / "label_map.pbtxt").read_text(encoding="utf-8")
    assert text.startswith("item {\n  id: 1\n  name: 'Atelectasis'\n}\n")
    assert text.count("item {") == 8


def test_a_split_without_labelled_films_is_refused(labelled, capsys):
    labels = read_labels(PATHS.labels)
    labels[labels["split"] == "train"].to_parquet(PATHS.labels)
    assert records.main(["val"]) == 2
    assert "no labelled film" in capsys.readouterr().err
    assert not (PATHS.records / "val").exists()


def test_a_film_that_is_gone_fails_the_stage_and_keeps_the_old_records(labelled, capsys):
    records.main(["train"])
    before = digests(PATHS.records / "train")
    film_paths(PATHS.manifest)[films(read_labels(PATHS.labels), "train", "labelled")[0]].unlink()
    assert records.main(["train"]) == 1
    assert "No such file" in capsys.readouterr().err
    assert digests(PATHS.records / "train") == before
    assert [path.name for path in PATHS.records.iterdir()] == ["train"]


def some_films(count):
    return [
        (Image(f"{n:08d}_000", np.full((20, 30), n, np.uint8)), GroundTruth.of(f"{n:08d}_000", []))
        for n in range(count)
    ]


@pytest.mark.parametrize(("films", "shards", "expected"), [(2, 5, [1, 1]), (7, 3, [3, 2, 2])])
def test_no_shard_is_empty(tmp_path, films, shards, expected):
    write_records(tmp_path / "train", some_films(films), input_size=16, shards=shards)
    assert len(shard_paths(tmp_path / "train")) == len(expected)
    # Shards follow one another: count the films of each by the order of reading.
    order = [int(image.image_id[:8]) for image, _ in read_records(tmp_path / "train")]
    assert sorted(Counter(n % len(expected) for n in order).values(), reverse=True) == expected
    assert order == sorted(order, key=lambda n: (n % len(expected), n))


@pytest.mark.parametrize(
    ("width", "height", "detail", "side"),
    [(64, 64, 1, 16), (64, 64, 2, 32), (20, 30, 1.5, 24), (20, 30, 2, 30), (9, 8, 3, 16)],
)
def test_a_stored_film_is_no_larger_than_the_film_or_what_the_network_sees(
    tmp_path, width, height, detail, side
):
    film = Image("00000001_000", np.zeros((height, width), np.uint8))
    assert stored_side(film, 16, detail) == side
    folder, again = tmp_path / "train", tmp_path / "again"
    truth = GroundTruth.of("00000001_000", [])
    write_records(folder, [(film, truth)], input_size=16, shards=1, detail=detail)
    write_records(again, read_records(folder), input_size=16, shards=1, detail=detail)
    assert digests(again) == digests(folder), "written again from records, nothing is lost"


def test_a_record_does_not_depend_on_other_films(tmp_path):
    write_records(tmp_path / "one", some_films(1), input_size=16, shards=1)
    write_records(tmp_path / "two", some_films(2), input_size=16, shards=2)
    one, two = (next(iter(shard_paths(tmp_path / name))) for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


def test_a_film_without_finding_is_read_as_no_boxes(tmp_path):
    write_records(tmp_path / "train", some_films(1), input_size=16, shards=1)
    ((_, truth),) = read_records(tmp_path / "train")
    assert (truth.boxes.shape, truth.labels.shape) == ((0, 4), (0,))


def test_no_films_at_all_are_an_error(tmp_path):
    with pytest.raises(SourceError, match="no labelled film"):
        write_records(tmp_path / "train", [], input_size=16, shards=2)
    assert list(tmp_path.iterdir()) == []


def test_damaged_or_missing_shards_are_noticed(tmp_path):
    folder = tmp_path / "train"
    with pytest.raises(StageOrderError, match="`records@train`"):
        list(read_records(folder))
    write_records(folder, some_films(4), input_size=16, shards=2)
    shard = shard_paths(folder)[0]
    shard.write_bytes(shard.read_bytes()[:-7])
    with pytest.raises(StageOrderError, match=r"damaged.*00000-of-00002"):
        list(read_records(folder))
    shard.unlink()
    with pytest.raises(StageOrderError, match="no whole set"):
        list(read_records(folder))
