"""What the prediction server says of a task, and where it looks for the film. No server."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.strategies import build
from lungal.annotation import prediction_films
from lungal.annotation.prediction_films import OwnServer, ProjectFilms
from lungal.annotation.prediction_requests import DrawnRegion, PredictRequest, SentTask
from lungal.annotation.prediction_service import (
    PredictionService,
    cut_out,
    finding_at,
    top_finding,
)
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.data.asked import append_asked
from lungal.data.images import encode_png
from lungal.data.manifest import MANIFEST, write_manifest
from lungal.detectors.protocol import Detector
from lungal.errors import AnnotationError, DetectorError, ImageError, ServerError
from lungal.params import QueueParams
from lungal.records import CLASSES, Asked, Detections, Image, class_index
from lungal.testing import make_film, make_select

URL = "http://127.0.0.1:8123"
NAMES = Pseudonyms(b"a key of sixteen")
MASS, NODULE, EFFUSION = (class_index(name) for name in ("Mass", "Nodule", "Effusion"))


class Fixed:
    """Sees the same on each film; on films smaller than those of these tests, something else."""

    classes = CLASSES

    def __init__(self, seen: Detections, seen_on_cuttings: Detections | None = None) -> None:
        self.seen, self.cuttings = seen, seen_on_cuttings
        self.looked_at: list[Image] = []

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        for image in images:
            self.looked_at.append(image)
            yield self.seen if image.width == 96 or self.cuttings is None else self.cuttings


def seen(*found: tuple[int, float, tuple[float, float, float, float]]) -> Detections:
    """Detections of (label, score, xyxy)."""
    return Detections(
        "film",
        np.array([box for _, _, box in found], np.float32).reshape(-1, 4),
        np.array([score for _, score, _ in found], np.float32),
        np.array([label for label, _, _ in found], np.int32),
    )


TWO = seen((MASS, 0.9, (10, 10, 40, 40)), (NODULE, 0.3, (60, 60, 90, 90)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with two ingested films; the second is cut short."""
    images = tmp_path / "data" / "images"
    images.mkdir(parents=True)
    for name in ("00000001_000", "00000002_000"):
        images.joinpath(f"{name}.png").write_bytes(encode_png(make_film(name).pixels))
    broken = images / "00000002_000.png"
    broken.write_bytes(broken.read_bytes()[:200])
    unknown = dict.fromkeys(MANIFEST.names)
    rows = [
        unknown
        | {
            "image_id": name,
            "patient_id": name[:8],
            "path": f"images/{name}.png",
            "sha256": "0" * 64,
            "width": 96,
            "height": 96,
            "source": "phantom",
        }
        for name in ("00000001_000", "00000002_000")
    ]
    write_manifest(tmp_path / "data" / "manifest.parquet", pd.DataFrame(rows))
    (tmp_path / "files" / "queue").mkdir(parents=True)
    return tmp_path


def no_server() -> tuple[str, str]:
    raise ServerError("no Label Studio runs here")


def films_of(root: Path, connect: Callable[[], tuple[str, str]] = no_server) -> ProjectFilms:
    data = root / "data"
    manifest, queue = data / "manifest.parquet", data / "queue.jsonl"
    return ProjectFilms(manifest, queue, NAMES, OwnServer(connect), root / "files")


def service_of(root: Path, detector: Detector, **queue: Any) -> PredictionService:
    strategy = build(make_select())
    return PredictionService(detector, "r1-0a", films_of(root), strategy, QueueParams(**queue))


def task(data: Mapping[str, Any]) -> SentTask:
    return SentTask(id=7, data=dict(data))


def ours(image_id: str = "00000001_000", **more: Any) -> SentTask:
    return task({"film": NAMES.film(image_id)} | more)


def drawn(x: float, y: float, width: float, height: float, **more: Any) -> DrawnRegion:
    """A region in percent of the film."""
    value = {"x": x, "y": y, "width": width, "height": height}
    value |= {"rotation": more.pop("rotation", 0)}
    region = {"id": "abc", "type": "rectanglelabels", "to_name": "image", "value": value}
    return DrawnRegion.model_validate(region | more)


