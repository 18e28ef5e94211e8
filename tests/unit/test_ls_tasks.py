"""The labelling interface, and tasks as Label Studio's JSON."""

import json
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.annotation.queries import most_uncertain_first
from lungal.annotation.set_up import SETTINGS
from lungal.annotation.tasks import (
    COMMENT,
    CONFIDENCE,
    FINDING,
    IMAGE,
    NOTE,
    STREAM,
    STUDY,
    labelling_config,
    receipt,
    stream_scores,
    task_data,
    task_prediction,
)
from lungal.records import CLASSES, Detections, LabelledBox, Task
from lungal.testing import make_task

WIDTH, HEIGHT = 1024, 800
PICTURES = {"image": "/i.png", "clahe": "/c.jpg", "inverted": "/n.jpg"}
MASS = LabelledBox("Mass", 100, 200, 300, 400)


def task(**changes: Any) -> Task:
    values = {name: getattr(make_task("00000001_000"), name) for name in Task.__slots__}
    return Task(**(values | {"width": WIDTH, "height": HEIGHT} | changes))


class TestData:
    def test_it_holds_these_and_nothing_else(self) -> None:
        assert task_data(task(uncertainty=0.25), "film-1", PICTURES) == PICTURES | {
            "prior": "",
            "film": "film-1",
            "round": 1,
            "rank": 1,
            "uncertainty": 0.25,
            "receipt": receipt(task(uncertainty=0.25)),
            "model_version": "r1-0a1b2c3d",
            "width": WIDTH,
            "height": HEIGHT,
        }

    @pytest.mark.parametrize(
        "changes",
        [
            {"role": "control"},
            {"role": "reread"},
            {"blind": True},
            {"readers": 2},
            {"image_id": "00000002_000"},
        ],
    )
    def test_what_a_reader_must_not_know_changes_nothing(self, changes: dict[str, Any]) -> None:
        assert task_data(task(**changes), "film-1", PICTURES) == task_data(
            task(), "film-1", PICTURES
        )

    def test_a_prior_film_has_an_address(self) -> None:
        data = task_data(task(prior="00000001_001"), "film-1", PICTURES | {"prior": "/p.png"})
        assert data["prior"] == "/p.png"
        assert "earlier film" in data["receipt"]
        assert "00000001" not in json.dumps(data)


class TestReceipt:
    def test_it_says_why_the_film_is_here(self) -> None:
        words = receipt(task(rank=3, round=2, uncertainty=0.714, model_version="r2-1a2b3c4d"))
        for said in ("Film 3 of round 2", "least confidence", "0.71", "r2-1a2b3c4d"):
            assert said in words

    def test_an_adjudication_says_that_readers_disagree_and_not_who(self) -> None:
        words = receipt(task(role="adjudicate", readings=((MASS,), ())))
        assert "2 readers disagree" in words
        assert "without names" in words


class TestPrediction:
    def test_it_draws_what_was_seen(self) -> None:
        made = task(uncertainty=0.25)
        prediction = task_prediction(made, 0.75)
        assert (prediction["score"], prediction["model_version"]) == (0.75, STREAM)
        assert [region["score"] for region in prediction["result"]] == pytest.approx(
            made.detections.scores.tolist()
        )
        assert len({region["id"] for region in prediction["result"]}) == 2

    def test_a_detection_outside_the_film_is_not_drawn(self) -> None:
        outside = np.array([[2000, 10, 2100, 20]], np.float32)
        seen = Detections("f", outside, np.ones(1, np.float32), np.zeros(1, np.int32))
        assert task_prediction(task(detections=seen), 0.5)["result"] == []

    def test_a_blind_task_has_its_place_in_the_stream_and_no_boxes(self) -> None:
        prediction = task_prediction(task(blind=True), 0.75)
        assert (prediction["score"], prediction["result"]) == (0.75, [])

    def test_an_adjudication_draws_the_readings_instead(self) -> None:
        nodule = LabelledBox("Nodule", 10, 10, 20, 20, confidence="low", comment="Dr X: a vessel?")
        prediction = task_prediction(task(readings=((MASS,), (MASS, nodule))), 0.5)
        drawn = [
            (r["meta"]["text"][0], r["value"]["rectanglelabels"][0]) for r in prediction["result"]
        ]
        assert drawn == [("reading A", "Mass"), ("reading B", "Mass"), ("reading B", "Nodule")]
        assert len({region["id"] for region in prediction["result"]}) == 3
        assert "Dr X" not in json.dumps(prediction)


