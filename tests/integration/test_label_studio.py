"""Queueing and reading on a real Label Studio server: what readers get, and what they do not."""

import json
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

from lungal.annotation.accounts import sign_up
from lungal.annotation.hosting import Picture, Uploads
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.oracle import answer
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import STREAM
from lungal.boxes import from_percent
from lungal.cli.doctor import CHECKS
from lungal.data.images import decode, equalise, read_pixels
from lungal.errors import PseudonymError, ServerError, TokenError
from lungal.reading.scripted import Reader
from lungal.records import LabelledBox, Task
from lungal.testing import make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

Films = dict[str, Path]

MASS = LabelledBox("Mass", 10, 10, 40, 50)
KEYS = {
    *("image", "clahe", "inverted", "prior", "film", "round", "rank", "uncertainty", "receipt"),
    *("model_version", "width", "height"),
}
OLD_LAYOUT = """<View>
  <Header value="$reason"/>
  <RectangleLabels name="finding" toName="image"><Label value="Mass"/></RectangleLabels>
  <Image name="image" value="$image"/>
</View>"""


@pytest.fixture
def tasks(films: Films) -> list[Task]:
    """Five tasks in an order that neither their names nor their numbers give away."""
    names = [list(films)[n] for n in (2, 0, 4, 1, 3)]
    return [make_task(name, rank=rank) for rank, name in enumerate(names, start=1)]


def names_of(tasks: list[Task]) -> list[str]:
    return [task.image_id for task in tasks]


def open_tasks(store: LabelStudio) -> list[dict[str, Any]]:
    """Return what the project's first data manager view shows, in its order."""
    project = store.project_id()
    (view,) = store.http.get("/api/dm/views", params={"project": project}).json()
    query = {"project": project, "view": view["id"], "fields": "all", "page_size": 100}
    return list(store.http.get("/api/tasks", params=query).json()["tasks"])


def films_of(store: LabelStudio) -> list[str]:
    return [store.image_ids[task["data"]["film"]] for task in open_tasks(store)]


def by_film(store: LabelStudio) -> dict[str, dict[str, Any]]:
    return {store.image_ids[task["data"]["film"]]: task for task in open_tasks(store)}


@pytest.fixture
def second(store: LabelStudio) -> LabelStudio:
    """Return the same project in the hands of another reader."""
    address = f"{store.title.replace(' ', '-')}@example.org"
    token = sign_up(store.url, store.token, address, "a long enough password 1")
    return replace(store, token=token)


def test_readers_get_what_was_queued_most_uncertain_first(
    store: LabelStudio, tasks: list[Task]
) -> None:
    assert store.submit(tasks[::-1]) == 5
    assert store.submit(tasks) == 0
    assert films_of(store) == names_of(tasks)
    for there, task in zip(open_tasks(store), tasks, strict=True):
        (prediction,) = there["predictions"]
        assert prediction["model_version"] == STREAM
        assert there["data"]["model_version"] == task.model_version
        drawn = [
            [r["value"][k] for k in ("x", "y", "width", "height")] for r in prediction["result"]
        ]
        np.testing.assert_allclose(from_percent(drawn, 96, 96), task.detections.boxes, atol=0.01)
    reader = Reader(dict.fromkeys(names_of(tasks)[:4], (MASS,)), miss_rate=0, jitter=0)
    assert answer(store, reader, limit=2) == names_of(tasks)[:2]
    assert answer(store, reader) == names_of(tasks)[2:]
    assert answer(store, reader) == []


def test_a_task_tells_neither_whose_film_it_is_nor_what_it_is_for(
    store: LabelStudio, tasks: list[Task], films: Films
) -> None:
    prior = list(films)[7]
    control = replace(tasks[0], role="control", blind=True, readers=2, prior=prior)
    store.submit([control, *tasks[1:]])
    for task in open_tasks(store):
        assert set(task["data"]) == KEYS
        told = json.dumps(task).lower()
        assert not any(image_id in told or image_id[:8] in told for image_id in films)
        assert not any(word in told for word in ("control", "blind"))


