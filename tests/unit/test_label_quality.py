"""Films with damaged labels are found among films with good ones."""

import numpy as np
import pytest
from made_up_films import seen, truth

from lungal.evaluation.label_quality import CONFIDENT, rate_labels, right_from
from lungal.records import CLASSES

FILMS = 60
IOU = 0.4


@pytest.fixture
def films():
    """Truths, and what a middling detector sees: near most of them, and noise of low score."""
    rng = np.random.default_rng(0)
    truths, detections = [], []
    for number in range(FILMS):
        count = number % 3
        cells = rng.choice(9, count, replace=False)  # of a 3 x 3 grid: boxes never touch
        low = np.stack([cells % 3, cells // 3], axis=1) * 330 + rng.uniform(10, 60, (count, 2))
        boxes = np.hstack([low, low + rng.uniform(120, 250, (count, 2))])
        labels = rng.integers(0, len(CLASSES), count)
        noise = rng.uniform(0, 800, (4, 2))
        near = boxes + rng.normal(0, 8, boxes.shape)
        truths.append(truth(f"{number:08d}_000", boxes, labels))
        detections.append(
            seen(
                f"{number:08d}_000",
                np.vstack([near, np.hstack([noise, noise + 100])]),
                scores=np.concatenate([rng.uniform(0.35, 0.7, count), rng.uniform(0.01, 0.2, 4)]),
                labels=np.concatenate([labels, rng.integers(0, len(CLASSES), 4)]),
            )
        )
    return truths, detections


def rated(films, place=None, damaged=None):
    truths, detections = list(films[0]), films[1]
    if damaged is not None:
        truths[place] = damaged
    return rate_labels(truths, detections, IOU)


def delete(good):
    return truth(good.image_id, good.boxes[1:], good.labels[1:])


def move(good):
    side = good.boxes[:, 2:] - good.boxes[:, :2]
    return truth(good.image_id, good.boxes + np.tile(side * 0.5, 2), good.labels)


def swap(good):
    return truth(good.image_id, good.boxes, (good.labels + 3) % len(CLASSES))


@pytest.mark.parametrize("place", [7, 8, 31, 59])
@pytest.mark.parametrize(
    ("damage", "kind"), [(delete, "overlooked"), (move, "badly_placed"), (swap, "swapped")]
)
def test_a_damaged_film_is_the_most_suspicious(films, place, damage, kind):
    name = films[0][place].image_id
    before = {film.image_id: film for film in rated(films)}
    assert not before[name].suspicious
    worst = rated(films, place, damage(films[0][place]))[0]
    assert worst.image_id == name
    assert worst.suspicious
    assert worst.quality < before[name].quality
    others = {"overlooked", "badly_placed", "swapped"} - {kind}
    assert getattr(worst, kind) < min(getattr(worst, other) for other in others)


def test_good_labels_are_not_suspicious(films):
    everybody = rated(films)
    assert len(everybody) == FILMS
    assert not any(film.suspicious for film in everybody)
    assert [(film.quality, film.image_id) for film in everybody] == sorted(
        (film.quality, film.image_id) for film in everybody
    )
    assert all(0 <= film.quality <= 1 for film in everybody)


def test_no_order_matters(films):
    backwards = rate_labels(films[0][::-1], films[1][::-1], IOU)
    assert backwards == rated(films)


def test_a_detector_that_is_never_right_accuses_nobody(films):
    truths, detections = films
    elsewhere = detections[1:] + detections[:1]
    strangers = [
        seen(truth.image_id, found.boxes + 5000, scores=found.scores, labels=found.labels)
        for truth, found in zip(truths, elsewhere, strict=True)
    ]
    assert right_from(truths, strangers, IOU, CONFIDENT) is None
    assert {film.quality for film in rate_labels(truths, strangers, IOU)} == {1.0}
    assert not any(film.suspicious for film in rate_labels(truths, strangers, IOU))


def test_noise_that_nobody_is_sure_of_accuses_nobody(films):
    # The noise lies where nothing is labelled; only its score keeps it from being "overlooked".
    threshold = right_from(*films, IOU, CONFIDENT)
    assert max(found.scores[-4:].max() for found in films[1]) < threshold < 0.5


def test_right_from_by_hand():
    box, far = [0, 0, 10, 10], [50, 50, 60, 60]
    truths = [truth("a", [box], [0])]
    # Right: none of one at 0.9, one of three from 0.4 (two tie there), one of four at all.
    found = [seen("a", [box, far, far, far], scores=[0.4, 0.9, 0.4, 0.2], labels=[0, 0, 1, 0])]
    assert right_from(truths, found, IOU, 0.5) is None
    assert right_from(truths, found, IOU, 0.3) == pytest.approx(0.4)
    found = [seen("a", [box, far, far], scores=[0.9, 0.6, 0.5], labels=[0, 0, 0])]
    assert right_from(truths, found, IOU, 0.5) == pytest.approx(0.9)
    assert right_from(truths, [], IOU, 0.5) is None


def test_films_without_boxes_or_detections_are_legal(films):
    truths, detections = films
    empty = [seen(found.image_id, [], scores=[], labels=[]) for found in detections[:30]]
    everybody = rate_labels(truths, [*empty, *detections[30:]], IOU)
    assert len(everybody) == FILMS
    assert np.isfinite([film.quality for film in everybody]).all()
    assert rate_labels([], [], IOU) == []
