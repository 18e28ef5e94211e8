"""What readers were asked: written once, the latest counts, and nothing is taken on trust."""

import json
from datetime import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_up_readings import MOMENTS, quick
from made_up_readings import asked as film

from lungal.data.asked import append_asked, from_json, latest_asked, read_asked, to_json
from lungal.errors import AnnotationError
from lungal.records import CLASSES, SeenBox

films = st.builds(
    film,
    st.integers(1, 3),
    round=st.integers(1, 2),
    uncertainty=st.floats(0, 1),
    reason=st.sampled_from(["why", "größer\u2028als"]),
    role=st.sampled_from(["label", "control", "reread", "adjudicate"]),
    blind=st.booleans(),
    readers=st.integers(1, 3),
    seen=st.lists(
        st.builds(
            lambda label, x, score: SeenBox(label, x, 0.0, x + 10, 7.5, score),
            st.sampled_from(CLASSES),
            st.floats(0, 500),
            st.floats(0, 1),
        ),
        max_size=2,
    ).map(tuple),
    at=st.sampled_from(MOMENTS),
)


def moment(asked):
    return datetime.fromisoformat(asked.at)


@quick
@given(st.lists(films, max_size=6))
def test_a_line_says_all_that_was_asked(asked):
    assert [from_json(to_json(one)) for one in asked] == asked
    assert all("\n" not in to_json(one) for one in asked)


@quick
@given(st.lists(films, max_size=8), st.randoms())
def test_order_and_repeats_mean_nothing(asked, random):
    again = [random.choice(asked) for _ in asked] + asked
    random.shuffle(again)
    assert latest_asked(again) == latest_asked(asked)


@quick
@given(st.lists(films, max_size=8))
def test_the_latest_of_a_round_and_film_counts(asked):
    latest = latest_asked(asked)
    assert list(latest) == sorted({(one.round, one.image_id) for one in asked})
    for key, one in latest.items():
        assert (one.round, one.image_id) == key
        rivals = [other for other in asked if (other.round, other.image_id) == key]
        assert one in rivals
        assert all(moment(other) <= moment(one) for other in rivals)


def test_instants_are_compared_not_their_text():
    early = film(at="2026-11-23T11:00:00+02:00", blind=True)  # 09:00 UTC
    late = film(at="2026-11-23T10:00:00Z")
    assert latest_asked([late, early]) == {(1, "00000001_000"): late}


def test_the_same_asked_later_is_not_new(tmp_path):
    queue = tmp_path / "queue.jsonl"
    append_asked(queue, [film()])
    before = queue.read_bytes()
    assert append_asked(queue, [film(at="2026-11-24T08:00:00+00:00")]) == 0
    assert queue.read_bytes() == before


def test_what_changed_is_new_and_counts_from_then_on(tmp_path):
    queue = tmp_path / "queue.jsonl"
    blind = film(blind=True, at="2026-11-24T08:00:00+00:00")
    back = film(at="2026-11-25T08:00:00+00:00")
    assert [append_asked(queue, [one]) for one in (film(), blind, blind, back)] == [1, 1, 0, 1]
    assert latest_asked(read_asked(queue)) == {(1, "00000001_000"): back}


def test_a_line_from_before_is_added_once_and_does_not_count(tmp_path):
    queue = tmp_path / "queue.jsonl"
    old = film(blind=True, at="2026-11-22T08:00:00+00:00")
    assert [append_asked(queue, [one]) for one in (film(), old, old)] == [1, 1, 0]
    assert latest_asked(read_asked(queue)) == {(1, "00000001_000"): film()}


@quick
@given(asked=st.lists(films, max_size=6))
def test_asking_twice_adds_nothing(tmp_path_factory, asked):
    queue = tmp_path_factory.mktemp("queue") / "queue.jsonl"
    append_asked(queue, asked)
    assert append_asked(queue, asked) == 0
    assert latest_asked(read_asked(queue)).keys() == latest_asked(asked).keys()


def test_numbers_of_numpy_are_numbers(tmp_path):
    queue = tmp_path / "queue.jsonl"
    edges = np.array([0.5, 1, 30, 40], np.float32)
    seen = SeenBox("Mass", *edges, np.float32(0.25))
    assert append_asked(queue, [film(uncertainty=np.float32(0.5), seen=(seen,))]) == 1
    assert read_asked(queue)[0].seen == (SeenBox("Mass", 0.5, 1.0, 30.0, 40.0, 0.25),)


def changed(**fields):
    return json.dumps(json.loads(to_json(film())) | fields)


BOX = {"label": "Mass", "x1": 0, "y1": 0, "x2": 5, "y2": 5, "score": 0.5}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{}", "round: Field required"),
        (changed(patient="Doe"), "patient: Extra inputs"),
        (changed(round=0), "round"),
        (changed(rank=0), "rank"),
        (changed(image_id=""), "image_id"),
        (changed(uncertainty=float("inf")), "uncertainty"),
        (changed(role="boss"), "role.*'label'.*'adjudicate'"),
        (changed(blind=1), "blind"),
        (changed(readers=0), "readers"),
        (changed(at="today"), "at: .*today"),
        (changed(at="2026-11-23T10:00:00"), "time zone"),
        (changed(seen=[BOX | {"label": "Hernia"}]), "'Hernia'.*Atelectasis"),
        (changed(seen=[BOX | {"x2": 0}]), "no area"),
        (changed(seen=[BOX | {"score": 1.5}]), r"seen\.0\.score"),
    ],
)
def test_a_line_that_cannot_be_trusted_is_refused(line, complaint):
    with pytest.raises(AnnotationError, match=complaint):
        from_json(line)
