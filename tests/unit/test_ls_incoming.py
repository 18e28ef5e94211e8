"""What changed on a server, read page by page from one that is played by a transport."""

import copy
import json
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from lungal.annotation import incoming
from lungal.annotation.incoming import Addresses, Incoming
from lungal.annotation.projects import Project, oldest_project
from lungal.annotation.protocol import Notes
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.readings import utc
from lungal.errors import ServerError
from lungal.reading.standing import standing
from lungal.records import Annotation

NOON = datetime.fromisoformat("2026-11-23T12:00:00+00:00")
SECOND = timedelta(seconds=1)
URL = "http://ls"
MARGIN = incoming.MARGIN


class Server:
    """As much of Label Studio as a pull sees."""

    def __init__(self) -> None:
        self.now = self.made = NOON
        self.tasks: dict[int, dict[str, Any]] = {}
        self.users = [{"id": 1, "email": "Ada@example.org"}, {"id": 2, "email": ""}]
        self.most = 1000  # tasks on a page, whatever is asked for
        self.asked: list[httpx.Request] = []
        self.numbers = 0
        self.meanwhile: list[Any] = []  # what happens after each page

    def task(self, film: str, *, round: int = 1) -> int:  # noqa: A002  the field's name
        number = self._number()
        self.tasks[number] = {
            "id": number,
            "created_at": utc(self._tick()),
            "updated_at": utc(self.now),
            "data": {"film": film, "round": round, "width": 96, "height": 96},
            "annotations": [],
        }
        return number

    def annotate(self, task: int, *, user: int | None = 1, **said: Any) -> int:
        number = self._number()
        self.tasks[task]["annotations"].append(
            {"id": number, "completed_by": user, "updated_at": utc(self._tick()), "result": []}
            | said
        )
        self.touch(task)
        return number

    def edit(self, task: int, number: int) -> None:
        (annotation,) = [a for a in self.tasks[task]["annotations"] if a["id"] == number]
        annotation["updated_at"] = utc(self._tick())
        self.touch(task)

    def delete(self, task: int, number: int) -> None:
        annotations = self.tasks[task]["annotations"]
        annotations[:] = [a for a in annotations if a["id"] != number]
        self.touch(task)

    def touch(self, task: int) -> None:
        self.tasks[task]["updated_at"] = utc(self._tick())

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        # The server's clock says whole seconds.
        headers = {"date": format_datetime(self.now.replace(microsecond=0), usegmt=True)}
        status, content = self._answer(request)
        return httpx.Response(status, headers=headers, json=content)

    def _answer(self, request: httpx.Request) -> tuple[int, Any]:
        path = request.url.path
        if path == "/api/users":
            return 200, self.users
        if path.startswith("/api/annotations/"):
            number = int(path.split("/")[3])
            there = any(a["id"] == number for t in self.tasks.values() for a in t["annotations"])
            return (200 if there else 404), {}
        found = self._select(json.loads(request.url.params["query"]))
        page = copy.deepcopy({"tasks": found[: self.most], "total": len(found)})
        if self.meanwhile:
            self.meanwhile.pop(0)()
        return 200, page

    def _select(self, query: dict[str, Any]) -> list[dict[str, Any]]:
        items = query["filters"]["items"]
        bounds = {item["filter"].rpartition(":")[2]: item["value"] for item in items}
        assert all(item["operator"] == "greater" for item in items)
        return [
            task
            for number, task in sorted(self.tasks.items())
            if all(task[column] > bound for column, bound in bounds.items())
        ]

    def _tick(self) -> datetime:
        self.now += SECOND
        return self.now

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers


@pytest.fixture
def server() -> Server:
    return Server()


def fetch(
    server: Server,
    log: Iterable[Annotation] = (),
    *,
    films: Iterable[str] = ("film-a", "film-b"),
    **how: Any,
) -> list[Annotation]:
    def respond(request: httpx.Request) -> httpx.Response:
        return server(request)

    ids = {film: film.replace("film-", "image-") for film in films}
    with httpx.Client(base_url=URL, transport=httpx.MockTransport(respond)) as http:
        made = Project(3, utc(server.made))
        project = Incoming(http, URL, made, ids, Pseudonyms(b"0" * 16).reader)
        return list(project.events(list(log), **how))


def since(server: Server) -> str | None:
    """Return from when on the last fetch asked for tasks."""
    pages = [request for request in server.asked if request.url.path == "/api/tasks"]
    items = json.loads(pages[-1].url.params["query"])["filters"]["items"]
    return next((i["value"] for i in items if i["filter"].endswith("updated_at")), None)


