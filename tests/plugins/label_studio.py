"""A real Label Studio server for tests, one per session.

Laying out its database takes most of a minute, so that is done once and kept, in LUNGAL_LS_CACHE or
pytest's cache. Each session works on a copy.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from lungal.annotation.hosting import LocalFiles
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.pseudonyms import load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.data.images import encode_png
from lungal.testing import make_film

ENVIRONMENT = Path(__file__).resolve().parents[2] / "servers" / "label-studio"
OURS = "LABEL_STUDIO_"


@pytest.fixture(scope="session")
def label_studio_home(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], LocalServer]:
    """Return a maker of servers that are laid out but not started, each in a folder of its own."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    if not LocalServer(Path(), ENVIRONMENT, variables).program.exists():
        reason = "Label Studio is not installed: uv sync --project servers/label-studio --locked"
        if os.environ.get("LUNGAL_REQUIRE_ALL") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    laid_out = _lay_out(_cache(pytestconfig), variables)

    def make() -> LocalServer:
        root = tmp_path_factory.mktemp("label-studio")
        shutil.copytree(laid_out / ".label-studio", root / ".label-studio")
        return LocalServer(root, ENVIRONMENT, variables)

    return make


@pytest.fixture(scope="session")
def label_studio_server(label_studio_home: Callable[[], LocalServer]) -> Iterator[LocalServer]:
    """Return a running server."""
    server = label_studio_home()
    server.start(0)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return image_id to a stored film of 96x96 pixels, for eight films."""
    folder = tmp_path_factory.mktemp("films")
    paths = {f"0000000{n}_000": folder / f"0000000{n}_000.png" for n in range(1, 9)}
    for image_id, path in paths.items():
        path.write_bytes(encode_png(make_film(image_id).pixels))
    return paths


@pytest.fixture
def store(label_studio_server: LocalServer, films: dict[str, Path]) -> Iterator[LabelStudio]:
    """Return a project that nobody has used, on the running server."""
    with closing(fresh_project(label_studio_server, films)) as project:
        yield project


def fresh_project(server: LocalServer, films: dict[str, Path]) -> LabelStudio:
    """Return a project with a title of its own on a running server."""
    status = server.status()
    assert status is not None
    hosting = LocalFiles(server.document_root)
    title = f"test {uuid.uuid4().hex[:12]}"
    return LabelStudio(
        status.url,
        server.credentials().token,
        title,
        films,
        hosting,
        pseudonyms=load_pseudonyms(server.folder, {}),
    )


def _cache(config: pytest.Config) -> Path:
    if folder := os.environ.get("LUNGAL_LS_CACHE"):
        return Path(folder)
    return Path(config.cache.mkdir("label-studio"))  # type: ignore[union-attr]


def _lay_out(cache: Path, variables: dict[str, str]) -> Path:
    version = hashlib.sha256((ENVIRONMENT / "uv.lock").read_bytes()).hexdigest()[:12]
    done = cache / version
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            half = cache / f"{version}.new"
            shutil.rmtree(half, ignore_errors=True)
            half.mkdir()
            server = LocalServer(half, ENVIRONMENT, variables)
            server.start(0, timeout=600)
            server.stop()
            half.rename(done)
    return done
