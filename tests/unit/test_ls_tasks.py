"""Tasks become Label Studio JSON, its annotations become readings, what is wrong is refused."""

from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.annotation.readings import last_words, reading, utc
from lungal.annotation.tasks import (
    box_regions,
    labelling_config,
    stream_scores,
    study_region,
    task_data,
    task_prediction,
)
from lungal.data.annotations import from_json, to_json
from lungal.errors import AnnotationError
from lungal.records import CLASSES, Annotation, Detections, GroundTruth, LabelledBox, Task
from lungal.testing import make_task

LINK = "http://127.0.0.1:8080/projects/3/data?task=7"
WIDTH, HEIGHT = 1024, 800


def task(**changes: Any) -> Task:
    values = {name: getattr(make_task("00000001_000"), name) for name in Task.__slots__}
    return Task(**(values | {"width": WIDTH, "height": HEIGHT} | changes))


def regions(*boxes: LabelledBox) -> list[dict[str, Any]]:
    drawn = GroundTruth.of("", boxes)
    return box_regions(drawn.boxes, drawn.labels, WIDTH, HEIGHT)


def annotation(result: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    return {
        "id": 11,
        "completed_by": 2,
        "updated_at": "2026-11-23T18:52:31.747710Z",
        "lead_time": 12.3456,
        "was_cancelled": False,
        "result": result,
    } | changes


def read(result: list[dict[str, Any]], **changes: Any) -> Annotation:
    return reading(3, task_data(task(), "/film.png"), annotation(result, **changes), LINK)


MASS = LabelledBox("Mass", 100, 200, 300, 400)

corner = st.floats(0, 1, width=32)


@st.composite
def boxes(draw: st.DrawFn) -> LabelledBox:
    (x1, x2), (y1, y2) = (sorted((draw(corner), draw(corner))) for _ in range(2))
    label = draw(st.sampled_from(CLASSES))
    width, height = WIDTH - 1, HEIGHT - 1
    return LabelledBox(label, x1 * width, y1 * height, x2 * width + 1, y2 * height + 1)


class TestRoundTrip:
    @given(st.lists(boxes(), max_size=6))
    def test_boxes_come_back_within_a_hundredth_of_a_pixel(self, drawn: list[LabelledBox]) -> None:
        found = read(regions(*drawn))
        assert [box.label for box in found.boxes] == [box.label for box in drawn]
        for before, after in zip(drawn, found.boxes, strict=True):
            np.testing.assert_allclose(after.xyxy, before.xyxy, atol=0.01)
        assert found.verdict == ("finding" if drawn else "no_finding")
        assert from_json(to_json(found)) == found

    def test_a_reading_says_whose_it_is_and_what_it_read(self) -> None:
        found = read(regions(MASS))
        assert found.source_id == "ls-3-11@2026-11-23T18:52:31.747710Z"
        assert (found.image_id, found.round, found.reader) == ("00000001_000", 1, "user-2")
        assert (found.model_version, found.seconds) == ("r1-0a1b2c3d", 12.346)

    def test_an_edit_is_another_reading(self) -> None:
        assert read([], updated_at="2026-11-24T00:00:00Z").source_id != read([]).source_id

    def test_moments_are_utc_and_sort_as_texts(self) -> None:
        assert utc("2026-11-23T19:00:00+01:00") == "2026-11-23T18:00:00.000000Z"


class TestVerdict:
    @pytest.mark.parametrize(
        ("result", "verdict"),
        [
            ([], "no_finding"),
            ([study_region("No finding")], "no_finding"),
            (regions(MASS), "finding"),
            ([*regions(MASS), study_region("Finding present")], "finding"),
            ([study_region("Unreadable")], "unreadable"),
            ([*regions(MASS), study_region("Unreadable")], "unreadable"),
        ],
    )
    def test_it_follows_from_choice_and_boxes(
        self, result: list[dict[str, Any]], verdict: str
    ) -> None:
        found = read(result)
        assert found.verdict == verdict
        assert bool(found.boxes) == (verdict == "finding")

    def test_a_skipped_task_is_no_label(self) -> None:
        found = read(regions(MASS), was_cancelled=True)
        assert (found.verdict, found.boxes) == ("skipped", ())


def changed(region: dict[str, Any], value: dict[str, Any], **outer: Any) -> list[dict[str, Any]]:
    return [region | outer | {"value": region["value"] | value}]


ONE = regions(MASS)[0]


class TestRefusal:
    @pytest.mark.parametrize(
        ("result", "reason"),
        [
            ([*regions(MASS), study_region("No finding")], "'No finding' but holds 1 boxes"),
            ([study_region("Finding present")], "'Finding present' but holds no box"),
            ([study_region("No finding"), study_region("Unreadable")], "several verdicts"),
            ([study_region("Maybe")], "verdict 'Maybe'"),
            (changed(ONE, {"rotation": 30}), "rotated Mass box"),
            (changed(ONE, {}, image_rotation=90), "rotated Mass box"),
            (changed(ONE, {"rectanglelabels": ["Tumour"]}), "Tumour"),
            (changed(ONE, {"rectanglelabels": []}), "labels []"),
            (changed(ONE, {"rectanglelabels": ["Mass", "Nodule"]}), "'Nodule'"),
            (changed(ONE, {}, from_name="other"), "'other'"),
            (changed(ONE, {}, type="ellipselabels"), "ellipselabels"),
            (changed(ONE, {"width": 0}), "without area"),
            (changed(ONE, {"height": -5}), "without area"),
            (changed(ONE, {"x": 101, "width": 20}), "without area on the film"),
            (changed(ONE, {"x": float("nan")}), "not finite"),
            (changed(ONE, {"x": None}), "without four numbers"),
            (changed(ONE, {}, original_width=512), "drawn on 512x800"),
        ],
    )
    def test_what_cannot_be_trusted_is_named_with_its_link(
        self, result: list[dict[str, Any]], reason: str
    ) -> None:
        with pytest.raises(AnnotationError) as refused:
            read(result)
        assert reason in str(refused.value)
        assert LINK in str(refused.value)

    @pytest.mark.parametrize("missing", ["image_id", "round", "width"])
    def test_a_task_of_somebody_else(self, missing: str) -> None:
        data = task_data(task(), "/film.png")
        del data[missing]
        with pytest.raises(AnnotationError, match="did not queue"):
            reading(3, data, annotation([]), LINK)

    def test_a_box_beyond_the_film_is_cut_off(self) -> None:
        (box,) = read(changed(ONE, {"x": -10, "y": 90, "width": 30, "height": 30})).boxes
        assert box.xyxy == (0, 720, 204.8, 800)


class TestTask:
    def test_data_and_prediction_say_what_was_seen(self) -> None:
        made = task(uncertainty=0.25)
        prediction = task_prediction(made, 0.75)
        assert task_data(made, "/f.png")["uncertainty"] == 0.25
        assert prediction["score"] == 0.75
        assert prediction["model_version"] == made.model_version
        assert [region["score"] for region in prediction["result"]] == pytest.approx(
            made.detections.scores.tolist()
        )
        assert len({region["id"] for region in prediction["result"]}) == 2

    def test_a_detection_outside_the_film_is_not_drawn(self) -> None:
        outside = np.array([[2000, 10, 2100, 20]], np.float32)
        seen = Detections("f", outside, np.ones(1, np.float32), np.zeros(1, np.int32))
        assert task_prediction(task(detections=seen), 0.5)["result"] == []

    @given(st.lists(st.floats(0, 3, allow_nan=False), min_size=1, max_size=40))
    def test_the_stream_follows_the_rank_whatever_the_uncertainty(
        self, doubts: list[float]
    ) -> None:
        scores = stream_scores([task(rank=n, uncertainty=u) for n, u in enumerate(doubts, start=1)])
        assert np.all(np.diff(scores) > 0)

    def test_the_score_is_one_minus_the_uncertainty(self) -> None:
        ranked = [task(rank=1, uncertainty=0.9), task(rank=2, uncertainty=0.4)]
        assert stream_scores(ranked) == pytest.approx([0.1, 0.6])


def test_the_last_word_of_each_reader_counts() -> None:
    first, edited = annotation([], id=1), annotation([], id=2, updated_at="2026-11-23T19:00:00Z")
    other = annotation([], id=3, completed_by=5)
    assert {said["id"] for said in last_words([edited, other, first])} == {2, 3}


def test_the_interface_offers_the_eight_findings_and_never_blocks_a_submit() -> None:
    root = ET.fromstring(labelling_config())  # noqa: S314  our own text
    assert [label.get("value") for label in root.iter("Label")] == list(CLASSES)
    keys = [element.get("hotkey") for element in root.iter() if element.get("hotkey")]
    assert keys[:8] == list("12345678")
    assert len(set(keys)) == len(keys) == 11
    (boxes_,) = root.iter("RectangleLabels")
    assert boxes_.get("canRotate") == "false"
    (choices,) = root.iter("Choices")
    assert choices.get("required") is None
