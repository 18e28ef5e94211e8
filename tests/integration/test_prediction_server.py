"""`lungal serve-predictions` with the champion of a registry, asked by a real Label Studio."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pytest
from plugins.browser import Desk
from plugins.tiny_detector import film

from lungal.annotation.connection import open_http
from lungal.annotation.pseudonyms import load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import labelling_config
from lungal.cli.main import main
from lungal.data.asked import append_asked
from lungal.data.images import encode_png
from lungal.data.manifest import MANIFEST, write_manifest
from lungal.detectors.tfod.infer import load_detector
from lungal.params import DetectParams
from lungal.records import CLASSES, Asked
from lungal.tracking import MlflowRegistry, Tracker, tracking_uri

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

REPOSITORY = Path(__file__).resolve().parents[2]
LOADER = "lungal.detectors.tfod.infer:load_detector"
DRAW = 0.02
CLEAR = "() => window.Htx.annotationStore.selected.regions.forEach(r => r.deleteRegion())"
INGESTED, BLIND = "00000001_000", "00000002_000"


@dataclass(frozen=True)
class Project:
    """A project with a champion, and its Label Studio, which runs."""

    root: Path
    server: LocalServer
    model_version: str

    def film(self, image_id: str) -> str:
        return load_pseudonyms(self.server.folder, {}).film(image_id)


def settle(root: Path) -> None:
    """Make a folder a project with two ingested films, one of which was queued blind."""
    (root / "dvc.yaml").write_text((REPOSITORY / "dvc.yaml").read_text())
    params = (REPOSITORY / "params.yaml").read_text()
    (root / "params.yaml").write_text(
        re.sub(r"draw_threshold: \S+", f"draw_threshold: {DRAW}", params)
    )
    (root / "data" / "images").mkdir(parents=True)
    rows = []
    for number, name in enumerate((INGESTED, BLIND), start=1):
        path = f"images/{name}.png"
        (root / "data" / path).write_bytes(encode_png(film(number)[0].pixels))
        known = {"image_id": name, "patient_id": name[:8], "path": path, "sha256": "0" * 64}
        size = {"width": 192, "height": 192, "source": "phantom"}
        rows.append(dict.fromkeys(MANIFEST.names) | known | size)
    write_manifest(root / "data" / "manifest.parquet", pd.DataFrame(rows))
    blind = Asked(1, BLIND, 1, 0.5, "why", "r1-aa", "label", True, 1, (), "2026-11-01T10:00:00Z")
    append_asked(root / "data" / "queue.jsonl", [blind])


def crown(root: Path, model: Path) -> str:
    """Log a model to the project's own registry and make it the champion; return its version."""
    uri = tracking_uri(root, {})
    detector = load_detector(model, DetectParams())
    run = Tracker(uri, root / "outbox").open_round("k1", 1)
    run.log_model(
        model,
        detector.model_version,
        loader=LOADER,
        detect=DetectParams(),
        example=np.zeros((32, 32), np.uint8),
    )
    run.end()
    registry = MlflowRegistry(uri)
    candidate = registry.version("candidate")
    assert candidate is not None
    registry.point("champion", candidate)
    return detector.model_version


@pytest.fixture(scope="module")
def project(label_studio_home: Callable[[], LocalServer], tiny_exported: Path) -> Iterator[Project]:
    laid_out = label_studio_home()
    root = laid_out.folder.parent
    server = LocalServer(root, laid_out.environment, laid_out.variables)
    settle(root)
    version = crown(root, tiny_exported)
    server.start(0)
    yield Project(root, server, version)
    server.stop()


