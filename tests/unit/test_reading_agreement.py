"""Agreement: by hand, between 0 and 1, and the same whoever is named first."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_readings import FEW, box, box_lists, quick, reading

from lungal.reading.agreement import film_agreement, findings_alpha, mean_iou

readers = st.lists(box_lists(FEW), min_size=1, max_size=4)


@quick
@given(readers, st.randoms())
def test_agreement_is_a_share_and_the_same_for_all_orders(readings, random):
    found = film_agreement(readings, 0.4)
    assert 0 <= found <= 1
    assert film_agreement(random.sample(readings, len(readings)), 0.4) == found


@quick
@given(box_lists(FEW), st.integers(1, 4))
def test_readers_who_say_the_same_agree(boxes, count):
    assert film_agreement([boxes] * count, 0.4) == 1
    expected = 1 if boxes and count > 1 else None
    assert mean_iou([boxes] * count, 0.4) == expected


@quick
@given(readers)
def test_a_threshold_that_is_harder_to_meet_finds_no_more_agreement(readings):
    assert film_agreement(readings, 0.7) <= film_agreement(readings, 0.3)


@quick
@given(readers)
def test_shared_boxes_overlap_at_least_as_much_as_the_threshold(readings):
    found = mean_iou(readings, 0.4)
    assert found is None or 0.4 <= found + 1e-6 <= 1 + 2e-6


def test_agreement_is_the_f1_of_boxes():
    one = [box("Mass"), box("Nodule", x=300)]
    other = [box("Mass", height=80), box("Effusion", x=300), box("Mass", x=600)]
    # One pair among 2 + 3 boxes.
    assert film_agreement([one, other], 0.4) == pytest.approx(2 / 5)
    assert mean_iou([one, other], 0.4) == pytest.approx(0.8)


def test_three_readers_are_three_pairs():
    a, b, nothing = [box()], [box(height=50)], []
    assert film_agreement([a, b, nothing], 0.4) == pytest.approx((1 + 0 + 0) / 3)
    assert mean_iou([a, b, nothing], 0.4) == pytest.approx(0.5)


def test_two_readers_who_see_nothing_agree():
    assert film_agreement([[], []], 0.4) == 1
    assert film_agreement([[], [box()]], 0.4) == 0
    assert mean_iou([[], []], 0.4) is None


def film(*words):
    """A film's readings, each given by the findings that its reader names."""
    return [
        reading(
            number,
            reader=f"r{number}",
            verdict="finding" if names else "no_finding",
            boxes=tuple(box(name) for name in names),
        )
        for number, names in enumerate(words)
    ]


def test_alpha_by_hand():
    # Krippendorff 2011, section A, with one class: ten films, two readers, of which they say
    # 0 1 0 0 0 0 0 0 1 0
    # 1 1 1 0 0 1 0 0 0 0, his example (observer A, observer B), alpha = 0.095.
    ones = [(0, 1), (1, 1), (0, 1), (0, 0), (0, 0), (0, 1), (0, 0), (0, 0), (1, 0), (0, 0)]
    films = [film(*(["Mass"] if there else [] for there in pair)) for pair in ones]
    assert findings_alpha(films, ["Mass"]) == pytest.approx(0.095, abs=5e-4)


def test_a_unit_is_a_film_and_a_class():
    films = [film(["Mass"], ["Mass"]), film(["Nodule"], [])]
    # Units with two readers: 16 films x classes; 15 agree. Values: 29 x no, 3 x yes.
    # alpha = 1 - (n - 1) * o / (n_0 * n_1) = 1 - 31 * 1 / (29 * 3), o the mismatched pairs.
    assert findings_alpha(films) == pytest.approx(1 - 31 * 1 / (29 * 3))


def test_several_boxes_of_a_finding_are_one_presence():
    twice = [reading(1, boxes=(box(), box(x=300))), reading(2, reader="b", boxes=(box(),))]
    nothing = film([], [])
    assert findings_alpha([twice, nothing]) == pytest.approx(1)


def test_a_reader_who_passes_is_a_gap():
    films = [film(["Mass"], ["Mass"]), film(["Nodule"], [])]
    passing = [reading(9, reader="c", verdict="skipped", boxes=())]
    assert findings_alpha([one + passing for one in films]) == findings_alpha(films)
    assert findings_alpha([*films, film(["Mass"]) + passing]) == findings_alpha(films)


@pytest.mark.parametrize(
    "films",
    [[], [film(["Mass"])], [film([], []), film([], [])]],
    ids=["no film", "one reader", "always the same"],
)
def test_what_cannot_be_said_is_none(films):
    assert findings_alpha(films) is None


def test_one_class_that_is_always_there_says_nothing_of_chance():
    assert findings_alpha([film(["Mass"], ["Mass"])] * 3, ["Mass"]) is None
