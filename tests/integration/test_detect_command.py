"""`lungal detect` with a tiny model that was really trained."""

import io
import json
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from plugins.tiny_detector import film

from lungal.cli.main import main
from lungal.data.images import encode_jpeg, encode_png, read_pixels
from lungal.detectors.tfod.infer import SavedModelDetector, load_detector
from lungal.params import DetectParams
from lungal.records import CLASSES, Image

pytestmark = pytest.mark.slow

SIDE = 192  # of the films that the tiny detector was trained on, pixels
DRAW = 0.02


@dataclass(frozen=True)
class Detected:
    """What one call made of a folder and of a file beside it."""

    code: int
    said: str
    out: Path
    document: dict[str, Any]
    unreadable: Path


def detect(*arguments: object) -> tuple[int, str]:
    said = io.StringIO()
    with redirect_stderr(said):
        code = main(["detect", *map(str, arguments)])
    return code, said.getvalue()


@pytest.fixture(scope="module")
def detected(tiny_exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Detected:
    home = tmp_path_factory.mktemp("detect")
    inner = home / "films" / "inner"
    inner.mkdir(parents=True)
    (home / "films" / "a.png").write_bytes(encode_png(film(1)[0].pixels))
    (inner / "b.JPG").write_bytes(encode_jpeg(film(2)[0].pixels))
    (inner / "notes.txt").write_text("no film")
    (home / "a.png").write_bytes(encode_png(film(3)[0].pixels))  # another film of the same name
    unreadable = home / "films" / "c.png"
    unreadable.write_bytes(encode_png(film(4)[0].pixels)[:500])
    out = home / "out"
    code, said = detect(
        home / "films", home / "a.png", "--out", out, "--model", tiny_exported, "--threshold", DRAW
    )
    document = json.loads((out / "detections.json").read_text())
    return Detected(code, said, out, document, unreadable)


def test_every_film_of_files_and_folders_is_there(detected: Detected, tiny_exported: Path) -> None:
    assert detected.code == 0
    paths = [Path(found["path"]) for found in detected.document["films"]]
    assert [path.name for path in paths] == ["a.png", "a.png", "b.JPG"]
    assert all(path.exists() for path in paths)
    assert len({found["image_id"] for found in detected.document["films"]}) == 3
    model = json.loads((tiny_exported / "run.json").read_text())
    assert detected.document["model_version"] == model["model_version"]


def test_the_boxes_are_the_detector_s(detected: Detected, tiny_exported: Path) -> None:
    films = detected.document["films"]
    images = [Image(found["image_id"], read_pixels(Path(found["path"]))) for found in films]
    detector = load_detector(tiny_exported, DetectParams(score_threshold=0.01))
    for found, expected in zip(films, detector.detect(images), strict=True):
        boxes = found["detections"]
        assert boxes
        assert [box["label"] for box in boxes] == [CLASSES[label] for label in expected.labels]
        np.testing.assert_allclose([box["box"] for box in boxes], expected.boxes, atol=0.06)
        np.testing.assert_allclose([box["score"] for box in boxes], expected.scores, atol=1e-4)
        assert min(box["score"] for box in boxes) >= 0.01


def test_a_film_can_be_looked_at_once(tiny_exported: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(film(1)[0].pixels))
    options = ("--model", tiny_exported, "--out", tmp_path / "out", "--no-pictures", "--once")
    assert detect(tmp_path / "a.png", *options)[0] == 0
    (found,) = json.loads((tmp_path / "out" / "detections.json").read_text())["films"]
    image = Image("a", read_pixels(tmp_path / "a.png"))
    params = DetectParams(score_threshold=0.01)
    (twice,) = load_detector(tiny_exported, params).detect([image])
    (once,) = SavedModelDetector(tiny_exported, params).detect([image])
    scores = [box["score"] for box in found["detections"]]
    np.testing.assert_allclose(scores, once.scores, atol=1e-5)
    # How far two looks lie from one varies with the training: any of the boxes may tell.
    assert len(twice) != len(once) or not np.allclose(twice.scores, once.scores, atol=1e-4)


def test_the_pictures_show_the_boxes(detected: Detected) -> None:
    pictures = sorted((detected.out / "pictures").iterdir())
    assert len(pictures) == 3
    coloured = [is_coloured(cv2.imread(str(picture))) for picture in pictures]
    surest = [
        max((one["score"] for one in found["detections"]), default=0)
        for found in detected.document["films"]
    ]
    assert any(coloured)
    assert sorted(coloured) == sorted(score >= DRAW for score in surest)


def is_coloured(picture: Any) -> bool:
    assert picture.shape == (SIDE, SIDE, 3)
    channels = picture.astype(int)
    return bool((channels.max(axis=2) - channels.min(axis=2)).max() > 60)


def test_an_unreadable_file_is_reported_and_skipped(detected: Detected) -> None:
    (refused,) = detected.document["refused"]
    assert refused == f"{detected.unreadable}: no whole PNG or JPEG image"
    said = " ".join(detected.said.split())  # lines are folded to the terminal's width
    assert "skipped" in said
    assert "3 films read, 1 skipped" in said


def test_no_pictures_and_a_higher_bar(tiny_exported: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(film(1)[0].pixels))
    options = ("--no-pictures", "--keep", "0.99", "--model", tiny_exported)
    assert detect(tmp_path / "a.png", "--out", tmp_path / "out", *options)[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["detections.json"]
    document = json.loads((tmp_path / "out/detections.json").read_text())
    (found,) = document["films"]
    assert found["detections"] == []


def test_a_path_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    code, said = detect(tmp_path / "gone.png", "--out", tmp_path / "out")
    assert (code, said) == (2, f"lungal: {tmp_path / 'gone.png'} does not exist\n")
    assert not (tmp_path / "out").exists()


def test_a_folder_without_films_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no film")
    code, said = detect(tmp_path, "--out", tmp_path / "out")
    assert (code, said) == (2, f"lungal: no .jpeg, .jpg, .png file in {tmp_path}\n")


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode_png(film(1)[0].pixels))
    code, said = detect(tmp_path / "a.png", "--out", tmp_path / "out", "--model", tmp_path)
    assert code == 1
    assert said.startswith(f"lungal: {tmp_path} is no model folder")
    assert "dvc repro train" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_not_one_readable_film_is_an_error(tiny_exported: Path, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no film")
    arguments = (tmp_path / "a.png", "--out", tmp_path / "out", "--model", tiny_exported)
    code, said = detect(*arguments)
    assert code == 2
    assert said.splitlines()[-1] == "lungal: none of 1 files is a readable film"
