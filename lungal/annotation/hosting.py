"""How the browser gets to see a film: a folder that the local server shares, or an upload."""

import hashlib
import shutil
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import httpx

from lungal.data.files import whole_file
from lungal.errors import ServerError

UPLOADS_AT_ONCE = 20


class Hosting(Protocol):
    """A way to put films where the server can show them to its users, and to nobody else."""

    def publish(
        self, http: httpx.Client, project_id: int, films: Mapping[str, Path]
    ) -> dict[str, str]:
        """Publish films, each once however often it is asked for; return image_id to URL.

        Args:
            http: talks to the server, with its address and our token.
            project_id: whose members may see the films.
            films: image_id to the stored film.
        """
        ...


class LocalFiles:
    """Copies films below the local server's document root.

    The server serves a file only below a folder that is registered with a project, and such a
    folder must lie strictly below the document root.
    """

    def __init__(self, document_root: Path) -> None:
        self._root = document_root.resolve()
        self._folder = self._root / "queue"

    def publish(
        self, http: httpx.Client, project_id: int, films: Mapping[str, Path]
    ) -> dict[str, str]:
        """Copy films that are not there yet; see Hosting."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._register(http, project_id)
        urls = {}
        for image_id, film in films.items():
            copy = self._folder / hosted_name(image_id, film)
            if not copy.exists():
                with whole_file(copy) as temporary:
                    shutil.copyfile(film, temporary)
            urls[image_id] = f"/data/local-files/?d={quote(str(copy.relative_to(self._root)))}"
        return urls

    def _register(self, http: httpx.Client, project_id: int) -> None:
        found = _json(http.get("/api/storages/localfiles", params={"project": project_id}))
        if any(storage["path"] == str(self._folder) for storage in found):
            return
        storage = {"project": project_id, "path": str(self._folder), "title": "queued films"}
        _json(http.post("/api/storages/localfiles", json=storage | {"use_blob_urls": True}))


class Uploads:
    """Sends films to the server, which keeps them: for a server on another machine."""

    def publish(
        self, http: httpx.Client, project_id: int, films: Mapping[str, Path]
    ) -> dict[str, str]:
        """Upload films that are not there yet; see Hosting."""
        names = {image_id: hosted_name(image_id, film) for image_id, film in films.items()}
        there = self._uploaded(http, project_id)
        missing = [image_id for image_id in films if names[image_id] not in there]
        for batch in batches(missing, UPLOADS_AT_ONCE):
            # A field of its own for each: of several files in one field the server keeps the last.
            files = {names[film]: (names[film], films[film].read_bytes()) for film in batch}
            # Not committed to the project: the files are kept, but no tasks are made of them.
            _json(
                http.post(
                    f"/api/projects/{project_id}/import",
                    params={"commit_to_project": "false"},
                    files=files,
                )
            )
        if missing:
            there = self._uploaded(http, project_id)
        if lost := [name for name in names.values() if name not in there]:
            raise ServerError(f"the server did not keep the film {lost[0]}; run this again")
        return {image_id: f"/data/{there[name]}" for image_id, name in names.items()}

    @staticmethod
    def _uploaded(http: httpx.Client, project_id: int) -> dict[str, str]:
        path = f"/api/projects/{project_id}/file-uploads"
        found = _json(http.get(path, params={"all": "true"}))
        # The server puts eight random digits and a hyphen before the name.
        return {Path(upload["file"]).name.partition("-")[2]: upload["file"] for upload in found}


def hosted_name(image_id: str, film: Path) -> str:
    """Name a film's published copy by its content: a film ingested anew is another copy.

    What a reader has in front of them never changes under their hands.
    """
    digest = hashlib.sha256(film.read_bytes()).hexdigest()[:12]
    return f"{image_id}.{digest}{film.suffix.lower()}"


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def _json(response: httpx.Response) -> Any:
    response.raise_for_status()
    try:
        return response.json()
    except ValueError:
        raise ServerError(f"{response.url} does not answer as Label Studio does") from None
