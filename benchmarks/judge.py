"""Judge detections of a workspace's test films: `lungal detect`'s JSON or the plain run's.

    uv run python -m benchmarks.judge WORKSPACE DETECTIONS.json...

Prints macro AP with its 90 % interval (bootstrap over patients), and AP@.4 of each class.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from lungal.data.labels import ground_truth, read_labels
from lungal.evaluation.bootstrap import class_ap_at, intervals
from lungal.records import CLASSES, Detections, class_index

IOUS = (0.3, 0.4, 0.5)


def read(path: Path) -> list[Detections]:
    """Return the films of a JSON file in either of the two forms."""
    document: Any = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(document, list):
        return [_film(row, row["boxes"], row["scores"], row["labels"]) for row in document]
    films = []
    for row in document["films"]:
        found = row["detections"]
        boxes, scores = [d["box"] for d in found], [d["score"] for d in found]
        films.append(_film(row, boxes, scores, [class_index(d["label"]) for d in found]))
    return films


def _film(row: Any, boxes: Any, scores: Any, labels: Any) -> Detections:
    return Detections(
        row["image_id"],
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def main() -> None:
    """Judge each file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("detections", type=Path, nargs="+")
    args = parser.parse_args()
    labels = read_labels(args.workspace / "data/labels.parquet")
    truths = ground_truth(labels, "test")
    patients = dict(zip(labels["image_id"], labels["patient_id"], strict=True))
    for path in args.detections:
        found = read(path)
        print(path)
        for iou in IOUS:
            macro, *per_class = intervals(
                truths, found, class_ap_at(iou), seed=0, draws=500, groups=patients
            )
            print(f"  AP@{iou:.1f} {macro.value:.3f} [{macro.low:.3f}, {macro.high:.3f}]")
            if iou == 0.4:
                names = zip(CLASSES, per_class, strict=True)
                print("   ", ", ".join(f"{name} {of.value:.3f}" for name, of in names))


if __name__ == "__main__":
    main()
