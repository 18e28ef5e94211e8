"""The project that a queue comes into, at a server that is played by a transport."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx

from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.set_up import SETTINGS
from lungal.annotation.submission import Submission
from lungal.annotation.tasks import STREAM
from lungal.testing import make_task

TITLE = "lungal"


class Server:
    """Keeps projects, of which it answers with as many fields as Label Studio may.

    Tasks are taken in silence; what the SDK changes of a project is kept in `changes`.
    """

    def __init__(self, *projects: dict[str, Any]) -> None:
        self.projects = {project["id"]: project for project in projects}
        self.changes: list[dict[str, Any]] = []
        self.sdk = SimpleNamespace(
            projects=SimpleNamespace(create=self._create, update=self._update),
            views=SimpleNamespace(list=lambda **_: (), create=lambda **_: None),
        )

    def submit(self) -> int:
        with httpx.Client(
            base_url="http://ls", transport=httpx.MockTransport(self._answer)
        ) as http:
            films = {"00000001_000": Path("film.png")}
            return Submission(
                self.sdk, http, TITLE, films, self, Pseudonyms(b"0" * 16), lambda *_: None
            ).submit([make_task("00000001_000", rank=1)])

    def publish(self, _http: Any, _project_id: int, pictures: Any) -> dict[Any, str]:
        return dict.fromkeys(pictures, "/film.png")

    def _create(self, **said: Any) -> SimpleNamespace:
        number = max(self.projects, default=0) + 1
        self.projects[number] = {"id": number, "created_at": "2026-11-23T12:00:00Z", **said}
        return SimpleNamespace(id=number)

    def _update(self, _number: int, **changes: Any) -> None:
        self.changes.append(changes)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.strip("/").split("/")
        if path[1] == "tasks":
            return httpx.Response(200, json={"tasks": [], "total": 0})
        if path[-1] == "import":
            return httpx.Response(201, json={})
        found = self.projects[int(path[2])] if len(path) > 2 else {"results": self._listed()}
        return httpx.Response(200, json=found)

    def _listed(self) -> list[dict[str, Any]]:
        return [
            {name: project[name] for name in ("id", "title", "created_at")}
            for project in self.projects.values()
        ]


def project(number: int, **changes: Any) -> dict[str, Any]:
    made = {"id": number, "title": TITLE, "created_at": "2026-11-23T12:00:00Z"}
    return made | SETTINGS | changes


def test_a_project_is_made_once() -> None:
    server = Server()
    assert server.submit() == 1
    assert server.projects[1]["title"] == TITLE
    assert {name: server.projects[1][name] for name in SETTINGS} == SETTINGS
    server.submit()
    assert list(server.projects) == [1]
    assert server.changes == [{"model_version": STREAM}] * 2


def test_of_the_oldest_project_of_that_title_only_what_differs_is_set() -> None:
    server = Server(
        project(9, sampling="x"), project(4, sampling="x"), project(1, title="lungal 2")
    )
    server.submit()
    assert server.changes[0] == {"sampling": SETTINGS["sampling"]}
