"""The listener that a server may call, and what is left of it afterwards."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from lungal.annotation.webhooks import OURS, hints

LOCAL = "http://127.0.0.1:8080"


class Server:
    """Keeps webhooks as Label Studio does."""

    def __init__(self, status: int = 201) -> None:
        self.webhooks: dict[int, dict[str, Any]] = {}
        self.status = status
        self.calls = 0

    def client(self, url: str = LOCAL) -> httpx.Client:
        return httpx.Client(base_url=url, transport=httpx.MockTransport(self._answer))

    def call(self, suffix: str = "") -> int:
        """Call all webhooks, as after an annotation; return the last answer."""
        codes = [
            httpx.post(hook["url"] + suffix, json={"action": "X"}, trust_env=False).status_code
            for hook in self.webhooks.values()
        ]
        return codes[-1]

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if request.method == "GET":
            return httpx.Response(200, json=list(self.webhooks.values()))
        if request.method == "DELETE":
            del self.webhooks[int(request.url.path.split("/")[3])]
            return httpx.Response(204)
        if self.status == 201:
            number = max(self.webhooks, default=0) + 1
            self.webhooks[number] = json.loads(request.content) | {"id": number}
            return httpx.Response(201, json=self.webhooks[number])
        return httpx.Response(self.status, json={})


def test_a_call_is_a_hint_and_says_nothing_else() -> None:
    server = Server()
    with hints(server.client(), 3) as hint:
        (webhook,) = server.webhooks.values()
        assert webhook["url"].startswith("http://127.0.0.1:")
        assert (webhook["project"], webhook["send_payload"]) == (3, False)
        assert not webhook["send_for_all_actions"]
        assert not hint.is_set()
        assert server.call() == 204
        assert hint.wait(5)
    assert server.webhooks == {}


def test_a_call_from_elsewhere_is_none() -> None:
    server = Server()
    with hints(server.client(), 3) as hint:
        assert server.call("x") == 404
        assert not hint.is_set()


def test_it_is_gone_even_if_the_watch_ends_badly() -> None:
    server, urls = Server(), []

    def interrupted() -> None:
        with hints(server.client(), 3):
            urls.extend(hook["url"] for hook in server.webhooks.values())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert server.webhooks == {}
    with pytest.raises(httpx.ConnectError):
        httpx.post(urls[0], trust_env=False)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_a_server_that_does_not_want_to_is_no_error(status: int) -> None:
    with hints(Server(status).client(), 3) as hint:
        assert not hint.wait(0.01)


def failing(_: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("down")


def gibberish(_: httpx.Request) -> httpx.Response:
    return httpx.Response(200, text="<html>")


@pytest.mark.parametrize("answer", [failing, gibberish])
def test_a_server_that_is_down_or_no_label_studio_is_no_error(
    answer: Callable[[httpx.Request], httpx.Response],
) -> None:
    client = httpx.Client(base_url=LOCAL, transport=httpx.MockTransport(answer))
    with hints(client, 3) as hint:
        assert not hint.is_set()


def test_a_server_on_another_machine_is_not_asked() -> None:
    server = Server()
    with hints(server.client("https://labels.example.org"), 3) as hint:
        assert not hint.is_set()
    assert server.calls == 0


def test_what_a_killed_watch_left_behind_is_tidied_up_and_nothing_else() -> None:
    server = Server()
    dead = {"url": "http://127.0.0.1:9/secret", "headers": OURS}
    somebodys = {"url": "http://127.0.0.1:9/other", "headers": {}}
    server.webhooks = {11: dead | {"id": 11}, 12: somebodys | {"id": 12}}
    with hints(server.client(), 3):
        assert 11 not in server.webhooks
        with hints(server.client(), 3):
            assert sum(hook["headers"] == OURS for hook in server.webhooks.values()) == 2
    assert set(server.webhooks) == {12}
