"""The local server's folder, credentials and process file, without starting one."""

import base64
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar, get_args

import httpx
import numpy as np
import PIL.Image
import PIL.PngImagePlugin
import psutil
import pytest

from lungal.annotation.accounts import invitation
from lungal.annotation.bucket import parse_address
from lungal.annotation.connection import TokenAuth, open_http, talking_to, token_kind
from lungal.annotation.hosting import Picture, View
from lungal.annotation.server import LocalServer, _birth, _Process
from lungal.data.images import decode, encode_png, read_pixels
from lungal.errors import ParamsError, ServerError, TokenError
from lungal.testing import make_film


class ApiError(Exception):
    """Has the shape of the SDK's."""

    def __init__(self, status_code: int, body: object) -> None:
        self.status_code, self.body = status_code, body
        super().__init__("headers: {'set-cookie': 'sessionid=secret'}")


@pytest.fixture
def server(tmp_path: Path) -> LocalServer:
    """Return a server whose program is there but is no Label Studio."""
    environment = tmp_path / "environment"
    program = environment / ".venv" / "bin" / "label-studio"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    return LocalServer(tmp_path, environment, {"PATH": os.environ["PATH"]})


class TestCredentials:
    def test_they_are_drawn_once_and_only_the_owner_can_read_them(self, tmp_path: Path) -> None:
        server = LocalServer(tmp_path, variables={})
        server.folder.mkdir()
        drawn = server.credentials()
        assert server.credentials() == drawn
        assert len(drawn.token) == 40
        written = server.folder / "credentials.json"
        assert written.stat().st_mode & 0o777 == 0o600
        assert drawn.token in written.read_text()
        assert drawn.token not in repr(drawn)
        assert drawn.password not in repr(drawn)

    def test_the_environment_comes_first(self, tmp_path: Path) -> None:
        (tmp_path / ".label-studio").mkdir()
        drawn = LocalServer(tmp_path, variables={}).credentials()
        told = LocalServer(tmp_path, variables={"LABEL_STUDIO_API_KEY": "abc"}).credentials()
        assert (told.token, told.password) == ("abc", drawn.password)

    def test_a_damaged_file_is_named(self, tmp_path: Path) -> None:
        (tmp_path / ".label-studio").mkdir()
        (tmp_path / ".label-studio" / "credentials.json").write_text("{")
        with pytest.raises(ServerError, match=r"credentials\.json is damaged"):
            LocalServer(tmp_path, variables={}).credentials()


class TestProcess:
    def test_a_stranger_with_an_old_pid_is_not_our_server(self, tmp_path: Path) -> None:
        server = LocalServer(tmp_path)
        server.folder.mkdir()
        state = {"pid": os.getpid(), "born": "another boot:7", "port": 8080}
        (server.folder / "server.json").write_text(json.dumps(state))
        assert server.status() is None
        assert server.stop() is False  # and this test is still alive

    def test_a_clock_that_jumps_makes_no_stranger_of_a_process(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mine = _Process(os.getpid(), _birth(os.getpid()), 8080)
        monkeypatch.setattr(psutil, "boot_time", lambda: 0.0)
        monkeypatch.setattr(psutil.Process, "create_time", lambda _self: 0.0)
        assert mine.find() is not None
        assert replace(mine, born=_birth(1)).find() is None

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}'])
    def test_a_damaged_process_file_is_no_server(self, tmp_path: Path, text: str) -> None:
        server = LocalServer(tmp_path)
        server.folder.mkdir()
        (server.folder / "server.json").write_text(text)
        assert server.status() is None

    def test_a_taken_port_is_refused_not_evaded(self, server: LocalServer) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(ServerError, match=f"port {port} .* taken"):
                server.start(port)
        assert server.status() is None

    def test_a_silent_server_is_taken_down(self, server: LocalServer) -> None:
        told: list[str] = []
        with pytest.raises(ServerError, match=r"no answer within 1 s; see .*server\.log"):
            server.start(0, timeout=1, on_wait=lambda what, _: told.append(what))
        assert set(told) == {"starting Label Studio"}
        assert server.status() is None

    def test_a_server_that_dies_is_noticed(self, server: LocalServer) -> None:
        server.program.write_text("#!/bin/sh\nexit 1\n")
        with pytest.raises(ServerError, match="ended while starting"):
            server.start(0, timeout=20)

    def test_without_a_checkout_it_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(ServerError, match="--url"):
            LocalServer(tmp_path).start(0)

    def test_without_uv_it_says_what_to_install(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "uv.lock").touch()
        monkeypatch.setenv("PATH", "")
        with pytest.raises(ServerError, match="install"):
            LocalServer(tmp_path, tmp_path, {}).start(0)