class TestSince:
    def test_an_empty_log_asks_for_all(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        assert len(fetch(server)) == 1
        assert since(server) is None

    def test_it_is_a_margin_before_the_last_event_of_this_project(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        server.annotate(server.task("film-b"))
        log = fetch(server)
        last = max(datetime.fromisoformat(event.at) for event in log)
        strangers = [
            replace_source(log[0], "ls-33-1@x", NOON + timedelta(days=1)),
            replace_source(log[0], "import-1@x", NOON + timedelta(days=2)),
        ]
        fetch(server, [*log, *strangers])
        assert since(server) == utc(last - MARGIN)

    def test_a_server_that_is_laid_out_anew_is_another_project(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        log = fetch(server)
        anew = Server()
        anew.made = anew.now = NOON + timedelta(days=7)
        anew.annotate(anew.task("film-b"))
        later = fetch(anew, log)
        assert since(anew) is None
        assert {event.image_id for event in standing([*log, *later])} == {"image-a", "image-b"}

    def test_an_older_log_asks_for_what_it_lacks(self, server: Server) -> None:
        for _ in range(5):
            server.annotate(server.task("film-a"))
            server.now += timedelta(hours=1)
        log = sorted(fetch(server), key=lambda event: event.at)
        assert {e.source_id for e in fetch(server, log[:2])} >= {e.source_id for e in log[2:]}

    def test_everything_is_everything(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        fetch(server, fetch(server), everything=True)
        assert since(server) is None

    def test_nothing_new_asks_for_no_users(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        log = fetch(server)
        server.tasks.clear()
        server.asked.clear()
        assert fetch(server, log) == []
        assert [request.url.path for request in server.asked] == ["/api/tasks"]


def replace_source(event: Annotation, source_id: str, at: datetime) -> Annotation:
    return replace(event, source_id=source_id, at=utc(at))


class TestPages:
    def test_pages_are_turned_until_the_end(self, server: Server) -> None:
        for _ in range(7):
            server.annotate(server.task("film-a"))
        server.most = 3  # a limit of the server's own, below ours
        assert len({event.thread for event in fetch(server)}) == 7

    def test_a_task_that_goes_away_meanwhile_hides_no_other(self, server: Server) -> None:
        numbers = [server.task("film-a") for _ in range(6)]
        for number in numbers:
            server.annotate(number)
        server.most = 2
        server.meanwhile = [lambda: server.tasks.pop(numbers[0])]
        assert len(fetch(server)) == 6

    def test_what_happens_meanwhile_is_found_by_the_next_fetch(self, server: Server) -> None:
        first, *others = [server.task("film-a") for _ in range(3)]
        made = server.annotate(first)

        def edit_the_first_and_read_for_long() -> None:
            server.now += timedelta(minutes=1)
            server.edit(first, made)
            server.now += timedelta(minutes=30)
            server.annotate(others[-1])

        server.most, server.meanwhile = 1, [edit_the_first_and_read_for_long]
        log = fetch(server)
        assert len(log) == 1, "a reading of after the fetch began would hide the edit"
        new = fetch(server, log)
        assert len({event.source_id for event in [*log, *new]}) == 3


class TestDeletions:
    def test_one_that_the_log_knows_is_an_event(self, server: Server) -> None:
        task = server.task("film-a")
        made = server.annotate(task)
        log = fetch(server)
        server.delete(task, made)
        (gone,) = fetch(server, log)
        assert gone.verdict == "deleted"
        assert gone.at == server.tasks[task]["updated_at"]
        assert standing([gone, *log]) == []
        assert fetch(server, [*log, gone]) == []

    def test_one_that_the_log_never_knew_is_none(self, server: Server) -> None:
        task = server.task("film-a")
        server.delete(task, server.annotate(task))
        assert fetch(server) == []

    def test_a_film_that_moved_to_a_later_round_after_a_deletion(self, server: Server) -> None:
        task = server.task("film-a")
        made = server.annotate(task)
        log = fetch(server)
        server.delete(task, made)
        server.tasks[task]["data"]["round"] = 2
        (gone,) = fetch(server, log)
        assert (gone.verdict, gone.round) == ("deleted", 1)

    def test_a_reading_of_an_equal_task_is_not_gone(self, server: Server) -> None:
        one, twin = server.task("film-a"), server.task("film-a")
        server.annotate(one)
        server.now += timedelta(hours=1)
        server.annotate(server.task("film-b"))
        log = fetch(server)
        server.annotate(twin)
        assert "deleted" not in [event.verdict for event in fetch(server, log)]
        assert [r.url.path for r in server.asked if "annotations" in r.url.path]

    def test_a_task_that_goes_as_a_whole_takes_no_reading_back(self, server: Server) -> None:
        first = server.task("film-a")
        server.annotate(first)
        log = fetch(server)
        del server.tasks[first]
        again = server.task("film-a", round=2)
        server.annotate(again)
        notes = Notes()
        assert [event.round for event in fetch(server, log, everything=True, notes=notes)] == [2]
        assert notes.gone == [log[0].thread]

    def test_a_server_that_a_backup_set_back_takes_no_reading_back(self, server: Server) -> None:
        task = server.task("film-a")
        server.annotate(task)
        backup = copy.deepcopy(server.tasks)
        server.annotate(task, user=2)
        log = fetch(server)
        assert len(standing(log)) == 2
        server.tasks = backup
        again = fetch(server, log, everything=True)
        assert again, "what the backup has is still there"
        assert all(event in log for event in again)

    def test_what_is_there_is_not_gone(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        log, notes = fetch(server), Notes()
        fetch(server, log, everything=True, notes=notes)
        assert notes.gone == []

    def test_a_refused_reading_of_a_film_that_was_unknown_then(self, server: Server) -> None:
        task = server.task("film-a")
        made = server.annotate(task)
        log = fetch(server, films=())
        assert [event.verdict for event in log] == ["refused"]
        server.delete(task, made)
        assert [event.verdict for event in fetch(server, log)] == ["deleted"]


class TestReaders:
    def test_an_address_becomes_a_pseudonym(self, server: Server) -> None:
        server.annotate(server.task("film-a"))
        (event,) = fetch(server)
        assert event.reader == Pseudonyms(b"0" * 16).reader("ada@example.org")

    @pytest.mark.parametrize(
        ("user", "name"), [(2, "user-2"), (9, "user-9"), (None, "user-unknown")]
    )
    def test_without_an_address_the_number_will_do(
        self, server: Server, user: int | None, name: str
    ) -> None:
        server.annotate(server.task("film-a"), user=user)
        assert [event.reader for event in fetch(server)] == [name]

    def test_users_are_asked_for_once(self, server: Server) -> None:
        for _ in range(3):
            server.annotate(server.task("film-a"))
        fetch(server)
        assert [r.url.path for r in server.asked].count("/api/users") == 1

    def test_addresses_may_be_wanted(self) -> None:
        key = Pseudonyms(b"0" * 16)
        openly = Addresses(key)
        assert openly.reader(" Ada@Example.org ") == "ada@example.org"
        assert openly.film("00000001_000") == key.film("00000001_000")


class TestNotes:
    def test_each_reading_has_a_link(self, server: Server) -> None:
        task = server.task("film-a")
        server.annotate(task)
        notes = Notes()
        (event,) = fetch(server, notes=notes)
        assert notes.links == {event.thread: f"{URL}/projects/3/data?task={task}"}

    def test_a_film_that_lungal_never_asked_for_is_no_event(self, server: Server) -> None:
        task = server.task("film-a")
        del server.tasks[task]["data"]["round"]
        server.annotate(task)
        notes = Notes()
        assert fetch(server, notes=notes) == []
        assert notes.strangers == [f"{URL}/projects/3/data?task={task}"]


def client(answer: httpx.Response) -> httpx.Client:
    return httpx.Client(base_url=URL, transport=httpx.MockTransport(lambda _: answer))


class TestProject:
    def test_the_oldest_of_that_very_title(self) -> None:
        titles = {7: "lungal", 4: "lungal", 1: "lungal 2"}
        found = [{"id": n, "title": t, "created_at": f"at {n}"} for n, t in titles.items()]
        answer = httpx.Response(200, json={"results": found})
        assert oldest_project(client(answer), "lungal") == Project(4, "at 4")

    def test_none_is_none(self) -> None:
        assert oldest_project(client(httpx.Response(200, json={"results": []})), "x") is None

    def test_something_else_than_label_studio_is_told_from_it(self) -> None:
        with pytest.raises(ServerError, match="Label Studio"):
            oldest_project(client(httpx.Response(200, text="<html>")), "x")
