"""The stage views: the pool seen differently, and what later stages read of it."""

import numpy as np
import pytest
from examined_project import make_project
from plugins.changed_params import change_params

from lungal.data.images import encode_png
from lungal.data.labels import pool, write_labels
from lungal.data.looks import read_looks
from lungal.detectors.tfod.infer import load_detector
from lungal.errors import StageOrderError
from lungal.records import Detections
from pipelines import views
from pipelines.examined import read_committee, read_views
from pipelines.stage import PATHS

MARK = [40, 60, 120, 110]


class Eyes:
    """Sees the bright part of a film."""

    def __init__(self, folder, params):
        pass

    def detect(self, images):
        for image in images:
            ys, xs = np.nonzero(image.pixels > 180)
            box = np.array([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]], np.float32)
            score = np.array([image.pixels.mean() / 255], np.float32)
            yield Detections(image.image_id, box, score, np.zeros(1, np.int32))


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(views, "load_detector", Eyes)
    labels = make_project(films_per_part=4)
    for image_id in pool(labels):
        film = np.full((256, 256), 30, np.uint8)
        film[60:110, 40:120] = 250
        (PATHS.images / f"{image_id}.png").write_bytes(encode_png(film))
    return labels


def ask_for(*names):
    change_params(detect={"views": list(names)})


def test_each_view_is_a_file_with_boxes_in_the_film_s_own_pixels(labels):
    ask_for("shrink", "gamma_up")
    assert views.main() == 0
    looks = dict(read_looks(PATHS.views, "views"))
    assert list(looks) == ["shrink", "gamma_up"]
    for found in looks.values():
        assert [film.image_id for film in found] == pool(labels)
        for film in found:
            np.testing.assert_allclose(film.boxes, [MARK], atol=0.75)
    assert looks["shrink"][0].scores != looks["gamma_up"][0].scores


def test_no_view_is_asked_for_and_nothing_is_looked_at(labels, monkeypatch):
    monkeypatch.setattr(views, "load_detector", None)
    assert views.main() == 0
    assert list(read_looks(PATHS.views, "views")) == []
    assert read_views(pool(labels)) == dict.fromkeys(pool(labels), ())


def test_a_film_s_views_are_read_together(labels):
    ask_for("turn_left", "clahe", "enlarge")
    assert views.main() == 0
    chosen = pool(labels)[1:3]
    seen = read_views(chosen)
    assert list(seen) == chosen
    for image_id, of_film in seen.items():
        assert [film.image_id for film in of_film] == [image_id] * 3
    looks = dict(read_looks(PATHS.views, "views"))
    np.testing.assert_array_equal(seen[chosen[0]][2].scores, looks["enlarge"][1].scores)


def test_the_same_pool_gives_the_same_bytes(labels):
    ask_for("turn_right", "clahe")
    assert views.main() == 0
    before = {path.name: path.read_bytes() for path in PATHS.views.iterdir()}
    assert views.main() == 0
    assert {path.name: path.read_bytes() for path in PATHS.views.iterdir()} == before


def test_views_older_than_the_labels_are_refused(labels):
    ask_for("clahe")
    write_labels(PATHS.labels, labels[labels["image_id"] != pool(labels)[0]], number=1)
    assert views.main() == 0
    with pytest.raises(StageOrderError, match=r"1 films of the look clahe, .*`views`"):
        read_views(pool(labels))


def test_a_missing_folder_names_its_stage(labels):
    (PATHS.committee / "looks.json").unlink()
    with pytest.raises(StageOrderError, match="`crossfit`"):
        read_committee(pool(labels))


@pytest.mark.slow
def test_the_real_detector_looks_again(labels, tiny_exported, monkeypatch):
    monkeypatch.setattr(views, "load_detector", load_detector)
    PATHS.model.rename("gone")
    PATHS.model.symlink_to(tiny_exported)
    ask_for("turn_left")
    assert views.main() == 0
    for (film,) in read_views(pool(labels)).values():
        assert film.embedding is None
        assert film.class_scores is not None
        assert (film.boxes <= 256).all()
