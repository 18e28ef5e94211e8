"""What `lungal status` says of the next batch: the shape of the rounds so far."""

import pytest

from lungal.cli.rounds import Round, describe_gain


def rounds(films, scores):
    return [
        Round(number, count, 2 * count, dict.fromkeys(("30", "40", "50"), score), "r", {})
        for number, (count, score) in enumerate(zip(films, scores, strict=True), start=1)
    ]


STEEP = [0.1, 0.2, 0.28, 0.35, 0.41, 0.46]
FLAT = [0.1, 0.3, 0.31, 0.311, 0.311, 0.311]


@pytest.mark.parametrize(("scores", "advice"), [(STEEP, "read on"), (FLAT, "be time to stop")])
def test_a_curve_that_still_rises_is_read_on(scores, advice):
    said = describe_gain(rounds(range(60, 180, 20), scores), 20)
    assert said.startswith("next batch: the next 20 films gain at most 0.")
    assert said.endswith(advice)


def test_few_rounds_say_nothing():
    assert describe_gain([], 20) is None
    assert describe_gain(rounds(range(60, 140, 20), STEEP[:4]), 20) is None


def test_a_round_without_new_films_or_without_a_score_does_not_count():
    known = rounds(range(60, 160, 20), STEEP[:5])
    assert describe_gain(known, 20) is not None
    assert describe_gain(rounds([60, 80, 80, 100, 120], STEEP[:5]), 20) is None
    unknown = rounds([160], [None])
    assert describe_gain([*known, *unknown], 20) == describe_gain(known, 20)


def test_the_next_batch_is_as_large_as_it_will_be():
    imported = rounds([60, 80, 100, 600, 620], STEEP[:5])
    assert "the next 20 films" in describe_gain(imported, 20)
    assert "the next 500 films" in describe_gain(imported, 500)


def test_a_detector_that_finds_next_to_nothing_is_no_reason_to_stop():
    assert describe_gain(rounds(range(60, 160, 20), [0.0, 0.01, 0.011, 0.011, 0.012]), 20) is None
