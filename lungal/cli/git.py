"""What the commands ask of git."""

import subprocess
from pathlib import Path

from lungal.errors import SourceError


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return what it printed, stripped.

    Raises:
        SourceError: if it fails, with the last line of what git says.
    """
    done = _run(folder, *arguments)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["failed without a word"]
        raise SourceError(f"git {arguments[0]}: {said[-1]}")
    return done.stdout.strip()


def ask_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder; return what it printed, and nothing if it fails."""
    done = _run(folder, *arguments)
    return "" if done.returncode else done.stdout


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603
        ["git", *arguments],  # noqa: S607
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
    )
