"""The prediction server's HTTP: Label Studio's protocol, bad requests, and tokens that it drops."""

import base64
import gc
import json
import logging
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from lungal.acquisition.strategies import build
from lungal.annotation.prediction_app import create_app
from lungal.annotation.prediction_requests import SentTask
from lungal.annotation.prediction_service import PredictionService
from lungal.annotation.tasks import Json
from lungal.detectors.protocol import Detector
from lungal.errors import ImageError
from lungal.params import QueueParams
from lungal.records import CLASSES, Asked, Detections, Image, class_index
from lungal.testing import DetectorContract, make_film, make_select

CONFIG = "<View/>"
PASSWORD = "open sesame"  # noqa: S105


class Middle:
    """Sees a Mass in the middle of each film."""

    classes = CLASSES

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        for image in images:
            sides = np.array([image.width, image.height] * 2)
            box = (sides * [0.25, 0.25, 0.75, 0.75]).astype(np.float32)
            score, label = np.array([0.8], np.float32), np.array([class_index("Mass")], np.int32)
            yield Detections(image.image_id, box[None], score, label)


class TestTheDetectorOfTheseTests(DetectorContract):
    @pytest.fixture
    def detector(self) -> Detector:
        return Middle()


class Named:
    """Films by their names; those called `lost` are."""

    def read(self, data: Mapping[str, Any]) -> Image:
        if data.get("film") == "lost":
            raise ImageError("the film is lost")
        return make_film(str(data["film"]))

    def asked(self, data: Mapping[str, Any]) -> Asked | None:
        return None


def client_of(**app: Any) -> TestClient:
    service = PredictionService(Middle(), "r1-0a1b", Named(), build(make_select()), QueueParams())
    return TestClient(create_app(service, **app))


@pytest.fixture
def client() -> TestClient:
    return client_of()


def request(names: Sequence[str], context: Any = None) -> dict[str, Any]:
    """What the server's connector sends (ml/api_connector.py, _prep_prediction_req)."""
    return {
        "tasks": [
            {"id": n, "data": {"film": name}, "project": 3, "annotations": [], "predictions": []}
            for n, name in enumerate(names)
        ],
        "project": "3.1763900000",
        "label_config": CONFIG,
        "params": {"login": "someone", "password": "their secret", "context": context},
    }


def region(**value: Any) -> dict[str, Any]:
    box = {"x": 30, "y": 30, "width": 40, "height": 40, "rotation": 0, "rectanglelabels": ["Mass"]}
    return {
        "id": "xyz",
        "from_name": "finding",
        "to_name": "image",
        "type": "rectanglelabels",
        "original_width": 96,
        "original_height": 96,
        "image_rotation": 0,
        "value": box | value,
        "origin": "manual",
    }


class TestProtocol:
    def test_health_and_versions(self, client: TestClient) -> None:
        health = client.get("/health")
        assert health.status_code == 200
        assert health.json() == {"status": "UP", "model_version": "r1-0a1b"}
        assert client.get("/versions").json() == {"versions": ["r1-0a1b"]}

    def test_setup_tells_the_model_s_version(self, client: TestClient) -> None:
        sent = {"project": "3.17", "schema": CONFIG, "access_token": "x", "extra_params": None}
        answer = client.post("/setup", json=sent)
        assert (answer.status_code, answer.json()) == (200, {"model_version": "r1-0a1b"})

    def test_a_list_of_predictions_for_each_task_in_order(self, client: TestClient) -> None:
        answer = client.post("/predict", json=request(["a", "lost", "b"]))
        assert answer.status_code == 200
        assert answer.json()["model_version"] == "r1-0a1b"
        first, second, third = answer.json()["results"]
        assert second == []
        for (prediction,) in (first, third):
            assert prediction["model_version"] == "r1-0a1b"
            assert prediction["score"] == pytest.approx(0.8)
            (box,) = prediction["result"]
            assert box["value"]["rectanglelabels"] == ["Mass"]
            assert box["value"]["x"] == box["value"]["y"] == 25

    def test_no_tasks_no_predictions(self, client: TestClient) -> None:
        assert client.post("/predict", json={"tasks": []}).json()["results"] == []

    def test_a_drawn_region_gets_its_finding(self, client: TestClient) -> None:
        answer = client.post("/predict", json=request(["a"], {"result": [region(x=31.25)]}))
        (found,) = answer.json()["results"]
        (box,) = found["result"]
        assert (box["id"], box["value"]["x"]) == ("xyz", 31.25)
        assert box["value"]["rectanglelabels"] == ["Mass"]
        assert box["score"] == found["score"] == pytest.approx(0.8)

    @pytest.mark.parametrize("sent", [b"", b"{", b"[]", b'{"action": "ANNOTATION_CREATED"}'])
    def test_a_webhook_is_thanked_for_whatever_it_says(
        self, client: TestClient, sent: bytes
    ) -> None:
        assert client.post("/webhook", content=sent).status_code == 200

    @pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/train", "/nothing"])
    def test_there_is_nothing_else(self, client: TestClient, path: str) -> None:
        assert client.get(path).status_code == 404


BAD = {
    "no JSON": b"{",
    "no object": b"[]",
    "nothing": b"",
    "no tasks": b"{}",
    "tasks of a wrong type": b'{"tasks": {"a": 1}}',
    "a task without data": b'{"tasks": [{"id": 1}]}',
    "data of a wrong type": b'{"tasks": [{"id": 1, "data": "x"}]}',
    "a task that is a number": b'{"tasks": [3]}',
    "params of a wrong type": b'{"tasks": [], "params": 3}',
    "a context of a wrong type": b'{"tasks": [], "params": {"context": [1]}}',
    "regions of a wrong type": b'{"tasks": [], "params": {"context": {"result": 1}}}',
    "a region that is a number": b'{"tasks": [], "params": {"context": {"result": [1]}}}',
    "nested beyond all measure": b'{"tasks": ' + b"[" * 100_000,
    "a number beyond all measure": b'{"tasks": ' + b"1" * 5_000 + b"}",
    "no text": b"\xff\xfe\x00",
}


