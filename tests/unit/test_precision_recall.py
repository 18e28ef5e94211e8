"""Average precision: by hand, and against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from made_up_films import copied, made_up, seen, truth
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from lungal.boxes import to_xywh
from lungal.evaluation.matching import match_films
from lungal.evaluation.precision_recall import (
    COCO_IOUS,
    RECALLS,
    coco_ap,
    macro_ap,
    precision_recall_curve,
    weighted_ap,
)
from lungal.records import CLASSES

SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)
HALF_WIDER = (0, 0, 15, 10)


def test_one_hit_is_perfect():
    ap = coco_ap(
        [truth("a", [SQUARE], [2])], [seen("a", [SQUARE], scores=[0.1], labels=[2])], [0.5]
    )
    assert ap[2] == 1
    assert np.isnan(np.delete(ap, 2)).all()


def test_a_miss_before_the_hit_halves_it():
    films = [truth("a", [SQUARE], [0])]
    found = [seen("a", [ELSEWHERE, SQUARE], scores=[0.9, 0.8], labels=[0, 0])]
    assert coco_ap(films, found, [0.5])[0] == pytest.approx(0.5)


def test_a_miss_after_the_hit_costs_nothing():
    films = [truth("a", [SQUARE], [0])]
    found = [seen("a", [ELSEWHERE, SQUARE], scores=[0.8, 0.9], labels=[0, 0])]
    assert coco_ap(films, found, [0.5])[0] == 1


def test_half_of_the_truths_found_is_51_of_101_points():
    films = [truth("a", [SQUARE, ELSEWHERE], [0, 0])]
    found = [seen("a", [SQUARE], scores=[0.9], labels=[0])]
    assert coco_ap(films, found, [0.5])[0] == pytest.approx(51 / 101)


def test_hit_miss_hit_by_hand():
    films = [truth("a", [SQUARE, ELSEWHERE], [0, 0])]
    found = [
        seen("a", [SQUARE, (20, 20, 25, 25), ELSEWHERE], scores=[0.9, 0.8, 0.7], labels=[0, 0, 0])
    ]
    curve = precision_recall_curve(match_films(films, found, 0.5))[0]
    assert curve[:51] == pytest.approx(1)
    assert curve[51:] == pytest.approx(2 / 3)
    assert RECALLS[50] == 0.5


def test_false_alarms_on_films_without_finding_count():
    films = [truth("a", [SQUARE], [0]), truth("b", [], [])]
    found = [
        seen("a", [SQUARE], scores=[0.5], labels=[0]),
        seen("b", [SQUARE], scores=[0.9], labels=[0]),
    ]
    assert coco_ap(films, found, [0.5])[0] == pytest.approx(0.5)


def test_classes_without_truth_are_left_out_and_unseen_classes_are_zero():
    films = [truth("a", [SQUARE, SQUARE], [0, 1])]
    found = [seen("a", [SQUARE, SQUARE], scores=[0.9, 0.9], labels=[0, 7])]
    ap = coco_ap(films, found, [0.5])
    assert ap[:2].tolist() == [1, 0]
    assert np.isnan(ap[7])
    assert macro_ap(films, found, 0.5) == pytest.approx(0.5)


def test_no_truth_at_all_is_zero():
    assert (
        macro_ap([truth("a", [], [])], [seen("a", [SQUARE], scores=[0.9], labels=[0])], 0.5) == 0.0
    )
    assert macro_ap([], [], 0.5) == 0.0


def coco_average_precision(truths, detections, *ious):
    """(C,) from pycocotools, averaged over IoUs, NaN where it says -1."""
    annotations = [
        {
            "id": len(CLASSES) * 1000 * film + k + 1,
            "image_id": film + 1,
            "category_id": int(label) + 1,
            "bbox": [float(v) for v in box],
            "area": float(box[2] * box[3]),
            "iscrowd": 0,
        }
        for film, t in enumerate(truths)
        for k, (box, label) in enumerate(zip(to_xywh(t.boxes), t.labels, strict=True))
    ]
    results = [
        {
            "image_id": film + 1,
            "category_id": int(label) + 1,
            "bbox": [float(v) for v in box],
            "score": float(score),
        }
        for film, d in enumerate(detections)
        for box, score, label in zip(to_xywh(d.boxes), d.scores, d.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": film + 1} for film in range(len(truths))],
            "categories": [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)],
            "annotations": annotations,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(results), "bbox")
        evaluation.params.iouThrs = np.array(ious)
        evaluation.params.areaRng = [[0, 1e10]]
        evaluation.params.areaRngLbl = ["all"]
        evaluation.params.maxDets = [100]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0].mean(axis=0)  # (101, C)
    return np.where(precision[0] < 0, np.nan, precision.mean(axis=0))


@pytest.mark.parametrize("iou", [0.3, 0.4, 0.5, 0.75])
@pytest.mark.parametrize(
    "kind",
    [
        {"classes": np.arange(8)},
        {"classes": np.array([0, 3, 7])},
        {"classes": np.arange(8), "ties": True},
        {"classes": np.array([1, 2]), "ties": True, "whole_pixels": True},
    ],
    ids=["all classes", "some classes", "tied scores", "ties and whole pixels"],
)
def test_agrees_with_pycocotools(iou, kind):
    truths, detections = made_up(np.random.default_rng(int(iou * 100)), films=60, **kind)
    expected = coco_average_precision(truths, detections, iou)
    ours = coco_ap(truths, detections, [iou])
    assert 0.02 < np.nanmean(expected) < 0.98  # else the comparison says nothing
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    assert macro_ap(truths, detections, iou) == pytest.approx(np.nanmean(expected), abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
def test_coco_s_own_ap_agrees_with_pycocotools(ties):
    films = made_up(np.random.default_rng(9), films=60, classes=np.arange(5), ties=ties)
    expected = coco_average_precision(*films, *np.linspace(0.5, 0.95, 10))
    assert tuple(np.linspace(0.5, 0.95, 10)) == COCO_IOUS
    assert 0.02 < np.nanmean(expected) < 0.98
    np.testing.assert_allclose(coco_ap(*films), expected, rtol=0, atol=1e-6)


def test_agrees_with_pycocotools_beyond_a_hundred_detections():
    rng = np.random.default_rng(3)
    truths = [truth("a", [SQUARE, ELSEWHERE], [0, 0])]
    low = rng.uniform(100, 200, (150, 2))
    rows = np.vstack([np.hstack([low, low + 5]), [SQUARE, ELSEWHERE]])
    scores = np.append(rng.uniform(0.2, 1, 150), [0.9, 0.1])
    detections = [seen("a", rows, scores=scores, labels=[0] * 152)]
    expected = coco_average_precision(truths, detections, 0.5)
    np.testing.assert_allclose(coco_ap(truths, detections, [0.5]), expected, atol=1e-6)


def test_the_weighted_ap_counts_boxes_and_not_classes():
    films = [truth(name, [SQUARE], [0]) for name in "abc"] + [truth("d", [SQUARE], [1])]
    found = [seen("d", [SQUARE], scores=[0.9], labels=[1])]
    assert macro_ap(films, found, 0.5) == pytest.approx(0.5)
    assert weighted_ap(films, found, (0.5,)) == pytest.approx(0.25)


def test_the_weighted_ap_is_the_mean_over_overlaps():
    films, found = [truth("a", [SQUARE], [0])], [seen("a", [HALF_WIDER], scores=[0.9], labels=[0])]
    at = [macro_ap(films, found, iou) for iou in (0.3, 0.9)]
    assert at == pytest.approx([1.0, 0.0])
    assert weighted_ap(films, found, (0.3, 0.9)) == pytest.approx(0.5)


def test_the_weighted_ap_without_any_truth_is_zero():
    assert weighted_ap([], [], (0.5,)) == 0.0
    assert weighted_ap([truth("a", [], [])], [], (0.5,)) == 0.0


def test_weights_are_copies_of_films():
    rng = np.random.default_rng(7)
    truths, detections = made_up(rng, films=20, classes=np.arange(4))
    weights = rng.integers(0, 4, 20)
    weighted = precision_recall_curve(match_films(truths, detections, 0.4), weights.astype(float))
    naive = precision_recall_curve(
        match_films(copied(truths, weights), copied(detections, weights), 0.4)
    )
    np.testing.assert_allclose(weighted, naive, atol=1e-12)
