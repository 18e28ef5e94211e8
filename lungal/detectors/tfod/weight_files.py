"""Files of initial weights: brought once, checked, unpacked, and the checkpoint in them found."""

import hashlib
import os
import tarfile
import zlib
from pathlib import Path
from urllib.parse import urlparse

import httpx

from lungal.data.digests import sha256_of
from lungal.data.files import whole_file, whole_folder
from lungal.errors import DetectorError


def fetch(where: str, sha256: str | None, cache: Path | None = None) -> Path:
    """Return a local path for a path or URL, downloaded once and checked against its SHA-256.

    Raises:
        DetectorError: if it is not there, or not what the checksum says.
    """
    if _scheme(where) not in {"http", "https"}:
        path = Path(where).expanduser()
        if not (path.exists() or path.with_name(path.name + ".index").exists()):
            raise DetectorError(f"model.initial_weights: {path} does not exist")
        if sha256 and path.is_file():
            _check(path, sha256)
        return path
    cache = cache or Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "lungal"
    path = cache / hashlib.sha256(where.encode()).hexdigest()[:16] / Path(urlparse(where).path).name
    if not path.exists():
        _download(where, path, sha256)
    elif sha256:
        _check(path, sha256)
    return path


def _scheme(where: str) -> str:
    try:
        return urlparse(where).scheme
    except ValueError as error:
        raise DetectorError(f"model.initial_weights: {where!r}: {error}") from None


def files_of(path: Path) -> list[Path]:
    """Return the files of a folder, a checkpoint prefix or a single file, in order."""
    if path.is_dir():
        return sorted(file for file in path.rglob("*") if file.is_file())
    return [path] if path.is_file() else sorted(path.parent.glob(f"{path.name}.*"))


def unpack(path: Path) -> Path:
    """Return the folder that an archive was unpacked to, beside it; any other path as it is.

    Raises:
        DetectorError: if it is no archive.
    """
    if not path.name.endswith((".tar.gz", ".tgz")):
        return path
    content = sha256_of(path)[:16]  # another archive may come by this name
    folder = path.with_name(f"{path.name}.{content}.d")
    if not folder.exists():
        try:
            with whole_folder(folder) as part, tarfile.open(path) as archive:
                archive.extractall(part, filter="data")
        except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
            line = " ".join(str(error).split())
            raise DetectorError(
                f"model.initial_weights: {path} is no whole archive: {line}"
            ) from None
    return folder


def find_checkpoint(path: Path) -> str:
    """Return the prefix of the checkpoint at a path: of a folder the one of the highest number.

    Raises:
        DetectorError: if the folder holds none.
    """
    if not path.is_dir():
        return str(path.with_suffix("") if path.suffix == ".index" else path)
    indexes = sorted(path.rglob("ckpt-*.index"), key=lambda index: (_number(index), index))
    if not indexes:
        raise DetectorError(f"model.initial_weights: no ckpt-*.index under {path}")
    return str(indexes[-1].with_suffix(""))


def _number(index: Path) -> int:
    digits = index.stem.rpartition("-")[2]
    return int(digits) if digits.isdecimal() else -1


def _download(url: str, path: Path, sha256: str | None) -> None:
    try:
        with whole_file(path) as part, httpx.stream("GET", url, follow_redirects=True) as answer:
            answer.raise_for_status()
            with part.open("wb") as sink:
                for chunk in answer.iter_bytes():
                    sink.write(chunk)
            if sha256:
                _check(part, sha256, name=url)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        line = (str(error) or repr(error)).splitlines()[0]  # httpx adds where to read about it
        raise DetectorError(f"model.initial_weights: {url}: {line}") from None


def _check(path: Path, sha256: str, name: str | None = None) -> None:
    found = sha256_of(path)
    if found != sha256.lower():
        raise DetectorError(
            f"model.initial_weights: {name or path} has SHA-256 {found}, expected {sha256}"
        )
