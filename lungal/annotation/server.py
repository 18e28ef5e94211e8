"""A Label Studio of this project's own: one process on 127.0.0.1, SQLite, no word to the outside.

Its packages cannot share an environment with TensorFlow, so it has one in servers/label-studio.
All it keeps lies in `.label-studio`, out of git: the database, the films it serves, its log, and
the credentials that were drawn when it first started.
"""

import json
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import psutil

from lungal.annotation.credentials import Credentials, keep, write_private
from lungal.annotation.server_environment import install, switches, without_venv
from lungal.data.files import alone
from lungal.errors import ServerError

OnWait = Callable[[str, float], None]
"""Called while something takes long, with what it is and the seconds so far."""

HOST = "127.0.0.1"
DEFAULT_PORT = 8080


@dataclass(frozen=True, slots=True)
class Status:
    """What the local server is doing."""

    url: str
    pid: int
    healthy: bool


@dataclass(frozen=True, slots=True)
class _Process:
    """A pid alone may belong to a stranger after a reboot; with its start it does not."""

    pid: int
    born: str
    port: int

    def find(self) -> psutil.Process | None:
        try:
            process = psutil.Process(self.pid)
            alive = process.status() != psutil.STATUS_ZOMBIE and _birth(self.pid) == self.born
        except (psutil.NoSuchProcess, OSError):
            return None
        return process if alive else None


def _birth(pid: int) -> str:
    # The moment by the clock would do, did the clock never jump: a machine that was asleep sets it.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return f"{boot}:{fields[19]}"  # ticks since the boot: proc(5), starttime


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
        with alone(self.folder / "lock"):
            process = self._running()
            if process is None:
                if not self.program.exists():
                    told("installing Label Studio", 0.0)
                    install(self.environment, self.variables)
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

    def _spawn(self, port: int) -> _Process:
        command = [str(self.program), "start", "--no-browser"]
        command += ["--internal-host", HOST, "--port", str(port)]
        with self.log.open("ab") as log:
            child = subprocess.Popen(  # noqa: S603  our own command
                command,
                cwd=self.folder,
                env=self._variables(port),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child.returncode = 0  # it outlives us; without this Python warns that nobody waited for it
        process = _Process(child.pid, _birth(child.pid), port)
        write_private(self._state, json.dumps(asdict(process)))
        return process

    def _variables(self, port: int) -> dict[str, str]:
        given = switches(
            self.credentials(), _url(port), self.folder / "data", self.document_root, self.variables
        )
        return without_venv(self.variables) | given

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


def _signal(send: Callable[[], None]) -> None:
    try:
        send()
    except psutil.NoSuchProcess:
        return
