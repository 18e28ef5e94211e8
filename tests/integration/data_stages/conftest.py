"""A project of a dozen small films, as ingest would leave it."""

import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from lungal.data.manifest import write_manifest, write_truth
from lungal.records import CLASSES, LabelledBox
from pipelines.stage import PATHS

ROOT = Path(__file__).parents[3]
SIZES = [(96, 96), (120, 90), (64, 100)]
FILMS = 40


def _film(number: int) -> np.ndarray:
    width, height = SIZES[number % len(SIZES)]
    noise = np.random.default_rng(number).integers(0, 256, (height // 8, width // 8), np.uint8)
    return cv2.resize(noise, (width, height), interpolation=cv2.INTER_LINEAR)


def _boxes(number: int) -> tuple[LabelledBox, ...]:
    count = number % 3  # none, one or two findings
    return tuple(
        LabelledBox(CLASSES[(number + i) % 8], 3.5 + i, 5.25, 40.125 + number / 8, 60.0)
        for i in range(count)
    )


@pytest.fixture
def project(tmp_path, monkeypatch):
    """The root of a project after ingest; also the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "params.yaml", tmp_path)
    set_params(tmp_path, "  initial: 60 ", "  initial: 12 ")
    set_params(tmp_path, "  shards: 4 ", "  shards: 3 ")
    PATHS.images.mkdir(parents=True)
    rows, truth = [], {}
    for number in range(FILMS):
        image_id = f"{number // 2:08d}_{number % 2:03d}"  # two films a patient
        suffix = ".jpg" if number % 7 == 0 else ".png"
        path = PATHS.images / f"{image_id}{suffix}"
        pixels = _film(number)
        cv2.imwrite(str(path), pixels)
        truth[image_id] = _boxes(number)
        rows.append(
            {
                "image_id": image_id,
                "patient_id": image_id[:8],
                "path": str(path.relative_to(PATHS.manifest.parent)),
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                "width": pixels.shape[1],
                "height": pixels.shape[0],
                "view": "PA",
                "sex": None,
                "age": None,
                "findings": [],
                "source": "phantom",
                "official_split": None,
            }
        )
    write_manifest(PATHS.manifest, pd.DataFrame(rows))
    write_truth(PATHS.truth, truth)
    return tmp_path


def set_params(project: Path, old: str, new: str) -> None:
    """Change a line of the project's params.yaml."""
    text = (project / "params.yaml").read_text(encoding="utf-8")
    assert text.count(old) == 1, old
    (project / "params.yaml").write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def change_params(project):
    """A function that replaces a text in the project's params.yaml."""
    return lambda old, new: set_params(project, old, new)