def ask(root: Path, *, blind: bool = False, role: Any = "label") -> None:
    film = Asked(3, "00000001_000", 1, 0.5, "why", "r3-aa", role, blind, 1, (), "2026-11-01T10:00Z")
    append_asked(root / "data" / "queue.jsonl", [film])


class TestPredict:
    def test_boxes_come_in_the_queue_s_format_with_its_score(self, root: Path) -> None:
        ((prediction,),) = service_of(root, Fixed(TWO)).predict([ours()])
        assert prediction["model_version"] == "r1-0a"
        doubt = build(make_select())(Evidence(TWO))
        assert prediction["score"] == pytest.approx(1 - doubt)
        first, second = prediction["result"]
        assert (first["from_name"], first["to_name"]) == ("finding", "image")
        assert first["value"]["rectanglelabels"] == ["Mass"]
        assert first["value"]["x"] == pytest.approx(1000 / 96)
        assert first["value"]["width"] == pytest.approx(3000 / 96)
        assert first["score"] == pytest.approx(0.9)
        assert second["value"]["rectanglelabels"] == ["Nodule"]

    def test_only_what_the_queue_would_draw_is_drawn(self, root: Path) -> None:
        for limits in ({"draw_threshold": 0.5}, {"max_boxes": 1}):
            ((prediction,),) = service_of(root, Fixed(TWO), **limits).predict([ours()])
            assert [r["value"]["rectanglelabels"] for r in prediction["result"]] == [["Mass"]]
            assert prediction["score"] == pytest.approx(0.6)  # of all that was seen

    def test_a_film_without_detections_has_a_prediction_without_boxes(self, root: Path) -> None:
        ((prediction,),) = service_of(root, Fixed(seen())).predict([ours()])
        assert prediction["result"] == []
        assert prediction["score"] == 1.0

    def test_a_bad_task_fails_no_other(self, root: Path, caplog: pytest.LogCaptureFixture) -> None:
        tasks = [ours("00000002_000"), task({}), ours(), task({"image": 3}), task({"film": [1]})]
        with caplog.at_level(logging.INFO):
            answers = service_of(root, Fixed(TWO)).predict(tasks)
        assert [len(answer) for answer in answers] == [0, 0, 1, 0, 0]
        assert "no whole PNG" in caplog.text
        assert caplog.text.count("task 7 gets no prediction") == 4

    def test_a_detector_that_fails_fails_its_film_only(
        self, root: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Moody(Fixed):
            def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
                if not self.looked_at:
                    self.looked_at.extend(images)
                    raise RuntimeError("out of memory")
                yield from super().detect(images)

        answers = service_of(root, Moody(TWO)).predict([ours(), ours()])
        assert [len(answer) for answer in answers] == [0, 1]
        assert "out of memory" in caplog.text

    @pytest.mark.parametrize("blind", [True, False])
    def test_a_queued_task_is_left_as_the_queue_made_it(self, root: Path, blind: bool) -> None:
        ask(root, blind=blind)
        service = service_of(root, Fixed(TWO))
        assert service.predict([ours(round=3)]) == [[]]
        assert len(service.predict([ours()])[0]) == 1  # another task of the same film

    @pytest.mark.parametrize("name", ["00000001_000", "00000009_000"])
    def test_of_a_task_that_another_clone_queued_nothing_is_said(
        self, root: Path, name: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        service = service_of(root, Fixed(TWO))
        with caplog.at_level(logging.INFO):
            assert service.predict([ours(name, round=3)]) == [[]]
            assert service.label(ours(name, round=3), [drawn(10, 10, 30, 30)])["result"] == []
        assert caplog.text.count("git pull") == 2

    def test_what_is_queued_meanwhile_is_seen(self, root: Path) -> None:
        service = service_of(root, Fixed(TWO))
        assert service.label(ours(round=3), [drawn(10, 10, 30, 30)])["result"] == []
        ask(root)
        assert service.label(ours(round=3), [drawn(10, 10, 30, 30)])["result"] != []

    def test_when_blindness_cannot_be_told_nothing_is_shown(self, root: Path) -> None:
        (root / "data" / "queue.jsonl").write_text("{")
        assert service_of(root, Fixed(TWO)).predict([ours(round=3)]) == [[]]
        with pytest.raises(AnnotationError):
            films_of(root).asked(ours(round=3).data)

    def test_a_model_of_other_findings_is_refused(self, root: Path) -> None:
        class Other(Fixed):
            classes = ("Cat", *CLASSES[1:])

        with pytest.raises(DetectorError, match="finds Cat"):
            service_of(root, Other(TWO))


class TestFilms:
    def test_a_shared_film_is_read_from_the_folder(self, root: Path) -> None:
        film = make_film("x", 40, 30)
        (root / "files" / "mine").mkdir()
        (root / "files" / "mine" / "a film.png").write_bytes(encode_png(film.pixels))
        found = films_of(root).read({"image": "/data/local-files/?d=mine%2Fa%20film.png"})
        assert np.array_equal(found.pixels, film.pixels)

    @pytest.mark.parametrize(
        "inside", ["../data/images/00000001_000.png", "/etc/passwd", "", "queue", "%00", "link.png"]
    )
    def test_nothing_outside_the_folder_is(self, root: Path, inside: str) -> None:
        (root / "files" / "link.png").symlink_to(root / "data" / "images" / "00000001_000.png")
        with pytest.raises(ImageError, match="not in the folder"):
            films_of(root).read({"image": f"/data/local-files/?d={inside}"})

    @pytest.mark.parametrize(
        "address",
        [
            "http://evil.example/data/upload/1/a.png",
            "//evil.example/data/upload/1/a.png",
            "http://127.0.0.1:9/data/upload/1/a.png",
            "https://127.0.0.1:8123/data/upload/1/a.png",
            "http://user:pw@127.0.0.1:8123/data/upload/1/a.png",
            "http://127.0.0.1:8123@evil.example/data/upload/1/a.png",
            "/api/users/",
            "/data/upload/../../api/users/",
            "/data/upload/%2e%2e/%2e%2e/api/users/",
            "/logout",
            "http://169.254.169.254/latest/meta-data",
            "http://[",
            "/\\evil.example/data/upload/a.png",
            "file:///etc/passwd",
            "s3://bucket/film.png",
            "film.png",
        ],
    )
    def test_nothing_is_fetched_from_elsewhere(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        def fail(*_: object) -> None:
            raise AssertionError(f"{address} was asked for")

        monkeypatch.setattr(prediction_films, "open_http", fail)
        with pytest.raises(ImageError):
            films_of(root, lambda: (URL, "our-token")).read({"image": address})

    @pytest.mark.parametrize("address", ["/data/upload/1/a.png", f"{URL}/data/upload/1/a.png"])
    def test_uploads_are_fetched_from_our_server_with_our_token(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, address: str
    ) -> None:
        film, asked_for = make_film("x", 40, 30), []

        def answer(request: httpx.Request) -> httpx.Response:
            asked_for.append((str(request.url), request.headers["Authorization"]))
            return httpx.Response(200, content=encode_png(film.pixels))

        serve(monkeypatch, answer)
        found = films_of(root, lambda: (URL, "our-token")).read({"image": address})
        assert np.array_equal(found.pixels, film.pixels)
        assert asked_for == [(f"{URL}/data/upload/1/a.png", "Token our-token")]

    @pytest.mark.parametrize(
        ("answer", "why"),
        [
            (httpx.Response(302, headers={"Location": "http://evil.example/"}), "answers 302"),
            (httpx.Response(404), "answers 404"),
            (httpx.Response(200, content=b"<html>"), "no whole PNG"),
            (httpx.Response(200, content=b"0" * 101), "larger than 100"),
        ],
    )
    def test_what_is_no_film_is_refused(
        self, root: Path, monkeypatch: pytest.MonkeyPatch, answer: httpx.Response, why: str
    ) -> None:
        serve(monkeypatch, lambda _request: answer)
        monkeypatch.setattr(prediction_films, "FILM_BYTES", 100)
        with pytest.raises(ImageError, match=why):
            films_of(root, lambda: (URL, "our-token")).read({"image": "/data/upload/1/a.png"})

    def test_without_a_server_only_that_film_is_missing(self, root: Path) -> None:
        answers = service_of(root, Fixed(TWO)).predict([task({"image": "/data/upload/a"}), ours()])
        assert [len(answer) for answer in answers] == [0, 1]

    def test_without_a_manifest_every_film_is_a_strangers(self, root: Path) -> None:
        (root / "data" / "manifest.parquet").unlink()
        with pytest.raises(ImageError, match="names no film of ours"):
            films_of(root).read(ours().data)


def serve(
    monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response]
) -> None:
    def open_http(url: str, token: str) -> httpx.Client:
        headers = {"Authorization": f"Token {token}"}
        transport = httpx.MockTransport(answer)
        return httpx.Client(base_url=url, headers=headers, transport=transport)

    monkeypatch.setattr(prediction_films, "open_http", open_http)


class TestInteractive:
    def test_a_region_gets_the_finding_under_it_and_stays_where_it_was(self, root: Path) -> None:
        region = drawn(12.3456789, 10, 30, 30)
        answer = service_of(root, Fixed(TWO)).label(ours(), [region])
        (labelled,) = answer["result"]
        assert labelled["id"] == "abc"
        assert labelled["value"]["rectanglelabels"] == ["Mass"]
        assert labelled["value"]["x"] == 12.3456789
        assert labelled["score"] == answer["score"] == pytest.approx(0.9)
        assert (labelled["from_name"], labelled["type"]) == ("finding", "rectanglelabels")
        assert (labelled["original_width"], labelled["original_height"]) == (96, 96)

    def test_several_regions_and_a_bare_rectangle(self, root: Path) -> None:
        regions = [drawn(10, 10, 30, 30), drawn(62, 62, 30, 30, id="def", type="rectangle")]
        answer = service_of(root, Fixed(TWO)).label(ours(), regions)
        said = [(r["id"], r["type"], *r["value"]["rectanglelabels"]) for r in answer["result"]]
        assert said == [("abc", "rectanglelabels", "Mass"), ("def", "rectanglelabels", "Nodule")]

    def test_where_nothing_was_seen_the_place_is_looked_at_alone(self, root: Path) -> None:
        weak = seen((NODULE, 0.1, (0, 0, 9, 9)), (EFFUSION, 0.4, (0, 0, 9, 9)))
        detector = Fixed(TWO, weak)
        answer = service_of(root, detector).label(ours(), [drawn(50, 5, 25, 25)])
        (labelled,) = answer["result"]
        assert labelled["value"]["rectanglelabels"] == ["Effusion"]
        assert labelled["score"] == pytest.approx(0.4)
        whole, cutting = detector.looked_at
        assert np.array_equal(cutting.pixels, whole.pixels[0:35, 42:78])

    def test_where_nothing_is_seen_at_all_there_is_no_finding(self, root: Path) -> None:
        answer = service_of(root, Fixed(seen())).label(ours(), [drawn(50, 5, 25, 25)])
        assert answer == {"result": [], "score": 0.0, "model_version": "r1-0a"}

    @pytest.mark.parametrize(
        "region",
        [
            drawn(10, 10, 30, 30, rotation=12),
            drawn(10, 10, 30, 30, to_name="prior"),
            drawn(100, 10, 30, 30),
        ],
    )
    def test_a_region_that_cannot_be_one_costs_the_others_nothing(
        self, root: Path, region: DrawnRegion
    ) -> None:
        answer = service_of(root, Fixed(TWO)).label(ours(), [region, drawn(10, 10, 30, 30)])
        assert [r["value"]["rectanglelabels"] for r in answer["result"]] == [["Mass"]]

    @pytest.mark.parametrize(
        ("asked", "told"),
        [
            ({"blind": True}, False),
            ({"role": "adjudicate"}, False),
            ({"role": "label"}, True),
            ({"role": "control"}, True),
        ],
    )
    def test_readers_without_the_model_are_told_nothing(
        self, root: Path, asked: dict[str, Any], told: bool
    ) -> None:
        ask(root, **asked)
        answer = service_of(root, Fixed(TWO)).label(ours(round=3), [drawn(10, 10, 30, 30)])
        assert bool(answer["result"]) is told

    def test_an_unknown_film_gets_none(self, root: Path) -> None:
        assert service_of(root, Fixed(TWO)).label(task({}), [drawn(1, 1, 9, 9)])["result"] == []


class TestFinding:
    BOX = np.array([10, 10, 40, 40], np.float32)

    def test_a_detection_counts_by_overlap_and_score(self) -> None:
        near_but_unsure = seen(
            (NODULE, 0.4, (10, 10, 40, 40)),  # IoU 1
            (MASS, 0.9, (25, 10, 55, 40)),  # IoU 1/3
        )
        label, score = finding_at(near_but_unsure, self.BOX) or (-1, 0)
        assert (label, score) == (NODULE, pytest.approx(0.4))
        several = seen(
            (NODULE, 0.4, (10, 10, 40, 40)),
            (MASS, 0.9, (25, 10, 55, 40)),
            (MASS, 0.6, (10, 25, 40, 55)),
        )
        label, score = finding_at(several, self.BOX) or (-1, 0)
        assert (label, score) == (MASS, pytest.approx(0.9))

    def test_scores_of_all_findings_vote_where_there_are_any(self) -> None:
        per_class = np.zeros((2, len(CLASSES)), np.float32)
        per_class[0, [MASS, EFFUSION]] = [0.5, 0.45]
        per_class[1, [NODULE, EFFUSION]] = [0.5, 0.45]
        boxes = np.stack([self.BOX, self.BOX])
        labels = np.array([MASS, NODULE], np.int32)
        found = Detections("f", boxes, per_class.max(axis=1), labels, per_class)
        assert finding_at(found, self.BOX) == (EFFUSION, pytest.approx(0.45))

    def test_a_mere_touch_has_no_say(self) -> None:
        assert finding_at(seen((MASS, 0.99, (38, 38, 90, 90))), self.BOX) is None
        assert finding_at(seen((MASS, 0.0, (10, 10, 40, 40))), self.BOX) is None
        assert finding_at(seen(), self.BOX) is None

    def test_of_several_detections_the_surest_is_on_top(self) -> None:
        found = seen((MASS, 0.2, (0, 0, 9, 9)), (NODULE, 0.7, (0, 0, 9, 9)))
        assert top_finding(found) == (NODULE, pytest.approx(0.7))
        assert top_finding(seen()) is None

    def test_a_cutting_has_a_margin_and_stays_on_the_film(self) -> None:
        film = make_film("x", 100, 80)
        cut = cut_out(film, np.array([60, 0, 100, 40], np.float32))
        assert np.array_equal(cut.pixels, film.pixels[0:50, 50:100])
        assert cut_out(film, np.array([5.2, 5.2, 5.3, 5.3], np.float32)).pixels.shape == (1, 1)


class TestRequests:
    def test_tokens_and_passwords_are_not_taken_in(self) -> None:
        sent = {
            "tasks": [{"id": 1, "data": {}, "token": "s3cret"}],
            "params": {"login": "s3cret", "password": "s3cret", "context": None},
            "access_token": "s3cret",
        }
        assert "s3cret" not in repr(PredictRequest.model_validate(sent))

    @pytest.mark.parametrize(
        ("params", "expected"),
        [(None, None), ({}, None), ({"context": None}, None), ({"context": {}}, [])],
    )
    def test_only_a_context_makes_a_call_interactive(self, params: Any, expected: Any) -> None:
        assert PredictRequest.model_validate({"tasks": [], "params": params}).drawn == expected

    def test_what_is_no_box_is_left_out(self) -> None:
        box = drawn(1, 2, 3, 4).model_dump()
        others = [{"id": "abc", "type": "choices", "value": {"choices": ["Low"]}}, {"x": 1}]
        context = {"result": [box, *others]}
        request = PredictRequest.model_validate({"tasks": [], "params": {"context": context}})
        assert request.drawn == [drawn(1, 2, 3, 4)]