def test_a_blind_film_comes_in_its_turn_and_without_boxes(
    store: LabelStudio, tasks: list[Task]
) -> None:
    tasks[1] = replace(tasks[1], blind=True)
    store.submit(tasks)
    drawn = {name: len(t["predictions"][0]["result"]) for name, t in by_film(store).items()}
    assert drawn == {task.image_id: 0 if task.blind else 2 for task in tasks}
    assert answer(store, Reader({})) == names_of(tasks)


def test_an_adjudication_shows_both_readings_and_no_names(
    store: LabelStudio, tasks: list[Task]
) -> None:
    readings = ((MASS,), (LabelledBox("Nodule", 50, 50, 60, 70), MASS))
    store.submit([replace(tasks[0], role="adjudicate", readings=readings)])
    (task,) = open_tasks(store)
    regions = task["predictions"][0]["result"]
    said = [(r["meta"]["text"], r["value"]["rectanglelabels"]) for r in regions]
    assert said == [
        (["reading A"], ["Mass"]),
        (["reading B"], ["Nodule"]),
        (["reading B"], ["Mass"]),
    ]
    assert len({region["id"] for region in regions}) == 3
    assert "2 readers disagree" in task["data"]["receipt"]


def test_as_many_read_a_film_as_were_asked_for(
    store: LabelStudio, second: LabelStudio, tasks: list[Task]
) -> None:
    tasks[1], tasks[3] = (replace(tasks[n], readers=2) for n in (1, 3))
    store.submit(tasks)
    assert {name: t["overlap"] for name, t in by_film(store).items()} == {
        task.image_id: task.readers for task in tasks
    }
    names = names_of(tasks)
    assert answer(store, Reader(dict.fromkeys(names, ())), limit=3) == names[:3]
    with closing(second):
        assert answer(second, Reader(dict.fromkeys(names, ()))) == [names[1], names[3], names[4]]
    assert answer(store, Reader(dict.fromkeys(names, ()))) == [names[3]]
    assert all(task["is_labeled"] for task in open_tasks(store))


def test_a_film_that_was_read_before_the_server_knew_of_the_second_reader_is_not_done(
    store: LabelStudio, second: LabelStudio, tasks: list[Task]
) -> None:
    store.submit(tasks[:1])
    answer(store, Reader({tasks[0].image_id: ()}))
    store.submit([replace(tasks[0], readers=2)])
    with closing(second):
        assert answer(second, Reader({tasks[0].image_id: ()})) == [tasks[0].image_id]


def test_a_film_that_its_reader_skips_is_served_to_nobody_else(
    store: LabelStudio, second: LabelStudio, tasks: list[Task]
) -> None:
    store.submit([tasks[0], replace(tasks[1], readers=2)])
    shared = tasks[1].image_id
    assert answer(store, Reader({})) == names_of(tasks)[:2], "skips both"
    with closing(second):
        assert answer(second, Reader({shared: ()})) == [shared]
    assert all(task["is_labeled"] for task in open_tasks(store))


def test_a_skip_counts_when_a_film_gets_more_readers(
    store: LabelStudio, second: LabelStudio, tasks: list[Task]
) -> None:
    store.submit(tasks[:1])
    answer(store, Reader({}))
    store.submit([replace(tasks[0], readers=2)])
    with closing(second):
        answer(second, Reader({}))
    store.submit([replace(tasks[0], readers=1)])
    assert all(task["is_labeled"] for task in open_tasks(store))


def test_two_rounds_and_a_new_film_leave_the_readers_of_the_others_alone(
    store: LabelStudio, tasks: list[Task]
) -> None:
    store.submit([replace(tasks[0], readers=2), tasks[1]])
    store.submit([replace(tasks[2], round=2, model_version="r2-99999999")])
    overlap = {name: task["overlap"] for name, task in by_film(store).items()}
    assert overlap == {tasks[0].image_id: 2, tasks[1].image_id: 1, tasks[2].image_id: 1}


