"""Whole files or none: what a killed process leaves behind is never taken for a result."""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lungal.errors import StageOrderError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; rename it to `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder; put it in the place of `path` if the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            shutil.rmtree(path)
        temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def require(path: Path, made_by: str) -> Path:
    """Return path if it is there.

    Raises:
        StageOrderError: naming the stage that makes it.
    """
    if not path.exists():
        raise StageOrderError(f"{path} is missing; the stage `{made_by}` makes it: dvc repro")
    return path


@contextmanager
def stage_output(path: Path, made_by: str, *errors: type[Exception]) -> Iterator[Path]:
    """Yield the path of what a stage made, to be read.

    Args:
        path: of the file or folder.
        made_by: the stage.
        errors: that mean, if they leave the block, that the file is damaged.

    Raises:
        StageOrderError: naming the stage, if the path is missing or damaged.
    """
    try:
        yield require(path, made_by)
    except errors as error:
        raise damaged(path, made_by, error) from None


def damaged(path: Path, made_by: str, why: object) -> StageOrderError:
    """Return the error that names the stage that makes a damaged output anew."""
    reason = " ".join(str(why).split())  # one line, whatever the reader's own words
    return StageOrderError(
        f"{path} is damaged ({reason}); the stage `{made_by}` makes it: dvc repro -f {made_by}"
    )


def write_json(path: Path, document: Mapping[str, Any], *, indent: int = 2) -> None:
    """Write a JSON file that a person can read, whole or not at all."""
    with whole_file(path) as temporary:
        text = json.dumps(document, indent=indent, allow_nan=False)
        temporary.write_text(text + "\n", encoding="utf-8")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait until nobody else on this machine, process or thread, is in such a block, then enter.

    Args:
        path: of the lock, an empty file that is made if it is missing, and stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
