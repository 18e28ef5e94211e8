"""A small project as it stands after `detect`, made by hand in seconds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd

from lungal.data.detections import write_detections
from lungal.data.images import encode_png
from lungal.data.labels import write_labels
from lungal.data.looks import write_looks
from lungal.data.manifest import write_manifest
from lungal.data.model_run import ModelRun
from lungal.evaluation.calibration import Calibration, as_json
from lungal.records import CLASSES, Detections
from pipelines.stage import PATHS

SIDE = 256
SIDES = ("x1", "y1", "x2", "y2")
REPOSITORY = Path(__file__).resolve().parents[2]
MODEL = ModelRun(
    model_version="r2-0a1b2c3d",
    round=2,
    classes=CLASSES,
    architecture="ssd_mobilenet_v2_fpn",
    input_size=SIDE,
    labelled_films=80,
    labelled_boxes=71,
    best_step=10,
    val={"val/weighted_ap": 0.25},
    weights_sha256="0a1b2c3d" * 8,
    run_key="0123456789abcdef",
)


def make_project(films_per_part=12):
    """Write params.yaml, films, manifest, labels, detections and run.json into the cwd."""
    shutil.copy(REPOSITORY / "params.yaml", "params.yaml")
    random = np.random.default_rng(0)
    rows = [
        make_row(random, number, part)
        for part in ("test", "val", "pool", "labelled")
        for number in range(films_per_part)
    ]
    labels = pd.DataFrame(rows).sort_values("image_id", ignore_index=True)
    write_labels(PATHS.labels, labels, number=1)
    write_films(random, labels)
    for part, split, state in (
        ("test", "test", "labelled"),
        ("val", "val", "labelled"),
        ("pool", "train", "pool"),
        ("train", "train", "labelled"),
    ):
        chosen = labels[(labels["split"] == split) & (labels["state"] == state)]
        examine(part, [look(random, row) for row in chosen.to_dict("records")])
    examine("crossfit", [])
    for folder in (PATHS.views, PATHS.committee):
        write_looks(folder, [])
    write_calibration(Calibration())
    MODEL.write(PATHS.model)
    return labels


def make_row(random, number, part):
    first = {"test": 1, "val": 2, "pool": 3, "labelled": 4}[part] * 10_000_000
    patient = f"{first + number // 2:08d}"  # two films a patient
    split = part if part in ("test", "val") else "train"
    row = {"image_id": f"{patient}_{number % 2:03d}", "patient_id": patient, "split": split}
    row |= {"readers": 0, "agreement": None}
    if part == "pool":
        return row | {"state": "pool", "origin": None, "boxes": None}
    low = random.uniform(10, 120, (number % 3, 2)).round()
    boxes = np.hstack([low, low + random.uniform(40, 120, low.shape).round()])
    named = [
        {"label": CLASSES[random.integers(0, 6)]} | dict(zip(SIDES, box, strict=True))
        for box in boxes.tolist()
    ]
    origin = "initial" if part == "labelled" else "truth"
    return row | {"state": "labelled", "origin": origin, "boxes": named}


def look(random, row):
    """Make up detections: near the truth where it is known, and noise."""
    known = row["boxes"] or []
    truth = [[box[side] for side in SIDES] for box in known]
    low = random.uniform(0, 150, (3, 2))
    noise = np.hstack([low, low + random.uniform(20, 90, low.shape)])
    boxes = np.vstack(
        [np.array(truth).reshape(-1, 4) + random.normal(0, 14, (len(truth), 4)), noise]
    )
    labels = [CLASSES.index(box["label"]) for box in known] + random.integers(0, 8, 3).tolist()
    scores = random.uniform(0.02, 1, len(boxes)).astype(np.float32)
    best = np.argsort(-scores)
    return Detections(
        row["image_id"],
        boxes[best].astype(np.float32),
        scores[best],
        np.array(labels, np.int32)[best],
    )


def examine(part, detections):
    write_detections(PATHS.detections / f"{part}.parquet", detections)


def write_calibration(calibration):
    PATHS.calibration.parent.mkdir(parents=True, exist_ok=True)
    PATHS.calibration.write_text(json.dumps(as_json(calibration)))


def write_films(random, labels):
    PATHS.images.mkdir(parents=True)
    for image_id in labels["image_id"]:
        noise = random.integers(40, 160, (SIDE // 8, SIDE // 8), np.uint8)
        film = np.kron(noise, np.ones((8, 8), np.uint8))
        (PATHS.images / f"{image_id}.png").write_bytes(encode_png(film))
    manifest = labels[["image_id", "patient_id"]].assign(
        path=[f"images/{image_id}.png" for image_id in labels["image_id"]],
        sha256="0" * 64,
        width=SIDE,
        height=SIDE,
        source="phantom",
    )
    unknown = ("view", "sex", "age", "findings", "official_split")
    write_manifest(PATHS.manifest, manifest.assign(**dict.fromkeys(unknown)))