class TestStream:
    @given(st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=40))
    def test_it_follows_the_rank_whatever_the_uncertainty(self, doubts: list[float]) -> None:
        scores = stream_scores([task(rank=n, uncertainty=u) for n, u in enumerate(doubts, start=1)])
        assert np.all(np.diff(scores) > 0)

    def test_the_score_by_hand(self) -> None:
        ranked = [task(rank=1, uncertainty=0.75), task(rank=2, uncertainty=0.0)]
        assert stream_scores(ranked) == pytest.approx([(3 + 0.2) / 4, (3 + 0.5) / 4])

    def test_a_later_round_comes_before_all_of_an_earlier_one(self) -> None:
        doubts = {1: [1.0, 0.9, 0.9], 2: [0.3, 0.3, 0.0], 3: [0.0, 0.0], 40: [0.0]}
        scores = {
            number: stream_scores(
                [task(round=number, rank=n, uncertainty=u) for n, u in enumerate(of, start=1)]
            )
            for number, of in doubts.items()
        }
        together = [score for number in sorted(scores, reverse=True) for score in scores[number]]
        assert np.all(np.diff(together) > 0)
        assert together[0] > 0
        assert together[-1] < 1
        mixed = [
            task(round=number, rank=n, uncertainty=u)
            for number, of in doubts.items()
            for n, u in enumerate(of, start=1)
        ]
        assert stream_scores(mixed) == [score for number in doubts for score in scores[number]]


class TestInterface:
    @pytest.fixture
    def root(self) -> ET.Element:
        return ET.fromstring(labelling_config())  # noqa: S314  our own text

    def test_it_offers_the_eight_findings_by_number(self, root: ET.Element) -> None:
        assert [label.get("value") for label in root.iter("Label")] == list(CLASSES)
        assert [label.get("hotkey") for label in root.iter("Label")] == list("12345678")

    def test_no_key_means_two_things(self, root: ET.Element) -> None:
        keys = [element.get("hotkey") for element in root.iter() if element.get("hotkey")]
        assert len(set(keys)) == len(keys) == 8 + 3 + 3

    def test_no_box_is_rotated_and_nothing_blocks_a_submit(self, root: ET.Element) -> None:
        (boxes,) = root.iter("RectangleLabels")
        assert boxes.get("canRotate") == "false"
        assert all(image.get("rotateControl") != "true" for image in root.iter("Image"))
        assert not any(element.get("required") for element in root.iter())

    def test_it_asks_of_each_box_and_of_the_film(self, root: ET.Element) -> None:
        asked = {e.get("name"): e for e in root.iter() if e.tag in {"Choices", "TextArea"}}
        assert set(asked) == {STUDY, CONFIDENCE, NOTE, COMMENT}
        per_region = {name for name, e in asked.items() if e.get("perRegion") == "true"}
        assert per_region == {CONFIDENCE, NOTE}
        assert {e.get("toName") for e in asked.values()} == {IMAGE}

    def test_boxes_are_drawn_on_the_film_alone(self, root: ET.Element) -> None:
        assert [e.get("toName") for e in root.iter("RectangleLabels")] == [IMAGE]
        assert [e.get("name") for e in root.iter("RectangleLabels")] == [FINDING]

    def test_it_shows_what_a_task_holds(self, root: ET.Element) -> None:
        shown = {str(e.get("value"))[1:] for e in root.iter() if str(e.get("value"))[:1] == "$"}
        assert shown == {"image", "clahe", "inverted", "prior", "receipt"}
        assert shown <= set(task_data(task(), "film-1", PICTURES))

    def test_the_server_serves_no_film_at_random(self) -> None:
        # More than one here, and films that somebody has read come first, in any order.
        assert SETTINGS["maximum_annotations"] == 1
        assert SETTINGS["sampling"] == "Uncertainty sampling"

    def test_the_data_manager_compares_numbers_as_numbers(self) -> None:
        view = most_uncertain_first()
        (ordering,) = view["ordering"]
        assert ordering[0] == "-"
        assert view["columnsDisplayType"][ordering[1:]] == "Number"