@dataclass(frozen=True)
class Backend:
    """A prediction server that runs."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@pytest.fixture(scope="module")
def backend(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    scratch = tmp_path_factory.mktemp("serve")
    (scratch / "tmp").mkdir()
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("LABEL_STUDIO", "MLFLOW"))}
    with (scratch / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "lungal.cli", "serve-predictions", "--port", "0"],
            cwd=project.root,
            env={**keep, "PYTHONPATH": str(REPOSITORY), "TMPDIR": str(scratch / "tmp")},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield Backend(_announced(process, scratch / "log"), process, scratch / "log")
        finally:
            if process.poll() is None:
                process.kill()
            process.wait(30)


def _announced(process: subprocess.Popen[bytes], log: Path) -> str:
    for _ in range(1200):
        if found := re.search(r"answers at (http://127\.0\.0\.1:\d+)", log.read_text()):
            return found[1]
        if process.poll() is not None:
            break
        try:
            process.wait(0.1)
        except subprocess.TimeoutExpired:
            continue
    pytest.fail(f"the prediction server did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def http(project: Project) -> Iterator[httpx.Client]:
    status = project.server.status()
    assert status is not None
    with closing(open_http(status.url, project.server.credentials().token)) as client:
        yield client


@dataclass(frozen=True)
class Connected:
    """A Label Studio project with the backend connected, outside the queue."""

    number: int
    backend: dict[str, Any]
    http: httpx.Client

    def bring(self, **data: Any) -> int:
        """Import a task; return its number."""
        before = self._newest()
        views = dict.fromkeys(("image", "clahe", "inverted", "prior", "receipt"), "")
        answer = self.http.post(f"/api/projects/{self.number}/import", json=[views | data])
        assert answer.status_code == 201, answer.text
        after = self._newest()
        assert after > before
        return after

    def open(self, task: int) -> list[dict[str, Any]]:
        """Open a task as a browser does; return its predictions."""
        predictions: list[dict[str, Any]] = self.http.get(f"/api/tasks/{task}").json()[
            "predictions"
        ]
        return predictions

    def ask(self, task: int, *regions: dict[str, Any]) -> dict[str, Any]:
        """Draw regions with the interactive mode on; return the server's answer."""
        answer = self.http.post(
            f"/api/ml/{self.backend['id']}/interactive-annotating",
            json={"task": task, "context": {"result": list(regions)}},
        )
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def _newest(self) -> int:
        query = {"project": self.number, "fields": "task_only", "page_size": 100}
        tasks = self.http.get("/api/tasks", params=query).json()["tasks"]
        return max((task["id"] for task in tasks), default=0)


def connect(backend: Backend, http: httpx.Client, title: str) -> Connected:
    """Make a project outside the queue and connect the backend to it."""
    made = http.post("/api/projects", json={"title": title, "label_config": labelling_config()})
    assert made.status_code == 201, made.text
    number = made.json()["id"]
    answer = http.post(
        "/api/ml",
        json={"url": backend.url, "project": number, "title": "model", "is_interactive": True},
    )
    assert answer.status_code == 201, answer.text
    return Connected(number, answer.json(), http)


@pytest.fixture(scope="module")
def connected(backend: Backend, http: httpx.Client) -> Connected:
    return connect(backend, http, "outside")


def test_without_a_champion_there_is_one_clear_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    settle(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "LABEL_STUDIO_URL"):
        monkeypatch.delenv(name, raising=False)
    assert main(["serve-predictions", "--port", "0"]) == 1
    said = capfd.readouterr().err.strip().splitlines()[-1]
    assert said.startswith("lungal: there is no champion in the registry")
    assert "models/detector" in said
    assert main(["serve-predictions", "--port", "0", "--model", "nowhere"]) == 1
    assert "nowhere is no model folder" in capfd.readouterr().err
    monkeypatch.delenv("LUNGAL_PREDICTIONS_PASSWORD", raising=False)
    assert main(["serve-predictions", "--port", "0", "--host", "0.0.0.0"]) == 2  # noqa: S104
    assert "set LUNGAL_PREDICTIONS_PASSWORD" in capfd.readouterr().err


def test_label_studio_connects_to_the_champion(project: Project, connected: Connected) -> None:
    backends = connected.http.get("/api/ml", params={"project": connected.number}).json()
    (found,) = backends
    assert found["readable_state"] == "Connected"
    assert found["model_version"] == project.model_version
    versions = connected.http.get(f"/api/ml/{found['id']}/versions").json()
    assert versions["versions"] == [project.model_version]


def test_an_ingested_film_that_is_opened_has_boxes(project: Project, connected: Connected) -> None:
    task = connected.bring(film=project.film(INGESTED))
    (prediction,) = connected.open(task)
    assert prediction["model_version"] == project.model_version
    assert 0 <= prediction["score"] <= 1
    assert prediction["result"]
    for box in prediction["result"]:
        assert box["value"]["rectanglelabels"][0] in CLASSES
        assert DRAW <= box["score"] <= 1
    assert [one["id"] for one in connected.open(task)] == [prediction["id"]]  # once is enough