def test_a_project_of_an_older_lungal_is_migrated(store: LabelStudio, tasks: list[Task]) -> None:
    made = store.http.post(
        "/api/projects",
        json={"title": store.title, "label_config": OLD_LAYOUT, "sampling": "Sequential sampling"},
    )
    project = made.raise_for_status().json()["id"]
    old = {"image": "/x.png", "reason": "r", "round": 1, "rank": 1, "image_id": tasks[0].image_id}
    store.http.post(f"/api/projects/{project}/import", json=[{"data": old}]).raise_for_status()
    moved = [replace(task, round=2, model_version="r2-99999999") for task in tasks]
    assert store.submit(moved) == 5
    assert films_of(store) == names_of(tasks)
    assert {task["data"]["round"] for task in open_tasks(store)} == {2}
    settings = store.http.get(f"/api/projects/{project}/").json()
    assert "$clahe" in settings["label_config"]
    assert settings["sampling"] == "Uncertainty sampling"


def test_the_data_manager_hides_what_says_nothing(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks[:1])
    project = store.project_id()
    (view,) = store.http.get("/api/dm/views", params={"project": project}).json()
    columns = store.http.get("/api/dm/columns", params={"project": project}).json()["columns"]
    hidden = {name.removeprefix("tasks:") for name in view["data"]["hiddenColumns"]["explore"]}
    own = {f"data.{c['id']}" for c in columns if c.get("parent") == "data"}
    names = {c["id"] for c in columns if c["target"] == "tasks" and not c.get("parent")} | own
    shown = {name for name in names - hidden if not name.startswith(("comment", "unresolved"))}
    assert {"data.rank", "data.round", "data.uncertainty", "data.receipt", "annotators"} <= shown
    assert len(shown) <= 12, sorted(shown)


def test_the_latest_round_is_read_first_and_no_film_is_asked_for_twice(
    store: LabelStudio, tasks: list[Task], films: Films
) -> None:
    store.submit(tasks)
    newest = list(films)[6]
    again = [newest, tasks[4].image_id]
    second = [
        replace(make_task(name, round=2, rank=rank), model_version="r2-99999999")
        for rank, name in enumerate(again, start=1)
    ]
    assert store.submit(second) == 2
    assert store.submit(second) == 0
    assert answer(store, Reader({}), limit=2) == again
    left = names_of(tasks)[:4]
    served = store.http.get(f"/api/projects/{store.project_id()}/next").json()
    assert store.image_ids[served["data"]["film"]] == left[0]
    (prediction,) = served["predictions"]
    assert len(prediction["result"]) == len(tasks[0].detections) > 0, "it has kept its boxes"
    assert answer(store, Reader({})) == left, "and its place"


def test_a_model_trained_anew_redraws_what_is_unread(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks)
    answer(store, Reader({}), limit=1)
    anew = [replace(task, model_version="r1-99999999") for task in tasks]
    assert store.submit(anew) == 0
    versions = {name: t["data"]["model_version"] for name, t in by_film(store).items()}
    assert versions.pop(tasks[0].image_id) == tasks[0].model_version
    assert set(versions.values()) == {"r1-99999999"}
    assert answer(store, Reader({})) == names_of(tasks)[1:]


def test_whoever_has_a_film_open_can_submit_it_after_it_moved(
    store: LabelStudio, tasks: list[Task]
) -> None:
    store.submit(tasks[:1])
    (open_film,) = open_tasks(store)
    (shown,) = open_film["predictions"]
    store.submit([replace(tasks[0], round=2, model_version="r2-99999999")])
    said = {"result": shown["result"], "parent_prediction": shown["id"], "lead_time": 9}
    answer_ = store.http.post(f"/api/tasks/{open_film['id']}/annotations/", json=said)
    assert answer_.status_code == httpx.codes.CREATED, answer_.text
    (after,) = open_tasks(store)
    assert (after["data"]["round"], after["total_annotations"]) == (2, 1)


