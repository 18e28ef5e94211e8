"""A Label Studio of this project's own: one process on 127.0.0.1, SQLite, no word to the outside.

Its packages cannot share an environment with TensorFlow, so it has one in servers/label-studio.
All it keeps lies in `.label-studio`, out of git: the database, the films it serves, its log, and
the credentials that were drawn when it first started.
"""

import fcntl
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from lungal.annotation.credentials import Credentials, keep, write_private
from lungal.errors import ServerError

OnWait = Callable[[str, float], None]
"""Called while something takes long, with what it is and the seconds so far."""

HOST = "127.0.0.1"
PRIVATE_NETWORKS = (
    *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12"),
    *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
    *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "233.252.0.0/24", "240.0.0.0/4"),
    *("::/128", "fc00::/7", "fe80::/10", "ff00::/8"),
)
"""Where the server may not send webhooks, nor ask for predictions: its own list, less 127.0.0.0/8
and ::1."""
LOCK_SECONDS = 3600
"""How long a film that a reader has opened and left is kept from the others; the server's own
default is a day, in which the last film in front of everybody who went home is nobody's."""
DEFAULT_PORT = 8080
SYNC = ("sync", "--project", "servers/label-studio", "--locked")


@dataclass(frozen=True, slots=True)
class Status:
    """What the local server is doing."""

    url: str
    pid: int
    healthy: bool


@dataclass(frozen=True, slots=True)
class _Process:
    """A pid alone may belong to a stranger after a reboot; with its start time it does not."""

    pid: int
    created: float
    port: int

    def find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 0.01
            alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same and alive else None


