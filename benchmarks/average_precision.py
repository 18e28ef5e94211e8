"""Average precision of 1,000 films x 100 detections, against pycocotools.

At a single IoU, and as COCO's own number: over ten IoUs, which pycocotools matches in one go.
"""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.timing import Ratio, compare
from lungal.boxes import to_xywh
from lungal.evaluation.precision_recall import COCO_IOUS, coco_ap
from lungal.records import Detections, GroundTruth

FILMS, BOXES, CLASSES = 1000, 100, 8


def make_films() -> tuple[list[GroundTruth], list[Detections]]:
    """Return seeded films: up to three boxes, a hundred detections, some near a box."""
    random = np.random.default_rng(0)
    truths, found = [], []
    for number in range(FILMS):
        boxes = _boxes(random, int(random.integers(0, 4)))
        seen = _boxes(random, BOXES)
        seen[: len(boxes)] = boxes + random.normal(0, 10, (len(boxes), 1)).round()
        name = f"{number:08d}_000"
        truths.append(GroundTruth(name, boxes, _labels(random, len(boxes))))
        scores = np.sort(random.random(BOXES, np.float32))[::-1]
        found.append(Detections(name, seen, scores, _labels(random, BOXES)))
    return truths, found


def _boxes(random: np.random.Generator, count: int) -> np.ndarray:
    corner = random.uniform(0, 800, (count, 2))
    boxes = np.hstack([corner, corner + random.uniform(20, 220, (count, 2))])
    return boxes.round().astype(np.float32)  # whole pixels: no rounding between the conventions


def _labels(random: np.random.Generator, count: int) -> np.ndarray:
    return random.integers(0, CLASSES, count).astype(np.int32)


def their_ap(truths: list[GroundTruth], found: list[Detections], ious: Sequence[float]) -> float:
    """Return the same number by pycocotools, conversion to its dictionaries included."""
    coco = COCO()
    annotations = [
        {"image_id": i, "category_id": int(k), "bbox": b.tolist(), "area": float(b[2] * b[3])}
        for i, truth in enumerate(truths)
        for k, b in zip(truth.labels, to_xywh(truth.boxes), strict=True)
    ]
    coco.dataset = {
        "images": [{"id": i} for i in range(len(truths))],
        "categories": [{"id": k} for k in range(CLASSES)],
        "annotations": [a | {"id": n, "iscrowd": 0} for n, a in enumerate(annotations, start=1)],
    }
    results = [
        {"image_id": i, "category_id": int(k), "bbox": b.tolist(), "score": float(s)}
        for i, film in enumerate(found)
        for k, b, s in zip(film.labels, to_xywh(film.boxes), film.scores, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.params.iouThrs = np.array(ious)
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # IoUs, recalls, classes
    return float(precision[:, :, precision[0, 0] > -1].mean())


def our_ap(truths: list[GroundTruth], found: list[Detections], ious: Sequence[float]) -> float:
    """Return the AP averaged over overlaps and the classes with truth."""
    return float(np.nanmean(coco_ap(truths, found, ious)))


def run(ious: Sequence[float] = COCO_IOUS) -> Ratio:
    """Check that both agree, then time them."""
    truths, found = make_films()
    ours, theirs = our_ap(truths, found, ious), their_ap(truths, found, ious)
    if abs(ours - theirs) > 1e-6:
        raise AssertionError(f"AP {ours} is not pycocotools' {theirs}")
    return compare(
        lambda: our_ap(truths, found, ious), lambda: their_ap(truths, found, ious), rounds=3
    )