@pytest.mark.parametrize("round_", [1, 2])
def test_a_film_that_somebody_has_begun_to_read_keeps_its_boxes(
    store: LabelStudio, tasks: list[Task], round_: int
) -> None:
    store.submit(tasks[:1])
    (before,) = open_tasks(store)
    draft = {"result": before["predictions"][0]["result"], "lead_time": 9}
    store.http.post(f"/api/tasks/{before['id']}/drafts", json=draft).raise_for_status()
    store.submit([replace(tasks[0], round=round_, model_version="r2-99999999", blind=True)])
    there = {task["id"]: task for task in open_tasks(store)}
    assert len(there) == round_, "in a new round it is asked for anew"
    after = there[before["id"]]
    assert after["data"] == before["data"]
    assert [p["result"] for p in after["predictions"]] == [before["predictions"][0]["result"]]


def test_another_key_asks_for_no_film_twice(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks[:2])
    with closing(replace(store, pseudonyms=Pseudonyms(b"fedcba9876543210"))) as mistaken:
        for asked_now in (tasks[:2], tasks[2:]):
            with pytest.raises(PseudonymError, match="another key"):
                mistaken.submit(asked_now)
    assert len(open_tasks(store)) == 2


@pytest.mark.parametrize("hosting", ["local files", "upload"])
def test_films_and_their_views_are_served_to_members_only(
    store: LabelStudio, films: Films, tasks: list[Task], hosting: str
) -> None:
    chosen = replace(store, hosting=Uploads()) if hosting == "upload" else store
    tasks[0] = replace(tasks[0], prior=list(films)[7])
    with closing(chosen):
        chosen.submit(tasks[:2])
        chosen.submit(tasks)
        for name, task in by_film(chosen).items():
            stored = read_pixels(films[name])
            url = task["data"]["image"]
            served = chosen.http.get(url)
            assert served.headers["content-type"] == "image/png"
            assert served.content == films[name].read_bytes()
            for view, expected in (("clahe", equalise(stored)), ("inverted", 255 - stored)):
                seen = decode(chosen.http.get(task["data"][view]).content, view)
                assert np.abs(seen.astype(int) - expected).mean() < 8  # it is a JPEG of noise
            for view in ("image", "clahe", "inverted"):
                there = httpx.get(chosen.url + task["data"][view])
                assert there.status_code == httpx.codes.UNAUTHORIZED
        prior = by_film(chosen)[tasks[0].image_id]["data"]["prior"]
        assert chosen.http.get(prior).content == films[list(films)[7]].read_bytes()
        if hosting == "upload":
            shelf = {"title": f"films of project {chosen.project_id()}"}
            (there,) = chosen.http.get("/api/projects", params=shelf).json()["results"]
            path = f"/api/projects/{there['id']}/file-uploads"
            assert len(chosen.http.get(path, params={"all": "true"}).json()) == 5 * 3 + 1


def test_nothing_above_the_queues_folder_is_served(
    store: LabelStudio, tasks: list[Task], label_studio_server: LocalServer
) -> None:
    store.submit(tasks[:1])
    above = label_studio_server.document_root / "secret.png"
    above.write_bytes(b"not for readers")
    folder = label_studio_server.folder.name
    for path in ("secret.png", "queue/../secret.png", "../credentials.json", f"/{folder}/x"):
        there = store.http.get("/data/local-files/", params={"d": path})
        assert not there.is_success, path
        assert b"not for readers" not in there.content


@pytest.fixture(scope="module")
def personal_token(label_studio_server: LocalServer, films: Films) -> str:
    """Return a personal access token of the first user, who may have one."""
    with closing(fresh_project(label_studio_server, films)) as store:
        made = store.http.post("/api/token/").raise_for_status()
        return str(made.json()["token"])


def test_a_personal_access_token_does_as_well(
    store: LabelStudio, personal_token: str, tasks: list[Task]
) -> None:
    with closing(replace(store, token=personal_token, hosting=Uploads())) as personal:
        assert personal.submit(tasks[:1]) == 1
        assert answer(personal, Reader({})) == names_of(tasks)[:1]


