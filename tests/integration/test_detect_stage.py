"""The stage detect: one model, loaded once, looks at all that later stages read."""

import numpy as np
import pytest
from examined_project import make_project

from lungal.data.detections import read_detections
from lungal.data.labels import films, pool, read_labels, write_labels
from lungal.records import Detections
from pipelines import detect
from pipelines.stage import PATHS

PARTS = ("val", "test", "pool", "train")


class Eyes:
    """Sees one box on a film, as bright as the film; remembers how often it was loaded."""

    loaded = 0

    def __init__(self, folder, params):
        type(self).loaded += 1
        self.folder = folder

    def detect(self, images):
        for image in images:
            score = np.array([image.pixels.mean() / 255], np.float32)
            yield Detections(
                image.image_id, np.array([[1, 2, 3, 4]], np.float32), score, np.zeros(1, np.int32)
            )


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(detect, "load_detector", Eyes)
    monkeypatch.setattr(Eyes, "loaded", 0)
    labels = make_project(films_per_part=4)
    for part in PARTS:
        (PATHS.detections / f"{part}.parquet").unlink()
    return labels


def written():
    return {
        part: [film.image_id for film in read_detections(PATHS.detections / f"{part}.parquet")]
        for part in PARTS
    }


def test_each_part_is_examined_by_one_model_loaded_once(labels):
    assert detect.main() == 0
    assert Eyes.loaded == 1
    assert written() == {
        "val": films(labels, "val", "labelled"),
        "test": films(labels, "test", "labelled"),
        "pool": pool(labels),
        "train": films(labels, "train", "labelled"),
    }


def test_a_part_stays_the_same_to_the_byte_when_another_changes(labels):
    assert detect.main() == 0
    before = {part: (PATHS.detections / f"{part}.parquet").read_bytes() for part in PARTS}
    write_labels(PATHS.labels, labels[labels["image_id"] != pool(labels)[0]], number=1)
    assert detect.main() == 0
    after = {part: (PATHS.detections / f"{part}.parquet").read_bytes() for part in PARTS}
    assert [part for part in PARTS if before[part] != after[part]] == ["pool"]


def test_disputed_films_are_examined_and_an_empty_pool_is_an_empty_file(labels):
    changed = labels.assign(
        state=labels["state"].where(labels["state"] != "pool", "disputed"),
    )
    write_labels(PATHS.labels, changed, number=1)
    assert detect.main() == 0
    found = written()
    assert found["pool"] == []
    now = read_labels(PATHS.labels)
    assert len(found["train"]) == 8
    assert found["train"] == sorted(now.loc[now["split"] == "train", "image_id"])
