"""What the local Label Studio runs in: its packages, and the switches that it is started with."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lungal.annotation.credentials import Credentials
from lungal.errors import ServerError

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
SYNC = ("sync", "--project", "servers/label-studio", "--locked")


def install(environment: Path, variables: Mapping[str, str]) -> None:
    """Install the server's packages from its lock file.

    Args:
        environment: folder with the server's pyproject.toml and uv.lock; gets .venv.
        variables: of this process.

    Raises:
        ServerError: if the folder or uv is missing, or uv fails.
    """
    if not (environment / "uv.lock").exists():
        raise ServerError(
            f"{environment} is missing: the local server needs a checkout of lungal; "
            "or give the address of another Label Studio with --url"
        )
    command = [*_uv(), "sync", "--project", str(environment), "--locked"]
    done = subprocess.run(  # noqa: S603  our own command
        command, capture_output=True, text=True, check=False, env=without_venv(variables)
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ServerError(f"cannot install Label Studio: `uv {' '.join(SYNC)}` says: {last}")


def switches(
    who: Credentials, url: str, data: Path, films: Path, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return the environment variables that make the server ours.

    Args:
        who: its first user.
        url: where it answers.
        data: folder of its database.
        films: the folder that it serves films from, and nothing above it.
        variables: of this process; an address of S3-compatible storage is passed on.
    """
    return {
        "HOST": url,
        "LABEL_STUDIO_BASE_DATA_DIR": str(data),
        "LABEL_STUDIO_USERNAME": who.username,
        "LABEL_STUDIO_PASSWORD": who.password,
        "LABEL_STUDIO_USER_TOKEN": who.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(films),
        **_storage(variables),
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


def without_venv(variables: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables less this process's own, which the server would take as its."""
    return {k: v for k, v in variables.items() if k not in {"VIRTUAL_ENV", "PYTHONPATH"}}


def _storage(variables: Mapping[str, str]) -> dict[str, str]:
    # An address of storage that comes with a project would be refused if it is a private one;
    # what the server itself is started with is trusted.
    endpoint = variables.get("AWS_ENDPOINT_URL_S3") or variables.get("AWS_ENDPOINT_URL")
    return {"S3_ENDPOINT": endpoint} if endpoint and "S3_ENDPOINT" not in variables else {}


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
