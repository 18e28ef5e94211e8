"""Queueing, reading and pulling on a real Label Studio server."""

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from plugins.label_studio import fresh_project

from lungal.annotation.hosting import Uploads
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.oracle import Reader, answer
from lungal.annotation.protocol import Refused
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import box_regions, study_region
from lungal.boxes import from_percent
from lungal.data.annotations import read_log
from lungal.errors import ServerError, TokenError
from lungal.records import GroundTruth, LabelledBox, Task
from lungal.rounds.pull import Film, pull
from lungal.testing import make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

Films = dict[str, Path]

MASS = LabelledBox("Mass", 10, 10, 40, 50)


@pytest.fixture
def tasks(films: Films) -> list[Task]:
    """Five tasks in an order that neither their names nor their numbers give away."""
    names = [list(films)[n] for n in (2, 0, 4, 1, 3)]
    return [make_task(name, rank=rank) for rank, name in enumerate(names, start=1)]


@pytest.fixture
def known(films: Films) -> dict[str, Film]:
    return {name: Film(96, 96, "train") for name in films}


def names_of(tasks: list[Task]) -> list[str]:
    return [task.image_id for task in tasks]


def open_tasks(store: LabelStudio) -> list[dict[str, Any]]:
    """Return what the project's first data manager view shows, in its order."""
    project = store.project_id()
    (view,) = store.http.get("/api/dm/views", params={"project": project}).json()
    query = {"project": project, "view": view["id"], "fields": "all", "page_size": 100}
    return list(store.http.get("/api/tasks", params=query).json()["tasks"])


def as_people_annotate(store: LabelStudio, image_id: str, result: list[dict[str, Any]]) -> int:
    (task,) = [t for t in open_tasks(store) if t["data"]["image_id"] == image_id]
    made = store.http.post(f"/api/tasks/{task['id']}/annotations/", json={"result": result})
    return int(made.raise_for_status().json()["id"])


def regions(box: LabelledBox) -> list[dict[str, Any]]:
    drawn = GroundTruth.of("", [box])
    return box_regions(drawn.boxes, drawn.labels, 96, 96)


def test_a_round_from_queue_to_log(
    store: LabelStudio, tasks: list[Task], known: dict[str, Film], tmp_path: Path
) -> None:
    assert store.submit(tasks[::-1]) == 5
    assert store.submit(tasks) == 0

    shown = open_tasks(store)
    assert [task["data"]["image_id"] for task in shown] == names_of(tasks)
    for there, task in zip(shown, tasks, strict=True):
        (prediction,) = there["predictions"]
        assert prediction["model_version"] == task.model_version
        drawn = [
            [r["value"][k] for k in ("x", "y", "width", "height")] for r in prediction["result"]
        ]
        np.testing.assert_allclose(from_percent(drawn, 96, 96), task.detections.boxes, atol=0.01)

    reader = Reader(dict.fromkeys(names_of(tasks)[:4], (MASS,)), miss_rate=0, jitter=0)
    assert answer(store, reader, limit=2) == names_of(tasks)[:2]
    log = tmp_path / "annotations.jsonl"
    assert len(pull(store, log, known).new) == 2
    assert answer(store, reader) == names_of(tasks)[2:]
    assert answer(store, reader) == []
    report = pull(store, log, known)
    assert (len(report.new), report.known, report.refused) == (3, 2, ())
    assert pull(store, log, known).new == ()

    by_film = {reading.image_id: reading for reading in read_log(log)}
    assert len(by_film) == 5
    assert by_film[tasks[4].image_id].verdict == "skipped"
    for task in tasks[:4]:
        (box,) = by_film[task.image_id].boxes
        np.testing.assert_allclose(box.xyxy, MASS.xyxy, atol=0.01)
        assert by_film[task.image_id].model_version == task.model_version
        assert by_film[task.image_id].seconds is not None


def test_the_latest_round_is_read_first_and_no_film_is_asked_for_twice(
    store: LabelStudio, tasks: list[Task], films: Films
) -> None:
    store.submit(tasks)
    newest = list(films)[6]
    again = [newest, tasks[4].image_id]
    second = [make_task(name, round=2, rank=rank) for rank, name in enumerate(again, start=1)]
    assert store.submit(second) == 2
    assert store.submit(second) == 0
    served = answer(store, Reader({}))
    assert served[:2] == again
    assert sorted(served) == sorted([newest, *names_of(tasks)])


def test_a_model_trained_anew_redraws_what_is_unread(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks)
    answer(store, Reader({}), limit=1)
    anew = [replace(task, model_version="r1-99999999") for task in tasks]
    assert store.submit(anew) == 0
    versions = {t["data"]["image_id"]: t["data"]["model_version"] for t in open_tasks(store)}
    assert versions.pop(tasks[0].image_id) == tasks[0].model_version
    assert set(versions.values()) == {"r1-99999999"}
    assert answer(store, Reader({})) == names_of(tasks)[1:]


