"""Films and detections made up for the tests of lungal.evaluation."""

from dataclasses import replace

import numpy as np

from lungal.records import CLASSES, Detections, GroundTruth


def truth(image_id, rows, labels):
    return GroundTruth(
        image_id, np.array(rows, np.float32).reshape(-1, 4), np.array(labels, np.int32)
    )


def seen(image_id, rows, *, scores, labels):
    return Detections(
        image_id,
        np.array(rows, np.float32).reshape(-1, 4),
        np.array(scores, np.float32),
        np.array(labels, np.int32),
    )


def made_up(rng, *, films, classes, ties=False, whole_pixels=False):
    """Films with 0-4 truths and detections that jitter around them, plus noise."""
    truths, detections = [], []
    for number in range(films):
        count = int(rng.integers(0, 5))
        low = rng.uniform(0, 700, (count, 2))
        boxes = np.hstack([low, low + rng.uniform(30, 300, (count, 2))])
        labels = rng.choice(classes, count)
        near = np.repeat(boxes, 3, axis=0)
        near = near + rng.normal(0, 25, near.shape)
        noise = rng.uniform(0, 700, (int(rng.integers(0, 12)), 2))
        noise = np.hstack([noise, noise + rng.uniform(30, 300, noise.shape)])
        found = np.vstack([near, noise])
        found[:, 2:] = np.maximum(found[:, 2:], found[:, :2] + 1)
        if whole_pixels:
            boxes, found = boxes.round(), found.round()
        scores = rng.uniform(0, 1, len(found))
        if ties:
            scores = (scores * 5).round() / 5
        kinds = np.concatenate([np.repeat(labels, 3), rng.integers(0, len(CLASSES), len(noise))])
        truths.append(truth(f"{number:06d}", boxes, labels))
        detections.append(seen(f"{number:06d}", found, scores=scores, labels=kinds))
    return truths, detections


def copied(films, weights):
    """Copy each film as often as its weight says, under names that keep the order."""
    return [
        replace(film, image_id=f"{film.image_id}-{copy}")
        for film, times in zip(films, weights, strict=True)
        for copy in range(int(times))
    ]
