"""Films as columns, and all of them matched at once: the same as film by film."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_films import made_up, seen, truth

from lungal.boxes import aligned_iou, iou
from lungal.evaluation.matching import match, match_films, match_films_at, surest_first
from lungal.evaluation.pairs import MAX_DETECTIONS, pair_boxes, pair_films
from lungal.records import CLASSES

SQUARE, ELSEWHERE = (0, 0, 10, 10), (50, 50, 60, 60)


def film_by_film(truths, detections, threshold):
    """Return (label, -score, film, place) of each detection and whether `match` calls it a hit."""
    rows = []
    for number, (film, found) in enumerate(pair_films(truths, detections)):
        order = surest_first(found)
        for label in np.unique(found.labels):
            mine = order[found.labels[order] == label][:MAX_DETECTIONS]
            paired = match(film.boxes[film.labels == label], found.boxes[mine], threshold)
            rows += [
                (label, -found.scores[k], number, place, hit >= 0)
                for place, (k, hit) in enumerate(zip(mine, paired, strict=True))
            ]
    return sorted(rows)


@pytest.mark.parametrize("threshold", [0.1, 0.3, 0.5, 0.75])
@pytest.mark.parametrize("seed", range(6))
def test_all_films_at_once_are_matched_as_film_by_film(seed, threshold):
    rng = np.random.default_rng(seed)
    truths, detections = made_up(
        rng,
        films=25,
        classes=np.arange(1 + seed),
        ties=bool(seed % 2),
        whole_pixels=bool(seed % 3),
    )
    matches = match_films(truths[::-1], detections, threshold)
    expected = film_by_film(truths, detections, threshold)
    assert matches.labels.tolist() == [row[0] for row in expected]
    assert matches.film.tolist() == [row[2] for row in expected]
    assert matches.hits.tolist() == [row[4] for row in expected]
    assert 0 < matches.hits.sum() < len(expected)


corner = st.integers(0, 6)
box = st.tuples(corner, corner, st.integers(1, 6), st.integers(1, 6)).map(
    lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
)
films = st.lists(
    st.tuples(
        st.lists(st.tuples(box, st.integers(0, 1)), max_size=4),
        st.lists(st.tuples(box, st.integers(0, 1), st.sampled_from([0.2, 0.5, 0.9])), max_size=6),
    ),
    max_size=3,
)


@given(films, st.sampled_from([0.3, 0.5, 0.75]))
def test_few_crowded_films_with_equal_scores_and_equal_overlaps(rows, threshold):
    truths = [
        truth(f"{k}", [b for b, _ in boxes], [c for _, c in boxes])
        for k, (boxes, _) in enumerate(rows)
    ]
    detections = [
        seen(
            f"{k}",
            [b for b, _, _ in found],
            scores=[s for _, _, s in found],
            labels=[c for _, c, _ in found],
        )
        for k, (_, found) in enumerate(rows)
    ]
    matches = match_films(truths, detections, threshold)
    expected = film_by_film(truths, detections, threshold)
    assert matches.hits.tolist() == [row[4] for row in expected]


def test_several_overlaps_are_matched_as_each_alone():
    films = made_up(np.random.default_rng(1), films=30, classes=np.arange(4))
    thresholds = (0.3, 0.5, 0.9)
    for together, threshold in zip(match_films_at(*films, thresholds), thresholds, strict=True):
        alone = match_films(*films, threshold)
        np.testing.assert_array_equal(together.hits, alone.hits)
        np.testing.assert_array_equal(together.truths, alone.truths)


def test_the_columns_by_hand():
    truths = [truth("b", [SQUARE, ELSEWHERE, SQUARE], [1, 0, 1]), truth("a", [ELSEWHERE], [1])]
    found = [
        seen("b", [SQUARE, SQUARE], scores=[0.5, 0.9], labels=[1, 1]),
        seen("a", [SQUARE, ELSEWHERE], scores=[0.5, 0.7], labels=[1, 0]),
    ]
    pairs = pair_boxes(truths, found)
    assert pairs.image_ids == ("a", "b")
    assert pairs.labels.tolist() == [0, 1, 1, 1]
    assert pairs.film.tolist() == [0, 1, 0, 1]
    assert pairs.rank.tolist() == [0, 0, 0, 1]
    assert pairs.truth_film.tolist() == [0, 1, 1, 1]
    assert pairs.truth_labels.tolist() == [1, 0, 1, 1]
    assert list(zip(pairs.detection.tolist(), pairs.truth.tolist(), strict=True)) == [
        (1, 2),
        (1, 3),
        (2, 0),
        (3, 2),
        (3, 3),
    ]
    assert pairs.truths.tolist() == [[0, 1, *[0] * 6], [1, 2, *[0] * 6]]


def test_nothing_at_all():
    pairs = pair_boxes([], [])
    assert pairs.boxes.shape == pairs.truth_boxes.shape == (0, 4)
    assert pairs.truths.shape == (0, len(CLASSES))
    assert match_films([], [], 0.5).hits.shape == (0,)


def test_overlaps_of_partners_are_those_of_all_with_all():
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (2, 40, 2))
    a, b = np.concatenate([low, low + rng.uniform(0, 60, low.shape)], axis=2).astype(np.float32)
    a[0] = b[0] = 3  # without area
    np.testing.assert_array_equal(aligned_iou(a, b), np.diag(iou(a, b)))