class Recorder(BaseHTTPRequestHandler):
    """Answers everything, and remembers who asked for what."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the address of a proxy that the environment names."""
    monkeypatch.setattr(Recorder, "asked", [])
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with ThreadingHTTPServer(("127.0.0.1", 0), Recorder) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("HTTP_PROXY", address)
        yield address
        server.shutdown()


class TestProxies:
    def test_the_local_servers_token_passes_through_none(self, proxy: str) -> None:
        with open_http(proxy, "x" * 40) as http:  # it is a server like any other, asked directly
            assert http.get("/api/version").is_success
        assert Recorder.asked == ["/api/version"], "a proxy is asked for whole addresses"

    def test_other_servers_are_asked_as_the_environment_says(self, proxy: str) -> None:
        assert proxy
        with open_http("http://labels.example.org", "x" * 40) as http:
            assert http.get("/api/version").is_success
        assert Recorder.asked == ["http://labels.example.org/api/version"]


class TestInvitation:
    def test_a_page_is_no_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        page = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
        client = httpx.Client(base_url="http://ls", transport=page)
        monkeypatch.setattr("lungal.annotation.accounts.open_http", lambda *_: client)
        with pytest.raises(ServerError, match="does not answer as Label Studio does"):
            invitation("http://ls", "token")


class TestFailures:
    @pytest.mark.parametrize(
        ("failure", "error", "text"),
        [
            (httpx.ConnectError("refused"), ServerError, "does not answer"),
            (httpx.ReadTimeout("slow"), ServerError, "ReadTimeout"),
            (ApiError(401, {"detail": "no"}), TokenError, "LABEL_STUDIO_API_KEY"),
            (ApiError(400, {"validation_errors": {"title": ["long"]}}), ServerError, "long"),
            (ApiError(502, "<html>"), ServerError, "is it Label Studio"),
        ],
    )
    def test_each_is_one_line_without_secrets(
        self, failure: Exception, error: type[Exception], text: str
    ) -> None:
        with pytest.raises(error, match=text) as raised, talking_to("http://ls", ApiError):
            raise failure
        assert "http://ls" in str(raised.value)
        assert "\n" not in str(raised.value)
        assert "secret" not in str(raised.value)

    def test_our_own_errors_pass_through(self) -> None:
        with pytest.raises(KeyError), talking_to("http://ls", ApiError):
            raise KeyError("bug")


def test_a_personal_token_is_exchanged_again_when_it_has_run_out() -> None:
    exchanged, seen = 0, []

    def serve(request: httpx.Request) -> httpx.Response:
        nonlocal exchanged
        if request.url.path == "/api/token/refresh/":
            exchanged += 1
            return httpx.Response(200, json={"access": f"access{exchanged}"})
        seen.append(request.headers["authorization"])
        return httpx.Response(401 if seen == ["Bearer access1"] else 200)

    transport = httpx.MockTransport(serve)
    with httpx.Client(transport=transport, auth=TokenAuth("a.b.c"), base_url="http://ls") as http:
        assert http.get("/x").status_code == 200
        assert http.get("/x").status_code == 200
    assert seen == ["Bearer access1", "Bearer access2", "Bearer access2"]


def test_a_token_is_exchanged_where_the_server_lies_and_nowhere_else() -> None:
    asked = []

    def serve(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        refresh = request.url.path.endswith("/refresh/")
        return httpx.Response(200, json={"access": "x"} if refresh else {})

    auth = TokenAuth("a.b.c", httpx.URL("http://ls/annotate/").path)
    with httpx.Client(
        transport=httpx.MockTransport(serve), auth=auth, base_url="http://ls/annotate/"
    ) as http:
        assert http.get("/api/tasks").status_code == 200
    assert asked == ["/annotate/api/token/refresh/", "/annotate/api/tasks"]


@pytest.mark.parametrize("reply", [{"text": "<html>"}, {"json": {}}, {"json": []}])
def test_what_gives_no_token_is_one_clear_line(reply: dict[str, object]) -> None:
    def serve(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, **reply)  # type: ignore[arg-type]

    transport = httpx.MockTransport(serve)
    with (
        httpx.Client(transport=transport, auth=TokenAuth("a.b.c"), base_url="http://ls") as http,
        pytest.raises(ServerError, match="http://ls/api/token/refresh/ gives no access token"),
    ):
        http.get("/x")


def jwt(claims: object) -> str:
    payload = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"eyJhbGciOiJIUzI1NiJ9.{payload}.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("token", "kind"),
    [
        ("0123456789abcdef0123456789abcdef01234567", "legacy"),
        (jwt({"token_type": "refresh", "user_id": 1}), "personal access"),
        (jwt({"token_type": "access", "user_id": 1}), "short-lived"),
        (jwt({"user_id": 1}), "unknown"),
        (jwt(["refresh"]), "unknown"),
        ("a.b.c", "unknown"),
        ("not a token", "unknown"),
        ("0123456789ABCDEF", "unknown"),
        ("", "unknown"),
    ],
)
def test_tokens_are_told_apart_by_their_looks(token: str, kind: str) -> None:
    assert token_kind(token) == kind


