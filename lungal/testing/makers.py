"""Made-up values that obey the rules of the real ones."""

from dataclasses import replace
from typing import Any

import numpy as np

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Pool
from lungal.params import SelectParams
from lungal.records import CLASSES, Detections, Image, Task


def make_film(image_id: str, width: int = 96, height: int = 96) -> Image:
    """Return a film of noise that depends on its name alone."""
    random = np.random.default_rng(list(image_id.encode()))
    return Image(image_id, random.integers(0, 256, (height, width), np.uint8))


def make_detections(image_id: str, count: int, width: int = 96, height: int = 96) -> Detections:
    """Return `count` valid detections that depend on the film's name alone, best first."""
    random = np.random.default_rng(list(image_id.encode()))
    corners = random.uniform(0, 0.45, (count, 2)), random.uniform(0.55, 1, (count, 2))
    side = np.array([width, height, width, height])
    class_scores = random.uniform(0.05, 0.95, (count, len(CLASSES))).astype(np.float32)
    class_scores = class_scores[np.argsort(-class_scores.max(axis=1), kind="stable")]
    return Detections(
        image_id,
        (np.hstack(corners) * side).astype(np.float32),
        class_scores.max(axis=1),
        class_scores.argmax(axis=1).astype(np.int32),
        class_scores,
    )


def make_evidence(image_id: str, count: int) -> Evidence:
    """Return evidence of `count` detections, two views and two others' detections of a film."""
    seen = make_detections(image_id, count)

    def again(name: str) -> Detections:
        random = np.random.default_rng(list(f"{image_id} {name}".encode()))
        shift = random.normal(0, 4, seen.boxes.shape).astype(np.float32)
        factor = random.uniform(0.7, 1.0)
        assert seen.class_scores is not None
        return replace(
            seen,
            boxes=seen.boxes + shift,
            scores=(seen.scores * factor).astype(np.float32),
            class_scores=(seen.class_scores * factor).astype(np.float32),
        )

    return Evidence(
        seen,
        views=(again("brighter"), again("darker")),
        committee=(again("second"), make_detections(f"{image_id} third", count)),
        findings=frozenset({CLASSES[count % len(CLASSES)]}),
    )


def make_select(**changes: Any) -> SelectParams:
    """Return parameters of the plainest choice, by the scores of `least_confidence` alone."""
    plain = {"strategy": "least_confidence", "selector": "topk", "aggregate": "mean", "noise": 1.0}
    return SelectParams.model_validate(plain | changes)


def make_pool(films: int, *, labelled: int = 6, length: int = 8, doubts: bool = True) -> Pool:
    """Return a pool of so many films, two of each patient, that depends on the numbers alone.

    Args:
        films: of the pool.
        labelled: films whose embeddings are known as well.
        length: of an embedding.
        doubts: whether the strategy's scores by class are known.
    """
    random = np.random.default_rng([films, labelled, length])
    names = tuple(f"{number // 2:08d}_{number % 2:03d}" for number in range(films))
    shown = random.random((films, len(CLASSES))) < 0.25
    class_scores = np.where(shown, random.uniform(0.05, 1, shown.shape), 0).astype(np.float32)
    known = random.random(films) < 0.8
    return Pool(
        image_ids=names,
        patients=tuple(name[:8] for name in names),
        scores=random.uniform(0, 1, films),
        class_scores=class_scores,
        findings=(random.random(shown.shape) < 0.2) & known[:, None],
        known=known,
        labelled_class_scores=random.uniform(0, 1, (labelled, len(CLASSES))).astype(np.float32),
        embeddings=random.normal(0, 1, (films, length)).astype(np.float32),
        labelled_embeddings=random.normal(0, 1, (labelled, length)).astype(np.float32),
        class_doubts=np.where(shown, 1 - class_scores, 0).astype(np.float32) if doubts else None,
    )


def make_task(
    image_id: str,
    *,
    round: int = 1,  # noqa: A002  the field's name
    rank: int = 1,
    readers: int = 1,
) -> Task:
    """Return a task for a 96x96 film with two pre-drawn boxes."""
    return Task(
        round=round,
        image_id=image_id,
        rank=rank,
        uncertainty=1 / (1 + rank),
        reason="least_confidence",
        model_version=f"r{round}-0a1b2c3d",
        width=96,
        height=96,
        detections=make_detections(image_id, 2),
        readers=readers,
    )