def test_so_has_a_film_of_the_shared_folder_and_an_upload(
    project: Project, connected: Connected
) -> None:
    folder = project.server.document_root / "mine"
    folder.mkdir()
    picture = encode_png(film(1)[0].pixels)
    (folder / "film.png").write_bytes(picture)
    # Uploads go to a project that shows one picture only; others are refused by the server.
    one = {"title": "shelf", "label_config": '<View><Image name="image" value="$image"/></View>'}
    shelf = f"/api/projects/{connected.http.post('/api/projects', json=one).json()['id']}"
    keep = {"commit_to_project": "false"}
    files = {"f": ("film.png", picture)}
    answer = connected.http.post(f"{shelf}/import", params=keep, files=files)
    assert answer.status_code == 201, answer.text
    (upload,) = connected.http.get(f"{shelf}/file-uploads", params={"all": "true"}).json()
    ingested = connected.open(connected.bring(film=project.film(INGESTED)))[0]["result"]
    for image in ("/data/local-files/?d=mine/film.png", f"/data/{upload['file']}"):
        (prediction,) = connected.open(connected.bring(image=image))
        assert prediction["result"] == ingested  # it is the same film


@pytest.mark.parametrize(
    "image", ["http://127.0.0.1:9/data/upload/film.png", "/data/local-files/?d=../data/x.png", ""]
)
def test_a_film_of_elsewhere_has_none_and_the_log_says_why(
    connected: Connected, backend: Backend, image: str
) -> None:
    task = connected.bring(image=image)
    assert connected.open(task) == []
    assert f"task {task} gets no prediction: " in backend.log.read_text()


def test_a_blind_film_stays_blind(project: Project, connected: Connected) -> None:
    task = connected.bring(film=project.film(BLIND), round=1)
    assert connected.open(task) == []
    assert connected.ask(task, drawn())["data"]["result"] == []


def drawn() -> dict[str, Any]:
    # film(1) has a square of class 1 at (30, 20), 45 pixels wide
    value = {"x": 15.5, "y": 10.5, "width": 23.5, "height": 23.5, "rotation": 0}
    return {
        "id": "drawn1",
        "from_name": "finding",
        "to_name": "image",
        "type": "rectanglelabels",
        "value": value | {"rectanglelabels": [CLASSES[5]]},
    }


def test_a_drawn_region_gets_its_finding(project: Project, connected: Connected) -> None:
    task = connected.bring(film=project.film(INGESTED))
    answer = connected.ask(task, drawn())
    (region,) = answer["data"]["result"]
    assert region["id"] == "drawn1"
    assert region["value"]["rectanglelabels"][0] in CLASSES
    assert {k: region["value"][k] for k in ("x", "width")} == {"x": 15.5, "width": 23.5}
    assert 0 < region["score"] <= 1


def test_a_reader_draws_and_the_model_names_the_finding(
    project: Project,
    backend: Backend,
    http: httpx.Client,
    take_a_seat: Callable[[str, str], Desk],
) -> None:
    connected = connect(backend, http, "with a reader")
    folder = project.server.document_root / "seen"
    folder.mkdir()
    (folder / "film.png").write_bytes(encode_png(film(1)[0].pixels))
    storage = {"project": connected.number, "path": str(folder), "title": "seen"}
    http.post("/api/storages/localfiles", json=storage).raise_for_status()
    connected.bring(image="/data/local-files/?d=seen/film.png")
    who = project.server.credentials()
    desk = take_a_seat(str(http.base_url), "on-demand")
    desk.page.add_init_script("localStorage.setItem('autoAnnotation', 'true')")
    desk.log_in(who.username, who.password)
    desk.label_all(connected.number)
    desk.wait_for_film()
    assert desk.boxes(), "a film opened outside the queue has boxes"
    desk.page.evaluate(CLEAR)  # one of them may be where the reader is about to draw
    desk.page.locator(".lsf-tool_smart").first.click()
    desk.press("1")
    with desk.page.expect_response(lambda answer: "interactive" in answer.url) as caught:
        desk.drag((60, 60, 20, 20))
    (said,) = caught.value.json()["data"]["result"]
    desk.keep("suggestion")
    desk.page.get_by_test_id("bottombar-accept-suggestions-button").click()
    desk.page.wait_for_timeout(500)
    ((label, origin, place),) = desk.boxes()
    assert (label, origin) == (said["value"]["rectanglelabels"][0], "manual")
    assert place == pytest.approx([60, 60, 20, 20], abs=1.5)


def test_it_ends_in_good_order_and_has_told_no_token(
    project: Project, connected: Connected, backend: Backend
) -> None:
    assert connected.backend["state"] == "CO"
    downloaded = list((backend.log.parent / "tmp").rglob("saved_model.pb"))
    assert downloaded
    assert backend.stop() == 0
    assert not [path for path in downloaded if path.exists()]
    told = backend.log.read_text()
    assert project.server.credentials().token not in told
    assert "Traceback" not in told