class TestStorage:
    @pytest.mark.parametrize(
        ("told", "endpoint"),
        [
            ({}, None),
            ({"AWS_ENDPOINT_URL": "http://a"}, "http://a"),
            ({"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b"),
            ({"AWS_ENDPOINT_URL": "http://a", "S3_ENDPOINT": "http://c"}, "http://c"),
        ],
    )
    def test_the_server_starts_with_the_storage_that_we_use(
        self, server: LocalServer, told: dict[str, str], endpoint: str | None
    ) -> None:
        seen = server.folder.parent / "seen"
        server.program.write_text(f"#!/bin/sh\nenv > {seen}\nexit 1\n")
        server.variables = {**server.variables, **told}
        with pytest.raises(ServerError):
            server.start(0, timeout=20)
        there = dict(line.partition("=")[::2] for line in seen.read_text().splitlines())
        assert there.get("S3_ENDPOINT") == endpoint

    def test_an_address_is_a_bucket_and_a_prefix(self) -> None:
        assert parse_address("s3://films/a/b/") == ("films", "a/b")
        assert parse_address("s3://films") == ("films", "")

    @pytest.mark.parametrize("address", ["films/a", "http://films/a", "s3:///a", "s3://f?x=1", ""])
    def test_what_is_no_bucket_is_refused(self, address: str) -> None:
        with pytest.raises(ParamsError, match="s3://bucket/prefix"):
            parse_address(address)


class TestPictures:
    def test_a_film_ingested_anew_is_another_copy(self, tmp_path: Path) -> None:
        film = tmp_path / "a.PNG"
        film.write_bytes(b"one")
        picture = Picture("film-1", film)
        first = picture.hosted_name
        film.write_bytes(b"two")
        assert first.startswith("film-1.image.")
        assert first.endswith(".png")
        assert picture.hosted_name != first

    def test_a_view_has_the_films_size_and_another_name(self, tmp_path: Path) -> None:
        pixels = make_film("x", 96, 80).pixels
        film = tmp_path / "00000001_000.png"
        film.write_bytes(encode_png(pixels))
        for view, mean in (("image", pixels.mean()), ("inverted", 255 - pixels.mean())):
            picture = Picture("film-1", film, view)
            seen = decode(picture.encoded(), view)
            assert seen.shape == pixels.shape
            assert abs(seen.mean() - mean) < 2
        names = {Picture("film-1", film, view).hosted_name for view in get_args(View)}
        assert len(names) == 3
        assert not any("00000001" in name for name in names)

    @pytest.mark.parametrize("suffix", [".png", ".jpg"])
    def test_what_a_file_says_beside_its_pixels_stays_here(
        self, tmp_path: Path, suffix: str
    ) -> None:
        film = tmp_path / f"a{suffix}"
        scan = PIL.Image.fromarray(make_film("x", 96, 80).pixels)
        text, exif = PIL.PngImagePlugin.PngInfo(), PIL.Image.Exif()
        text.add_text("PatientName", "Doe^Jane")
        exif[0x010E], exif[0x0112] = "Doe^Jane", 6  # a description, and "turn me by 90 degrees"
        scan.save(film, **({"pnginfo": text} if suffix == ".png" else {"exif": exif}))
        assert b"Doe^Jane" in film.read_bytes()
        picture = Picture("film-1", film)
        assert b"Doe^Jane" not in picture.encoded()
        assert picture.hosted_name.endswith(".png")
        np.testing.assert_array_equal(decode(picture.encoded(), "it"), read_pixels(film))

    def test_clahe_raises_the_contrast_of_a_flat_film(self, tmp_path: Path) -> None:
        flat = (make_film("x").pixels // 16 + 100).astype(np.uint8)
        film = tmp_path / "flat.png"
        film.write_bytes(encode_png(flat))
        assert decode(Picture("f", film, "clahe").encoded(), "f").std() > 1.5 * flat.std()
