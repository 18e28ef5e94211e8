"""How the browser gets to see a film: a folder that the local server shares, or an upload.

Films of a bucket are in lungal.annotation.bucket. All go by pseudonyms: an address says neither
which film nor whose it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, Protocol
from urllib.parse import quote

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.projects import oldest_project
from lungal.data.digests import sha256_of
from lungal.data.files import whole_file
from lungal.data.images import encode_jpeg, encode_png, equalise, read_pixels
from lungal.errors import ServerError

View = Literal["image", "clahe", "inverted"]

UPLOADS_AT_ONCE = 20
ONE_PICTURE = '<View><Image name="image" value="$image"/></View>'


@dataclass(frozen=True, slots=True)
class Picture:
    """A film as it is stored, or a view of it for people to look at.

    Args:
        name: the film's pseudonym.
        film: where it is stored.
        view: image: as it is | clahe: local contrast evened out | inverted: dense is dark.
    """

    name: str
    film: Path
    view: View = "image"

    @property
    def hosted_name(self) -> str:
        """The name of the published copy, which holds a hash of the film's content.

        A film that changes gets another copy, and a picture that is being read never changes.
        """
        stat = self.film.stat()
        digest = _digest(self.film, stat.st_mtime_ns, stat.st_size)[:12]
        suffix = ".png" if self.view == "image" else ".jpg"
        return f"{self.name}.{self.view}.{digest}{suffix}"

    def encoded(self) -> bytes:
        """Return the picture as PNG (image) or JPEG (the others).

        It is encoded anew and not copied: files hold text, too, which converters fill with what
        the DICOM said of the patient, and an EXIF orientation would turn the film for readers only.

        Raises:
            ImageError: if the film cannot be read.
        """
        pixels = read_pixels(self.film)
        if self.view == "image":
            return encode_png(pixels)
        return encode_jpeg(equalise(pixels) if self.view == "clahe" else 255 - pixels)


@lru_cache(maxsize=4096)
def _digest(film: Path, _changed: int, _size: int) -> str:
    # A film has three pictures; it is read once for their names.
    return sha256_of(film)


class Hosting(Protocol):
    """A way to put films where the server can show them to its users, and to nobody else."""

    def publish(
        self, http: httpx.Client, project_id: int, pictures: Sequence[Picture]
    ) -> dict[Picture, str]:
        """Publish pictures, each once however often it is asked for; return their addresses.

        Args:
            http: talks to the server, with its address and our token.
            project_id: whose members may see the films.
            pictures: of films that can be read.
        """
        ...


class LocalFiles:
    """Writes pictures below the local server's document root.

    The server serves a file only below a folder that is registered with a project, and such a
    folder must lie strictly below the document root.
    """

    def __init__(self, document_root: Path) -> None:
        self._root = document_root.resolve()
        self._folder = self._root / "queue"

    def publish(
        self, http: httpx.Client, project_id: int, pictures: Sequence[Picture]
    ) -> dict[Picture, str]:
        """Write pictures that are not there yet; see Hosting."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._register(http, project_id)
        return {picture: self._address(picture) for picture in pictures}

    def _address(self, picture: Picture) -> str:
        copy = self._folder / picture.hosted_name
        if not copy.exists():
            with whole_file(copy) as temporary:
                temporary.write_bytes(picture.encoded())
        return f"/data/local-files/?d={quote(str(copy.relative_to(self._root)))}"

    def _register(self, http: httpx.Client, project_id: int) -> None:
        found = answer_of(http.get("/api/storages/localfiles", params={"project": project_id}))
        if any(storage["path"] == str(self._folder) for storage in found):
            return
        storage = {"project": project_id, "path": str(self._folder), "title": "queued films"}
        answer_of(http.post("/api/storages/localfiles", json=storage | {"use_blob_urls": True}))


class Uploads:
    """Sends pictures to the server, which keeps them: for a server on another machine.

    They lie in a project of their own, without tasks: the server takes uploads only for projects
    whose layout shows a single picture.
    """

    def publish(
        self, http: httpx.Client, project_id: int, pictures: Sequence[Picture]
    ) -> dict[Picture, str]:
        """Upload pictures that are not there yet; see Hosting."""
        names = {picture: picture.hosted_name for picture in pictures}
        shelf = self._shelf(http, project_id)
        there = self._uploaded(http, shelf)
        missing = [picture for picture in pictures if names[picture] not in there]
        for batch in batches(dict.fromkeys(missing), UPLOADS_AT_ONCE):
            # A field of its own for each: of several files in one field the server keeps the last.
            files = {names[one]: (names[one], one.encoded()) for one in batch}
            # Not committed to the project: the files are kept, but no tasks are made of them.
            answer_of(
                http.post(
                    f"/api/projects/{shelf}/import",
                    params={"commit_to_project": "false"},
                    files=files,
                )
            )
        if missing:
            there = self._uploaded(http, shelf)
        if lost := [name for name in names.values() if name not in there]:
            raise ServerError(f"the server did not keep the film {lost[0]}; run this again")
        return {picture: f"/data/{there[name]}" for picture, name in names.items()}

    @staticmethod
    def _shelf(http: httpx.Client, project_id: int) -> int:
        title = f"films of project {project_id}"
        if found := oldest_project(http, title):
            return found.number
        made = {"title": title, "label_config": ONE_PICTURE}
        return int(answer_of(http.post("/api/projects", json=made))["id"])

    @staticmethod
    def _uploaded(http: httpx.Client, shelf: int) -> dict[str, str]:
        path = f"/api/projects/{shelf}/file-uploads"
        found = answer_of(http.get(path, params={"all": "true"}))
        # The server puts eight random digits and a hyphen before the name.
        return {Path(upload["file"]).name.partition("-")[2]: upload["file"] for upload in found}


def batches(items: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """Yield the items in lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
