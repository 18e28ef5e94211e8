"""A queue that is killed anywhere, by SIGKILL, and repeated: nothing is lost and nothing doubled.

A real process at a real server. It dies after its n-th answer of the server, or right before or
after its n-th file came into place, for every n there is.
"""

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pandas as pd
import pytest
from killed_child import in_a_child
from plugins.label_studio import fresh_project

from lungal.annotation.hosting import LocalFiles
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.server import LocalServer
from lungal.data.asked import read_asked
from lungal.records import Task
from lungal.rounds.queue import queue
from lungal.testing import make_detections, make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

Films = dict[str, Path]
Points = Callable[[int], Callable[[], None]]

READERS = [2, 1, 1]


@pytest.fixture(scope="module", autouse=True)
def import_once() -> None:
    """Import what takes seconds here, not in each child."""
    import label_studio_sdk  # noqa: F401


def selection(films: Films, *, round_: int = 1, version: str = "r1-0a1b2c3d") -> pd.DataFrame:
    return pd.DataFrame(
        {
            "rank": [1, 2, 3],
            "image_id": [list(films)[n] for n in (2, 0, 1)],
            "score": [0.9, 0.6, 0.3],
            "reason": ["rank 1 of 3: doubtful"] * 3,
            "strategy": ["least_confidence"] * 3,
            "round": [round_] * 3,
            "model_version": [version] * 3,
            "role": ["label", "control", "label"],
            "blind": [False, False, True],
            "readers": READERS,
        }
    )


def run(store: LabelStudio, films: Films, asked: Path, rows: pd.DataFrame) -> int:
    seen = [make_detections(name, 2) for name in films]
    return queue(rows, seen, films, store, asked=asked, draw_threshold=0.1, max_boxes=10).new


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def after_answers(count: int) -> Callable[[], None]:
    """Make this process kill itself once the server has answered so many times."""

    def arm() -> None:
        answered = 0
        send = httpx.HTTPTransport.handle_request

        def counted(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            nonlocal answered
            response = send(self, request)
            answered += 1
            if answered >= count:
                die()
            return response

        httpx.HTTPTransport.handle_request = counted  # type: ignore[method-assign]

    return arm


def at_files(count: int) -> Callable[[], None]:
    """Make this process kill itself around a rename: odd counts before it, even ones after it."""

    def arm() -> None:
        moments = 0
        move = os.replace

        def counted(source: Any, target: Any) -> None:
            nonlocal moments
            moments += 1
            if moments == count:
                die()
            move(source, target)
            moments += 1
            if moments == count:
                die()

        os.replace = counted
        Path.replace = lambda self, target: counted(self, target)  # type: ignore[method-assign,assignment]

    return arm


def in_the_import(milliseconds: int) -> Callable[[], None]:
    """Make this process kill itself while the server is busy with its tasks."""

    def arm() -> None:
        send = httpx.HTTPTransport.handle_request

        def hurried(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
            if request.url.path.endswith("/import"):
                threading.Timer(milliseconds / 1000, die).start()
            return send(self, request)

        httpx.HTTPTransport.handle_request = hurried  # type: ignore[method-assign]

    return arm


def open_tasks(store: LabelStudio) -> list[dict[str, Any]]:
    query = {"project": store.project_id(), "fields": "all", "page_size": 100}
    found = store.http.get("/api/tasks", params=query).json()["tasks"]
    return sorted(found, key=lambda task: task["data"]["rank"])


def check(store: LabelStudio, asked: Path, rows: pd.DataFrame) -> None:
    """Say whether all is there, once."""
    tasks = open_tasks(store)
    assert [store.image_ids[task["data"]["film"]] for task in tasks] == list(rows["image_id"])
    assert [task["overlap"] for task in tasks] == READERS
    assert [len(task["predictions"]) for task in tasks] == [1, 1, 1]
    assert [len(task["predictions"][0]["result"]) for task in tasks] == [2, 2, 0]
    lines = [json.loads(line) for line in asked.read_text().splitlines()]
    assert [line["image_id"] for line in lines] == list(rows["image_id"])
    assert [one.role for one in read_asked(asked)] == list(rows["role"])
    following = store.next_task(store.project_id() or 0)
    assert following is not None
    assert following["data"]["rank"] == 1


def killed_everywhere(
    points: Points, fresh: Callable[[int], tuple[LabelStudio, Path]], films: Films, step: int = 1
) -> int:
    """Kill at every `step`-th point, repeat, check; return how often the process was killed."""
    rows, kills, point = selection(films), 0, 1
    while True:
        store, asked = fresh(point)
        child = replace(store)
        killed = in_a_child(points(point), lambda s=child, a=asked: run(s, films, a, rows))
        with closing(store):
            run(store, films, asked, rows)
            check(store, asked, rows)
            if not killed:
                assert run(store, films, asked, rows) == 0
                return kills
        kills, point = kills + 1, point + step


@pytest.fixture
def fresh(
    label_studio_server: LocalServer, films: Films, tmp_path: Path
) -> Callable[[int], tuple[LabelStudio, Path]]:
    """Return a maker of projects that nobody has used, with a folder of films of their own."""

    def make(number: int) -> tuple[LabelStudio, Path]:
        project = fresh_project(label_studio_server, films)
        root = label_studio_server.document_root / f"killed-{tmp_path.name}-{number}"
        root.mkdir()
        asked = tmp_path / f"queue-{number}.jsonl"
        return replace(project, hosting=LocalFiles(root)), asked

    return make


def test_after_any_answer_of_the_server(fresh: Any, films: Films) -> None:
    assert killed_everywhere(after_answers, fresh, films) >= 12


def test_around_any_file_that_comes_into_place(fresh: Any, films: Films) -> None:
    # Nine pictures and data/queue.jsonl, before and after each.
    assert killed_everywhere(at_files, fresh, films, step=3) >= 6


@pytest.mark.parametrize("milliseconds", [2, 20, 60])
def test_while_the_server_imports(fresh: Any, films: Films, milliseconds: int) -> None:
    store, asked = fresh(milliseconds)
    rows, child = selection(films), replace(store)
    in_a_child(in_the_import(milliseconds), lambda: run(child, films, asked, rows))
    with closing(store):
        run(store, films, asked, rows)
        time.sleep(1)  # whatever the server was still doing is done
        run(store, films, asked, rows)
        check(store, asked, rows)


def test_a_move_to_the_next_round(fresh: Any, films: Films) -> None:
    rows = selection(films, round_=2, version="r2-5e6f7a8b")
    kills = 0
    for point in range(4, 40, 4):
        store, asked = fresh(point)
        with closing(store):
            store.submit(_earlier(films))
            child = replace(store)
            arm = after_answers(point)
            killed = in_a_child(arm, lambda s=child, a=asked: run(s, films, a, rows))
            run(store, films, asked, rows)
            check(store, asked, rows)
            assert {task["data"]["round"] for task in open_tasks(store)} == {2}
        if not killed:
            break
        kills += 1
    assert kills >= 3


def _earlier(films: Films) -> list[Task]:
    return [make_task(name, rank=rank) for rank, name in enumerate(list(films)[:2], start=1)]