class TestBadRequests:
    @pytest.mark.parametrize("sent", BAD.values(), ids=BAD)
    def test_one_line_says_what_is_wrong(
        self, client: TestClient, caplog: pytest.LogCaptureFixture, sent: bytes
    ) -> None:
        answer = client.post("/predict", content=sent, headers={"Content-Type": "application/json"})
        assert 400 <= answer.status_code < 500
        said = answer.json()["detail"]
        assert isinstance(said, str)
        assert said
        assert "\n" not in said
        assert "Traceback" not in caplog.text

    @pytest.mark.parametrize(
        "value",
        [{"x": "left"}, {"x": None}, {"width": 0}, {"height": -3}, {"y": [1]}, {"rotation": "x"}],
        ids=str,
    )
    def test_a_region_of_a_wrong_shape(self, client: TestClient, value: dict[str, Any]) -> None:
        answer = client.post("/predict", json=request(["a"], {"result": [region(**value)]}))
        assert answer.status_code == 422
        assert f"value.{next(iter(value))}" in answer.json()["detail"]

    @pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
    def test_a_region_without_a_place(self, client: TestClient, number: str) -> None:
        text = json.dumps(request(["a"], {"result": [region(x="HERE")]}))
        content = text.replace('"HERE"', number)
        answer = client.post(
            "/predict", content=content, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code == 422

    def test_a_huge_request_is_cut_off(self) -> None:
        client = client_of(body_bytes=1000)
        assert client.post("/predict", json=request(["a"])).status_code == 200
        answer = client.post("/predict", json=request(["a" * 2000]))
        assert answer.status_code == 413
        assert answer.json() == {"detail": "a request has at most 1000 bytes"}

        def endless() -> Iterator[bytes]:
            for _ in range(50):
                yield b" " * 100

        assert client.post("/setup", content=endless()).status_code == 413

    def test_what_fails_inside_is_not_told_outside(self) -> None:
        class Failing(PredictionService):
            def predict(self, tasks: Sequence[SentTask]) -> list[list[Json]]:
                raise RuntimeError("the secret of the house")

        service = Failing(Middle(), "r1-0a1b", Named(), build(make_select()), QueueParams())
        client = TestClient(create_app(service), raise_server_exceptions=False)
        answer = client.post("/predict", json=request(["a"]))
        assert answer.status_code == 500
        assert answer.json() == {"detail": "lungal's prediction server failed; its log says why"}


class TestPassword:
    @pytest.mark.parametrize("path", ["/health", "/setup", "/predict"])
    def test_without_it_there_is_no_answer(self, path: str) -> None:
        client = client_of(password=PASSWORD)
        ask = {"/health": client.get}.get(path, client.post)
        assert ask(path).status_code == 401
        assert ask(path, auth=("lungal", "open")).status_code == 401
        assert ask(path, auth=("lungal", "öpen")).status_code == 401
        assert ask(path, auth=("lungal", PASSWORD)).status_code in (200, 422)

    def test_a_webhook_comes_without(self) -> None:
        assert client_of(password=PASSWORD).post("/webhook").status_code == 200


class TestTokens:
    """What /setup and /predict bring along must not outlive the request."""

    def test_none_is_kept_logged_or_answered(
        self,
        client: TestClient,
        caplog: pytest.LogCaptureFixture,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        caplog.set_level(logging.DEBUG)
        # Known as bytes turned round only, so that a search finds no copy of this test's own.
        turned = secrets.token_hex(20).encode()[::-1]
        self.tell(client, turned)
        gc.collect()
        token = turned[::-1].decode()
        assert token not in caplog.text
        assert token not in "".join(capfd.readouterr())
        assert holders(token) == []

    def test_the_search_would_find_it(self) -> None:
        turned = secrets.token_hex(20).encode()[::-1]
        kept = {"inner": [f"Token {turned[::-1].decode()}"]}
        assert any(one is kept["inner"] for one in holders(turned[::-1].decode()))

    @staticmethod
    def tell(client: TestClient, turned: bytes) -> None:
        token = turned[::-1].decode()
        setup = {"project": "3.17", "schema": CONFIG, "hostname": "http://x", "access_token": token}
        assert client.post("/setup", json=setup).status_code == 200
        for bad in ({"project": {"access_token": token}}, {"project": [token]}, [token]):
            answer = client.post("/setup", json=bad)
            assert answer.status_code == 422
            assert token not in answer.text
        asked = request(["a", "lost"])
        asked["params"] |= {"login": token, "password": token}
        answer = client.post("/predict", json=asked)
        assert token not in answer.text
        bad_params = client.post("/predict", json=asked | {"params": token})
        assert bad_params.status_code == 422
        assert token not in bad_params.text
        basic = base64.b64encode(f"x:{token}".encode()).decode()
        client.get("/health", headers={"Authorization": f"Basic {basic}"})
        client.post("/webhook", json={"access_token": token})


def holders(token: str) -> list[Any]:
    """Return every container of this process that holds a text with the token."""
    sought = token.encode()
    found = []
    for container in gc.get_objects():
        if isinstance(container, FrameType):  # our own call
            continue
        for value in gc.get_referents(container):
            held = type(value) is str and token in value
            if held or (type(value) in (bytes, bytearray) and sought in value):
                found.append(container)
    return found
