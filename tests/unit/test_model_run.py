"""run.json of a model's folder: its bytes, and what is said of a folder or a file without it."""

import json
from pathlib import Path

import pytest

from lungal.data.model_run import FILE, ModelRun, ServedModel
from lungal.errors import DetectorError

MODEL = ModelRun(
    model_version="r2-0a1b2c3d",
    round=2,
    classes=("Mass", "Nodule"),
    architecture="centernet_resnet50",
    input_size=96,
    labelled_films=80,
    labelled_boxes=71,
    best_step=10,
    val={"val/weighted_ap": 0.25},
    weights_sha256="0a1b2c3d",
    run_key="0123456789abcdef",
)
WRITTEN = """{
 "model_version": "r2-0a1b2c3d",
 "round": 2,
 "classes": [
  "Mass",
  "Nodule"
 ],
 "architecture": "centernet_resnet50",
 "input_size": 96,
 "labelled_films": 80,
 "labelled_boxes": 71,
 "best_step": 10,
 "val": {
  "val/weighted_ap": 0.25
 },
 "weights_sha256": "0a1b2c3d",
 "run_key": "0123456789abcdef"
}
"""


def test_it_is_written_as_ever_and_read_as_it_was(tmp_path: Path) -> None:
    MODEL.write(tmp_path)
    assert (tmp_path / FILE).read_text() == WRITTEN
    assert ModelRun.read(tmp_path) == MODEL


def test_who_only_looks_needs_no_more_than_that(tmp_path: Path) -> None:
    MODEL.write(tmp_path)
    served = ServedModel("r2-0a1b2c3d", ("Mass", "Nodule"), 96)
    assert ServedModel.read(tmp_path) == served
    served.write(tmp_path)
    assert ServedModel.read(tmp_path) == served
    with pytest.raises(DetectorError, match=r"run\.json is damaged: round: .*required"):
        ModelRun.read(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", r"run\.json is damaged: Invalid JSON"),
        ("[]", r"run\.json is damaged: Input should be an object"),
        ("\xff", r"run\.json is damaged: Invalid JSON"),
        (json.dumps({"model_version": 3}), r"damaged: model_version: .*valid string"),
        (WRITTEN.replace("96", '"96"'), r"damaged: input_size: .*valid integer"),
        (WRITTEN.replace("0.25", "null"), r"damaged: val: val/weighted_ap: .*valid number"),
    ],
)
def test_a_damaged_file_is_one_line(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / FILE).write_bytes(content.encode("latin-1"))
    with pytest.raises(DetectorError, match=words) as refused:
        ModelRun.read(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_folder_without_it_is_no_model_folder(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "gone"):
        with pytest.raises(
            DetectorError, match=r"is no model folder \(no run\.json\).*repro train"
        ):
            ServedModel.read(folder)