class LocalServer:
    """The server of the project at `root`: start, stop, look.

    Args:
        root: of the project; the server keeps everything in `root/.label-studio`.
        environment: folder with the server's pyproject.toml, uv.lock and .venv.
        variables: the process environment; credentials may come from it.
    """

    def __init__(
        self,
        root: Path,
        environment: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = root.resolve() / ".label-studio"
        self.environment = environment or root.resolve() / "servers" / "label-studio"
        self.document_root = self.folder / "files"
        self.log = self.folder / "server.log"
        self.variables = os.environ if variables is None else variables
        self._state = self.folder / "server.json"

    @property
    def program(self) -> Path:
        """The server's executable, there or not."""
        return self.environment / ".venv" / "bin" / "label-studio"

    def start(
        self, port: int = DEFAULT_PORT, *, timeout: float = 240, on_wait: OnWait | None = None
    ) -> Status:
        """Start the server, or leave it as it is if it runs already, on whatever port.

        Its environment is installed if it is missing. The first start takes most of a minute
        (the database is laid out), later ones some ten seconds.

        Args:
            port: on 127.0.0.1; 0 takes a free one.
            timeout: seconds until a server that does not answer is taken down again.
            on_wait: told what is being waited for.

        Raises:
            ServerError: if the port is taken, the environment cannot be installed, or the server
                dies or stays silent.
        """
        told = on_wait or (lambda _what, _seconds: None)
        self._make_folders()
        with self._alone():
            process = self._running()
            if process is None:
                if not self.program.exists():
                    self._install(told)
                process = self._spawn(_free_port(port))
            self._wait(process, timeout, told)
        return Status(_url(process.port), process.pid, healthy=True)

    def stop(self, *, timeout: float = 15) -> bool:
        """End the server and all its children; return whether there was one."""
        process = self._running()
        if process is None:
            self._state.unlink(missing_ok=True)
            return False
        self._end(process, timeout)
        return True

    def status(self) -> Status | None:
        """Return what the server is doing, or None if it does not run."""
        process = self._running()
        if process is None:
            return None
        return Status(_url(process.port), process.pid, _healthy(process.port))

    def credentials(self) -> Credentials:
        """Return the credentials of the server's first user; see credentials.keep.

        Raises:
            ServerError: if they were written down and are damaged.
        """
        return keep(self.folder / "credentials.json", self.variables)

    def _make_folders(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self.folder / "data").mkdir(exist_ok=True)
        self.document_root.mkdir(exist_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _install(self, told: OnWait) -> None:
        if not (self.environment / "uv.lock").exists():
            raise ServerError(
                f"{self.environment} is missing: the local server needs a checkout of lungal; "
                "or give the address of another Label Studio with --url"
            )
        told("installing Label Studio", 0.0)
        command = [*_uv(), "sync", "--project", str(self.environment), "--locked"]
        done = subprocess.run(  # noqa: S603  our own command
            command, capture_output=True, text=True, check=False, env=_without_venv(self.variables)
        )
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ServerError(f"cannot install Label Studio: `uv {' '.join(SYNC)}` says: {last}")

    def _spawn(self, port: int) -> _Process:
        command = [str(self.program), "start", "--no-browser"]
        command += ["--internal-host", HOST, "--port", str(port)]
        with self.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603  our own command
                command,
                cwd=self.folder,
                env={**_without_venv(self.variables), **self._switches(port)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # it outlives us; without this Python warns that nobody waited for it
        process = _Process(child.pid, psutil.Process(child.pid).create_time(), port)
        write_private(self._state, json.dumps(asdict(process)))
        return process

    def _switches(self, port: int) -> dict[str, str]:
        who = self.credentials()
        return {
            "HOST": _url(port),
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder / "data"),
            "LABEL_STUDIO_USERNAME": who.username,
            "LABEL_STUDIO_PASSWORD": who.password,
            "LABEL_STUDIO_USER_TOKEN": who.token,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
            "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
            "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(self.document_root),
            **self._storage(),
            # It may call this machine, where predictions are served and pulls listen, and nothing
            # else that is private.
            "USE_DEFAULT_BANNED_SUBNETS": "false",
            "USER_ADDITIONAL_BANNED_SUBNETS": ",".join(PRIVATE_NETWORKS),
            "TASK_LOCK_TTL": str(LOCK_SECONDS),
            "COLLECT_ANALYTICS": "false",
            "LATEST_VERSION_CHECK": "false",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
        }

    def _storage(self) -> dict[str, str]:
        # An address of storage that comes with a project would be refused if it is a private one;
        # what the server itself is started with is trusted.
        told = self.variables
        endpoint = told.get("AWS_ENDPOINT_URL_S3") or told.get("AWS_ENDPOINT_URL")
        return {"S3_ENDPOINT": endpoint} if endpoint and "S3_ENDPOINT" not in told else {}

    def _wait(self, process: _Process, timeout: float, told: OnWait) -> None:
        try:
            for waited in _seconds():
                if _healthy(process.port):
                    return
                self._give_up_if(process, waited, timeout)
                told("starting Label Studio", waited)
        except BaseException:
            self._end(process, timeout=5)
            raise

    def _give_up_if(self, process: _Process, waited: float, timeout: float) -> None:
        if process.find() is None:
            raise ServerError(f"Label Studio ended while starting; see {self.log}")
        if waited > timeout:
            raise ServerError(f"Label Studio gave no answer within {timeout:.0f} s; see {self.log}")

    def _running(self) -> _Process | None:
        try:
            process = _Process(**json.loads(self._state.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError, TypeError):
            return None
        return process if process.find() else None

    def _end(self, process: _Process, timeout: float) -> None:
        parent = process.find()
        if parent is not None:
            family = [*parent.children(recursive=True), parent]
            for member in family:
                _signal(member.terminate)
            for member in psutil.wait_procs(family, timeout=timeout)[1]:
                _signal(member.kill)
        self._state.unlink(missing_ok=True)


def _seconds() -> Iterator[float]:
    began = time.monotonic()
    while True:
        yield time.monotonic() - began
        time.sleep(0.25)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"{_url(port)}/health", timeout=5, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _free_port(port: int) -> int:
    # Label Studio itself would silently take the next one.
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise ServerError(
                f"port {port} of {HOST} is taken; choose another with --port, or 0 for a free one"
            ) from None
        return int(probe.getsockname()[1])


def _uv() -> list[str]:
    if path := shutil.which("uv"):
        return [path]
    module = [sys.executable, "-m", "uv"]
    found = subprocess.run([*module, "--version"], capture_output=True, check=False)  # noqa: S603
    if found.returncode == 0:
        return module
    raise ServerError(
        f"Label Studio is not installed and uv is not found; install uv, then: uv {' '.join(SYNC)}"
    )


def _without_venv(variables: Mapping[str, str]) -> dict[str, str]:
    # Ours would be mistaken for the server's.
    return {k: v for k, v in variables.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
