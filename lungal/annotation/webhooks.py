"""Label Studio tells us that somebody read something: a hint to look, never what there is to see.

The server calls a small listener of ours on 127.0.0.1. It may be set up to call no private address,
and it calls once only, whether or not anybody listens. So a call may fail to come, and whoever
waits for one must look without it now and then.
"""

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import httpx

HOST = "127.0.0.1"
ACTIONS = (
    "ANNOTATION_CREATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_DELETED",
)
OURS = {"X-Lungal": "watch"}  # by which a webhook is known that a killed watch left behind


@contextmanager
def hints(http: httpx.Client, project_id: int) -> Iterator[threading.Event]:
    """Yield an event that is set whenever the server says that a reading changed.

    A server on another machine could not reach us, so it is not asked. One that does not want to
    is no error: then the event is never set.

    Args:
        http: talks to the server, with its address and our token.
        project_id: whose readings matter.
    """
    hint = threading.Event()
    if http.base_url.host not in {HOST, "localhost"}:
        yield hint
        return
    path = f"/{secrets.token_urlsafe(16)}"  # nobody else's call is a hint
    with _listener(path, hint) as address:
        number = _register(http, project_id, address + path)
        try:
            yield hint
        finally:
            if number is not None:
                with suppress(httpx.HTTPError):
                    http.delete(f"/api/webhooks/{number}/")


@contextmanager
def _listener(path: str, hint: threading.Event) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            ours = secrets.compare_digest(self.path.encode(), path.encode())
            if ours:
                hint.set()
            self.send_response(httpx.codes.NO_CONTENT if ours else httpx.codes.NOT_FOUND)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base's name
            """Say nothing."""

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _register(http: httpx.Client, project_id: int, url: str) -> int | None:
    try:
        _tidy(http, project_id)
        reply = http.post(
            "/api/webhooks/",
            json={
                "project": project_id,
                "url": url,
                "send_payload": False,
                "send_for_all_actions": False,
                "actions": ACTIONS,
                "headers": OURS,
            },
        )
        return int(reply.json()["id"]) if reply.is_success else None
    except (httpx.HTTPError, json.JSONDecodeError, KeyError, TypeError):
        return None


def _tidy(http: httpx.Client, project_id: int) -> None:
    reply = http.get("/api/webhooks/", params={"project": str(project_id)})
    for webhook in reply.json() if reply.is_success else ():
        if webhook.get("headers") == OURS and not _listens(webhook["url"]):
            http.delete(f"/api/webhooks/{webhook['id']}/")


def _listens(url: str) -> bool:
    address = urlsplit(url)
    try:
        httpx.get(f"http://{address.hostname}:{address.port}/", timeout=1, trust_env=False)
    except httpx.HTTPError:
        return False
    return True
