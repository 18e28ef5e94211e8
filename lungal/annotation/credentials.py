"""Who the local server's first user is: drawn once, kept where only the owner can read."""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from lungal.errors import ServerError

USERNAME = "reader@localhost.localdomain"
TOKEN_BYTES = 20  # Label Studio's legacy tokens are 40 hexadecimal digits
VARIABLES = {
    "username": "LABEL_STUDIO_USERNAME",
    "password": "LABEL_STUDIO_PASSWORD",
    "token": "LABEL_STUDIO_API_KEY",
}


@dataclass(frozen=True, slots=True)
class Credentials:
    """Of one Label Studio user."""

    username: str
    password: str = field(repr=False)
    token: str = field(repr=False)


def keep(path: Path, variables: Mapping[str, str]) -> Credentials:
    """Return the credentials that the local server was, or is about to be, laid out with.

    LABEL_STUDIO_USERNAME, _PASSWORD and _API_KEY come first, then the file. What neither has is
    drawn. The first call writes the file, mode 0600.

    Args:
        path: of the file.
        variables: the process environment.

    Raises:
        ServerError: if the file is damaged.
    """
    written = _read(path)
    drawn = Credentials(USERNAME, secrets.token_urlsafe(16), secrets.token_hex(TOKEN_BYTES))
    given = {ours: variables[name] for ours, name in VARIABLES.items() if variables.get(name)}
    effective = replace(written or drawn, **given)
    if written is None:
        write_private(path, json.dumps(asdict(effective), indent=1))
    return effective


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read, whole or not at all."""
    temporary = path.with_suffix(".new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)


def write_private_once(path: Path, text: str) -> str:
    """Write a file that only its owner can read, unless it is there; return what it holds then.

    Of two processes that do this at once both return the text of the quicker.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(temporary, path)
    finally:
        temporary.unlink()
    return path.read_text(encoding="utf-8")


def _read(path: Path) -> Credentials | None:
    try:
        return Credentials(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        raise ServerError(f"{path} is damaged; mend or delete it") from None