@pytest.mark.parametrize("kind", ["legacy", "personal access"])
def test_the_doctor_tells_the_tokens_apart(
    store: LabelStudio,
    personal_token: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = store.token if kind == "legacy" else personal_token
    monkeypatch.chdir(tmp_path)  # where no local server is
    monkeypatch.setenv("LABEL_STUDIO_URL", store.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", token)
    monkeypatch.delenv("LUNGAL_PSEUDONYM_KEY", raising=False)
    there, names = CHECKS["label studio"](tmp_path)
    assert there.state == "ok"
    assert f"{kind} token of reader@" in there.seen
    assert (names.what, names.state) == ("pseudonyms", "bad")
    assert token not in f"{there} {names}"

    other = "0" if token[-10] != "0" else "1"
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", f"{token[:-10]}{other}{token[-9:]}")
    (refused,) = CHECKS["label studio"](tmp_path)
    assert refused.state == "bad"
    assert f"({kind} token)" in refused.seen
    assert refused.mend


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


def test_two_queues_at_once_double_nothing(store: LabelStudio, tasks: list[Task]) -> None:
    store.submit(tasks[:1])
    twins = [replace(store), replace(store)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda twin: twin.submit(tasks), twins))
    for twin in twins:
        twin.close()
    assert films_of(store) == names_of(tasks)


def put_in_twice(store: LabelStudio, task: dict[str, Any]) -> None:
    double = [{"data": task["data"]}]
    store.http.post(f"/api/projects/{task['project']}/import", json=double).raise_for_status()


def test_of_two_equal_tasks_the_one_that_was_begun_stays(
    store: LabelStudio, tasks: list[Task]
) -> None:
    store.submit(tasks[:1])
    (first,) = open_tasks(store)
    put_in_twice(store, first)
    (second,) = [task for task in open_tasks(store) if task["id"] != first["id"]]
    store.http.post(f"/api/tasks/{second['id']}/drafts", json={"result": []}).raise_for_status()
    store.submit(tasks[:1])
    assert [task["id"] for task in open_tasks(store)] == [second["id"]]


@pytest.mark.parametrize("quicker", [True, False], ids=["it is gone", "it stays"])
def test_a_double_may_go_amid_our_deleting_it(
    store: LabelStudio, tasks: list[Task], monkeypatch: pytest.MonkeyPatch, quicker: bool
) -> None:
    store.submit(tasks)
    put_in_twice(store, open_tasks(store)[0])
    delete = store.http.delete

    def fail(path: str) -> httpx.Response:
        if quicker:
            delete(path).raise_for_status()
        return httpx.Response(500, json={"detail": "no"}, request=httpx.Request("DELETE", path))

    monkeypatch.setattr(store.http, "delete", fail)
    if quicker:
        store.submit(tasks)
    else:
        with pytest.raises(ServerError, match="500"):
            store.submit(tasks)
        monkeypatch.undo()
        assert len(films_of(store)) == len(tasks) + 1
        store.submit(tasks)
    assert films_of(store) == names_of(tasks)


class Unplugged:
    """A way to host films during which the server goes down."""

    def __init__(self, server: LocalServer) -> None:
        self._server = server

    def publish(
        self, http: httpx.Client, project_id: int, pictures: list[Picture]
    ) -> dict[Picture, str]:
        self._server.stop()
        return dict.fromkeys(pictures, "/film.png")


def test_the_life_of_a_server(
    label_studio_home: Callable[[], LocalServer],
    label_studio_server: LocalServer,
    films: Films,
    tasks: list[Task],
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
                list(unlucky.fetch())
        assert server.status() is None
        again = server.start(int(first.url.rpartition(":")[2]))
        assert again.url == first.url
        with closing(store):
            assert store.submit(tasks) == 5
            assert films_of(store) == names_of(tasks)
    finally:
        assert server.stop() is True
    assert server.status() is None