def test_edits_are_new_readings_and_deletions_take_nothing_away(
    store: LabelStudio, tasks: list[Task], known: dict[str, Film], tmp_path: Path
) -> None:
    log = tmp_path / "annotations.jsonl"
    store.submit(tasks)
    number = as_people_annotate(store, tasks[0].image_id, regions(MASS))
    (first,) = pull(store, log, known).new
    store.http.patch(f"/api/annotations/{number}/", json={"result": []}).raise_for_status()
    (edited,) = pull(store, log, known).new
    assert (first.verdict, edited.verdict) == ("finding", "no_finding")
    assert edited.at > first.at
    store.http.delete(f"/api/annotations/{number}/").raise_for_status()
    assert pull(store, log, known).new == ()
    assert len(read_log(log)) == 2


def test_bad_readings_are_refused_with_a_link_and_stop_no_other(
    store: LabelStudio, tasks: list[Task], known: dict[str, Film], tmp_path: Path
) -> None:
    (good,) = regions(MASS)
    wrong = {
        "rotated": [good | {"value": good["value"] | {"rotation": 20}}],
        "Tumour": [good | {"value": good["value"] | {"rectanglelabels": ["Tumour"]}}],
        "No finding": [good, study_region("No finding")],
    }
    beyond = [good | {"value": good["value"] | {"x": 80, "width": 60}}]
    store.submit(tasks)
    for task, result in zip(tasks, [*wrong.values(), beyond, [good]], strict=True):
        as_people_annotate(store, task.image_id, result)
    report = pull(store, tmp_path / "annotations.jsonl", known)
    assert {reading.image_id for reading in report.new} == set(names_of(tasks)[3:])
    assert [max(b.x2 for b in r.boxes) for r in report.new if r.image_id == tasks[3].image_id] == [
        96
    ]
    for refused, reason in zip(sorted_by_link(report.refused), wrong, strict=True):
        assert reason in refused.reason
        assert refused.link.startswith(store.url)


def sorted_by_link(refused: tuple[Refused, ...]) -> list[Refused]:
    return sorted(refused, key=lambda one: int(one.link.rpartition("=")[2]))


@pytest.mark.parametrize("hosting", ["local files", "upload"])
def test_films_are_served_to_members_only(
    store: LabelStudio, films: Films, tasks: list[Task], hosting: str
) -> None:
    chosen = replace(store, hosting=Uploads()) if hosting == "upload" else store
    with closing(chosen):
        chosen.submit(tasks[:2])
        chosen.submit(tasks)
        for task in open_tasks(chosen):
            url = task["data"]["image"]
            served = chosen.http.get(url)
            assert served.headers["content-type"] == "image/png"
            assert served.content == films[task["data"]["image_id"]].read_bytes()
            assert httpx.get(chosen.url + url).status_code == httpx.codes.UNAUTHORIZED
        if hosting == "upload":
            path = f"/api/projects/{chosen.project_id()}/file-uploads"
            assert len(chosen.http.get(path, params={"all": "true"}).json()) == 5


def test_a_personal_access_token_does_as_well(store: LabelStudio, tasks: list[Task]) -> None:
    token = store.http.post("/api/token/").raise_for_status().json()["token"]
    with closing(replace(store, token=token, hosting=Uploads())) as personal:
        assert personal.submit(tasks[:1]) == 1
        assert answer(personal, Reader({})) == names_of(tasks)[:1]


@pytest.mark.parametrize("token", ["0" * 40, "not.a.jwt", ""])
def test_a_wrong_token_is_one_clear_line(store: LabelStudio, tasks: list[Task], token: str) -> None:
    with (
        closing(replace(store, token=token)) as stranger,
        pytest.raises(TokenError, match="LABEL_STUDIO_API_KEY") as refused,
    ):
        stranger.submit(tasks)
    assert "\n" not in str(refused.value)
    assert not token or token not in str(refused.value)


def test_nobody_there_is_one_clear_line(store: LabelStudio, tasks: list[Task]) -> None:
    with closing(replace(store, url="http://127.0.0.1:9")) as nobody:
        with pytest.raises(ServerError, match="label-studio start"):
            nobody.submit(tasks)
        with pytest.raises(ServerError, match=r"127\.0\.0\.1:9"):
            list(nobody.fetch())


def die_after(requests: int) -> Callable[[], None]:
    """Make this process kill itself once it has had so many answers."""

    def arm() -> None:
        answered = 0
        send = httpx.HTTPTransport.handle_request

        def counted(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            nonlocal answered
            response = send(self, request)
            answered += 1
            if answered >= requests:
                os.kill(os.getpid(), signal.SIGKILL)
            return response

        httpx.HTTPTransport.handle_request = counted  # type: ignore[method-assign]

    return arm


def die_in_the_import() -> None:
    """Make this process kill itself while the server is busy with its tasks."""
    send = httpx.HTTPTransport.handle_request

    def hurried(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/import"):
            threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGKILL)).start()
        return send(self, request)

    httpx.HTTPTransport.handle_request = hurried  # type: ignore[method-assign]


