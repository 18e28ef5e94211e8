"""Label Studio's annotations become events; what cannot be trusted becomes a refusal."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungal.annotation.readings import ReadFilm, deletion, event, refusal, utc
from lungal.annotation.tasks import box_regions, study_region
from lungal.data.annotations import from_json, to_json
from lungal.reading.standing import standing
from lungal.records import CLASSES, Annotation, GroundTruth, LabelledBox

WIDTH, HEIGHT = 1024, 800
FILM = "film-0123456789abcdef"
DATA = {
    "image": "/film.png",
    "film": FILM,
    "round": 1,
    "rank": 1,
    "uncertainty": 0.5,
    "receipt": "why",
    "model_version": "r1-0a1b2c3d",
    "width": WIDTH,
    "height": HEIGHT,
}
IMAGE_IDS = {FILM: "00000001_000"}
MASS = LabelledBox("Mass", 100, 200, 300, 400)

Regions = list[dict[str, Any]]


def film(**changes: Any) -> ReadFilm:
    read_from = ReadFilm.of(DATA | changes, IMAGE_IDS)
    assert read_from is not None
    return read_from


def regions(*boxes: LabelledBox) -> Regions:
    drawn = GroundTruth.of("", boxes)
    return box_regions(drawn.boxes, drawn.labels, WIDTH, HEIGHT)


def annotation(result: Regions, **changes: Any) -> dict[str, Any]:
    return {
        "id": 11,
        "completed_by": 2,
        "updated_at": "2026-11-23T18:52:31.747710Z",
        "lead_time": 12.3456,
        "was_cancelled": False,
        "result": result,
    } | changes


def read(result: Regions, **changes: Any) -> Annotation:
    return event("3", film(), annotation(result, **changes), "reader-2")


def about(region: dict[str, Any], name: str, kind: str, **value: Any) -> dict[str, Any]:
    """Say something of a box, as the server stores it: a region of the same id and place."""
    where = region["value"] if region else {}
    return {
        "id": region.get("id", "x"),
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "value": {k: v for k, v in where.items() if k != "rectanglelabels"} | value,
    }


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
        assert (found.thread, found.at) == ("ls-3-11", "2026-11-23T18:52:31.747710Z")
        assert (found.image_id, found.round, found.reader) == ("00000001_000", 1, "reader-2")
        assert (found.model_version, found.seconds) == ("r1-0a1b2c3d", 12.346)

    def test_an_edit_is_another_event_of_the_same_thread(self) -> None:
        edited = read([], updated_at="2026-11-24T00:00:00Z")
        assert edited.source_id != read([]).source_id
        assert edited.thread == read([]).thread
        assert edited.at > read([]).at

    @pytest.mark.parametrize(
        ("lead_time", "seconds"),
        [
            (None, None),
            (-1.0, 0.0),
            (7, 7.0),
            ("soon", None),
            (float("nan"), None),
            ([], None),
            (True, None),
            pytest.param(10**400, None, id="beyond floats"),
        ],
    )
    def test_seconds_are_kept(self, lead_time: object, seconds: float | None) -> None:
        assert read([], lead_time=lead_time).seconds == seconds

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
    def test_it_follows_from_choice_and_boxes(self, result: Regions, verdict: str) -> None:
        found = read(result)
        assert found.verdict == verdict
        assert bool(found.boxes) == (verdict == "finding")

    def test_a_skipped_task_is_no_label(self) -> None:
        found = read(regions(MASS), was_cancelled=True)
        assert (found.verdict, found.boxes) == ("skipped", ())


class TestWords:
    def test_confidence_and_note_belong_to_their_box(self) -> None:
        nodule = LabelledBox("Nodule", 500, 500, 540, 540)
        first, second = regions(MASS, nodule)
        found = read(
            [
                second,
                about(first, "confidence", "choices", choices=["High"]),
                first,
                about(second, "note", "textarea", text=["old ", "calcified"]),
            ]
        )
        said = {box.label: (box.confidence, box.comment) for box in found.boxes}
        assert said == {"Mass": ("high", None), "Nodule": (None, "old\ncalcified")}
        assert from_json(to_json(found)) == found

    @pytest.mark.parametrize("text", [["rotated film"], "rotated film", [" rotated film ", ""]])
    @pytest.mark.parametrize("skipped", [True, False])
    def test_the_comment_is_about_the_film(self, text: object, skipped: bool) -> None:
        words = about({}, "comment", "textarea", text=text)
        assert read([words], was_cancelled=skipped).comment == "rotated film"

    def test_no_words_are_none(self) -> None:
        assert read([about({}, "comment", "textarea", text=[" "])]).comment is None

    def test_half_a_character_does_not_keep_the_log_from_being_written(self) -> None:
        comment = about(ONE, "comment", "textarea", text=["left \ud83d"])
        said = read([ONE, {k: v for k, v in comment.items() if k != "id"}])
        assert said.comment == "left ?"
        to_json(said).encode("utf-8")

    def test_any_id_will_do(self) -> None:
        assert len(read([ONE | {"id": ["a", 1]}]).boxes) == 1

    def test_boxes_without_a_name_are_boxes(self) -> None:
        nameless = [
            {k: v for k, v in region.items() if k != "id"} for region in regions(MASS, MASS)
        ]
        assert len(read(nameless).boxes) == 2


def changed(region: dict[str, Any], value: dict[str, Any], **outer: Any) -> Regions:
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
            (changed(ONE, {"x": 10**400}), "without four numbers"),
            (changed(ONE, {}, original_width=512), "drawn on 512x800"),
            ([ONE, about(ONE, "confidence", "choices", choices=["Certain"])], "'certain'"),
            ([ONE, about(ONE, "confidence", "choices", choices=["Low", "High"])], "several conf"),
            ([about(ONE, "note", "textarea", text=["where?"])], "a box that is not there"),
            ([ONE, ONE, about(ONE, "note", "textarea", text=["which?"])], "two boxes of one name"),
            ([ONE, about(ONE, "note", "textarea", text=7)], "its 'text' is 7, not a list"),
            (7, "not a list of regions"),
            (["x"], "'x', which is no region"),
            ([ONE, None], "'None', which is no region"),
            ([ONE | {"value": [1]}], "which is no region"),
            (changed(ONE, {"rectanglelabels": 7}), "labels [7]"),
            (changed(ONE, {"rectanglelabels": [["Mass"]]}), "labels [['Mass']]"),
        ],
    )
    def test_what_cannot_be_trusted_is_an_event_with_its_reason(
        self, result: Regions, reason: str
    ) -> None:
        refused = read(result)
        assert (refused.verdict, refused.boxes) == ("refused", ())
        assert reason in (refused.comment or "")
        assert refused.source_id == "ls-3-11@refused-2026-11-23T18:52:31.747710Z"
        assert refused.thread == "ls-3-11"
        assert (refused.image_id, refused.reader, refused.seconds) == (
            "00000001_000",
            "reader-2",
            12.346,
        )
        assert from_json(to_json(refused)) == refused

    def test_what_was_said_before_still_stands(self) -> None:
        before = read(regions(MASS))
        bad = read(changed(ONE, {"rotation": 30}), updated_at="2026-11-24T00:00:00Z")
        assert standing([before, bad]) == [before]

    def test_a_pseudonym_that_nobody_has_is_refused_under_itself(self) -> None:
        found = event("3", film(film="film-stranger"), annotation(regions(MASS)), "r")
        assert (found.verdict, found.image_id) == ("refused", "film-stranger")
        assert "LUNGAL_PSEUDONYM_KEY" in (found.comment or "")

    @pytest.mark.parametrize("missing", ["film", "round", "width", "height"])
    def test_a_task_of_somebody_else_is_none_of_ours(self, missing: str) -> None:
        assert ReadFilm.of({k: v for k, v in DATA.items() if k != missing}, IMAGE_IDS) is None

    @pytest.mark.parametrize("odd", ["one", 0, -1, 1.5, True, None])
    def test_a_round_is_a_number_from_one(self, odd: object) -> None:
        assert ReadFilm.of(DATA | {"round": odd}, IMAGE_IDS) is None

    def test_a_task_from_before_pseudonyms_is_read_as_it_was(self) -> None:
        old = {k: v for k, v in DATA.items() if k != "film"} | {"image_id": "00000009_000"}
        read_from = ReadFilm.of(old, IMAGE_IDS)
        assert read_from is not None
        assert (read_from.image_id, read_from.wrong) == ("00000009_000", None)

    def test_a_box_beyond_the_film_is_cut_off(self) -> None:
        (box,) = read(changed(ONE, {"x": -10, "y": 90, "width": 30, "height": 30})).boxes
        assert box.xyxy == (0, 720, 204.8, 800)


class TestDeletion:
    @pytest.mark.parametrize(
        "moment",
        ["2026-11-24T00:00:00.000000Z", "2026-11-23T18:52:31.747710Z", "2026-11-23T00:00:00Z"],
    )
    def test_it_sorts_after_what_it_deletes(self, moment: str) -> None:
        last = read(regions(MASS))
        gone = deletion(last, moment)
        assert standing([gone, last]) == []
        assert (gone.thread, gone.image_id, gone.reader) == (last.thread, last.image_id, "reader-2")
        assert (gone.verdict, gone.boxes, gone.seconds) == ("deleted", (), None)
        assert from_json(to_json(gone)) == gone

    def test_a_refused_reading_can_be_deleted(self) -> None:
        refused = refusal(read(regions(MASS)), "rotated")
        assert standing([deletion(refused, refused.at), refused, read(regions(MASS))]) == []
