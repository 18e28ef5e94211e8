"""Where a run comes from: the commit, and DVC's hashes of the data it read."""

import hashlib
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from lungal.data.digests import sha256_of


def git_tags(root: Path) -> dict[str, str]:
    """Return MLflow's git tags of the commit that is checked out; {} outside of a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    branch = _git(root, "rev-parse", "--abbrev-ref", "HEAD") or "HEAD"
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": branch,
        "lungal.git.dirty": str(bool(changed)).lower(),
    }


def dvc_hashes(lock: Path) -> dict[str, str]:
    """Return the md5 of every path that dvc.lock knows, by path; {} before the first repro.

    Where a path is one stage's output and others' dependency, the output speaks: it is newer. Of
    the dependents of a path that no stage makes the first speaks: the others may yet have to run.
    """
    if not lock.exists():
        return {}
    document = yaml.safe_load(lock.read_text(encoding="utf-8")) or {}
    stages = list(document.get("stages", {}).values())
    return {
        item["path"]: item["md5"]
        for kind in ("deps", "outs")
        for stage in reversed(stages)
        for item in stage.get(kind, [])
        if "md5" in item
    }


def content_hash(path: Path) -> str:
    """Return the SHA-256 of a file, or of the names and contents of all files in a folder."""
    if path.is_file():
        return sha256_of(path)
    digest = hashlib.sha256()
    for file_path in sorted(inner for inner in path.rglob("*") if inner.is_file()):
        digest.update(f"{file_path.relative_to(path).as_posix()}\0".encode())
        digest.update(bytes.fromhex(content_hash(file_path)))
    return digest.hexdigest()


def dvc_tags(hashes: Mapping[str, str], paths: Iterable[Path]) -> dict[str, str]:
    """Return the tags `dvc.<path>` for those of the paths that have a hash."""
    names = [path.as_posix() for path in paths]
    return {f"dvc.{name}": hashes[name] for name in names if name in hashes}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  fixed words only
            ["git", *arguments],  # noqa: S607  whichever git the person uses
            cwd=root,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()