def in_a_child(arm: Callable[[], None], work: Callable[[], object]) -> bool:
    """Do work in a forked child; return whether it was killed."""
    child = os.fork()
    if child == 0:
        try:
            arm()
            work()
            os._exit(0)
        except BaseException:  # noqa: BLE001  a child must not go on as a second pytest
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def test_a_queue_killed_at_any_request_is_completed_by_the_next(
    label_studio_server: LocalServer, films: Films, tasks: list[Task]
) -> None:
    import label_studio_sdk  # noqa: F401  once, not in each child

    killed, requests = True, 0
    while killed:
        requests += 1
        arm = die_after(requests)
        with closing(fresh_project(label_studio_server, films)) as store:
            killed = in_a_child(arm, lambda project=store: project.submit(tasks))
        with closing(replace(store)) as store:
            store.submit(tasks)
            assert [t["data"]["image_id"] for t in open_tasks(store)] == names_of(tasks)
            assert store.next_task(store.project_id() or 0)["data"]["rank"] == 1  # type: ignore[index]
    assert requests > 6  # it really had that many chances to die


def test_a_queue_killed_while_the_server_imports_doubles_nothing(
    store: LabelStudio, tasks: list[Task]
) -> None:
    assert in_a_child(die_in_the_import, lambda: replace(store).submit(tasks))
    store.submit(tasks)
    time.sleep(1)  # whatever the server was still doing is done
    assert store.submit(tasks) == 0
    assert [t["data"]["image_id"] for t in open_tasks(store)] == names_of(tasks)


def test_two_queues_at_once_double_nothing(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks[:1])
    twins = [replace(store), replace(store)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda twin: twin.submit(tasks), twins))
    for twin in twins:
        twin.close()
    assert [t["data"]["image_id"] for t in open_tasks(store)] == names_of(tasks)


def test_a_move_killed_at_any_request_is_completed_by_the_next(
    label_studio_server: LocalServer, films: Films, tasks: list[Task]
) -> None:
    moved = [replace(tasks[1], round=2, model_version="r2-5e6f7a8b")]
    killed, requests = True, 2
    while killed:
        requests += 2
        arm = die_after(requests)
        with closing(fresh_project(label_studio_server, films)) as store:
            store.submit(tasks[:2])
            child = replace(store)
            killed = in_a_child(arm, lambda project=child: project.submit(moved))
            store.submit(moved)
            shown = {t["data"]["image_id"]: t for t in open_tasks(store)}
            assert {name: t["data"]["round"] for name, t in shown.items()} == {
                tasks[0].image_id: 1,
                tasks[1].image_id: 2,
            }
            (prediction,) = shown[tasks[1].image_id]["predictions"]
            assert prediction["model_version"] == "r2-5e6f7a8b"


def test_a_pull_killed_at_any_request_loses_and_doubles_nothing(
    store: LabelStudio, tasks: list[Task], known: dict[str, Film], tmp_path: Path
) -> None:
    store.submit(tasks)
    answer(store, Reader(dict.fromkeys(known, (MASS,))))
    killed, requests = True, 0
    while killed:
        requests += 1
        log = tmp_path / f"annotations-{requests}.jsonl"
        child = replace(store)
        killed = in_a_child(die_after(requests), lambda s=child, to=log: pull(s, to, known))
        assert not (killed and read_log(log))
        pull(store, log, known)
        assert pull(store, log, known).new == ()
        assert sorted(r.image_id for r in read_log(log)) == sorted(names_of(tasks))
    assert requests > 2


class Unplugged:
    """A way to host films during which the server goes down."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server

    def publish(
        self, http: httpx.Client, project_id: int, films: dict[str, Path]
    ) -> dict[str, str]:
        self._server.stop()
        return dict.fromkeys(films, "/film.png")


def test_the_life_of_a_server(
    label_studio_home: Callable[[], LocalServer],
    label_studio_server: LocalServer,
    films: Films,
    tasks: list[Task],
    known: dict[str, Film],
    tmp_path: Path,
) -> None:
    taken = label_studio_server.status()
    assert taken is not None
    server = label_studio_home()
    assert server.status() is None
    assert server.stop() is False
    with pytest.raises(ServerError, match="is taken"):
        server.start(int(taken.url.rpartition(":")[2]))

    first = server.start(0)
    try:
        assert server.start(0) == first
        listening = psutil.Process(first.pid).net_connections("inet")
        assert {c.laddr.ip for c in listening if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        switches = psutil.Process(first.pid).environ()
        assert (switches["COLLECT_ANALYTICS"], switches["SENTRY_DSN"]) == ("false", "")
        secrets = server.folder / "credentials.json"
        assert secrets.stat().st_mode & 0o777 == 0o600
        store = fresh_project(server, films)
        with closing(replace(store, hosting=Unplugged(server))) as unlucky:
            with pytest.raises(ServerError, match="does not answer"):
                unlucky.submit(tasks)
            with pytest.raises(ServerError, match="does not answer"):
                pull(unlucky, tmp_path / "annotations.jsonl", known)
        assert server.status() is None
        again = server.start(int(first.url.rpartition(":")[2]))
        assert again.url == first.url
        with closing(store):
            assert store.submit(tasks) == 5
            assert [t["data"]["image_id"] for t in open_tasks(store)] == names_of(tasks)
    finally:
        assert server.stop() is True
    assert server.status() is None
