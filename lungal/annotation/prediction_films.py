"""Which film a task of Label Studio is about, and its pixels.

A task says where its picture is, and whoever can write a task could have this machine fetch
whatever they like. So a film comes from three places only: this project's manifest, by the film's
pseudonym; the folder that the local server shows films from; and our own Label Studio, asked with
our own token.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import httpx

from lungal.annotation.connection import open_http, talking_to
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.tasks import IMAGE
from lungal.data.asked import Key, latest_asked, read_asked
from lungal.data.films import film_paths
from lungal.data.images import decode, read_pixels
from lungal.errors import ImageError, StageOrderError
from lungal.records import Asked, Image

T = TypeVar("T")

LOCAL_FILES, UPLOADS = "/data/local-files/", "/data/upload/"
FILM_BYTES = 64 * 2**20
"""What a film has at most; an NIH film has half a megabyte, a raw 16-bit one some twenty."""


class Films(Protocol):
    """Finds the film of a task's data."""

    def read(self, data: Mapping[str, Any]) -> Image:
        """Return the film.

        Raises:
            LungalError: saying why there is none.
        """
        ...

    def asked(self, data: Mapping[str, Any]) -> Asked | None:
        """Return what readers were asked about the film if the task is one of the queue's.

        Raises:
            LungalError: if that cannot be told: it is the queue's, and nobody here knows the line.
        """
        ...


@dataclass(frozen=True, slots=True)
class OwnServer:
    """Fetches pictures from our Label Studio with our token, and from nowhere else.

    Args:
        connect: says the server's address and our token, when they are needed.
    """

    connect: Callable[[], tuple[str, str]]

    def fetch(self, address: str) -> bytes:
        """Return a picture that was uploaded to the server or lies in a folder that it shares.

        Args:
            address: of the picture: a whole URL, or the path on the server.

        Raises:
            ImageError: if the server has no such picture, refuses it, or it is too large.
            ServerError: if the server does not answer.
        """
        if address.startswith(("http://", "https://", "/")):
            url, token = self.connect()
            place = _picture_on(url, address)
            with talking_to(url), open_http(url, token) as http:
                answer = http.get(place, follow_redirects=False)
            if answer.status_code != httpx.codes.OK:
                raise ImageError(f"the picture {place.path}: {url} answers {answer.status_code}")
            if len(answer.content) > FILM_BYTES:
                raise ImageError(f"the picture {place.path} is larger than {FILM_BYTES} bytes")
            return answer.content
        raise ImageError("its picture is not on our Label Studio")


def _picture_on(server: str, address: str) -> httpx.URL:
    try:
        base = httpx.URL(server)
        url = base.join(address)
    except (httpx.InvalidURL, ValueError):
        raise ImageError("the address of its picture is malformed") from None
    if (url.scheme, url.host, _port(url)) != (base.scheme, base.host, _port(base)) or url.userinfo:
        raise ImageError(f"its picture is on {url.host or 'no host'}, not on our Label Studio")
    # With our token a GET of any other path could be more than a look at a picture.
    if not url.path.startswith((LOCAL_FILES, UPLOADS)) or ".." in url.path.split("/"):
        raise ImageError("its picture is not among the films of our Label Studio")
    return url


def _port(url: httpx.URL) -> int | None:
    return url.port or {"http": 80, "https": 443}.get(url.scheme)


class _Kept(Generic[T]):
    """What a file says, read anew when it has changed."""

    def __init__(self, path: Path, read: Callable[[Path], T]) -> None:
        self._path, self._read = path, read
        self._known: tuple[tuple[int, int], T] | None = None

    def __call__(self) -> T:
        try:
            found = self._path.stat()
            stamp = (found.st_mtime_ns, found.st_size)
        except FileNotFoundError:
            stamp = (0, 0)
        if self._known is None or self._known[0] != stamp:
            self._known = (stamp, self._read(self._path))
        return self._known[1]


class ProjectFilms:
    """The films of this project and of its Label Studio; see Films.

    Args:
        manifest: data/manifest.parquet.
        queue: data/queue.jsonl.
        pseudonyms: what films are called in a task.
        server: our Label Studio.
        document_root: what the local server shows films from; None: the server is elsewhere.
    """

    def __init__(
        self,
        manifest: Path,
        queue: Path,
        pseudonyms: Pseudonyms,
        server: OwnServer,
        document_root: Path | None = None,
    ) -> None:
        def by_pseudonym(path: Path) -> dict[str, tuple[str, Path]]:
            try:
                known = film_paths(path)
            except StageOrderError:  # nothing was ingested here: every film is a stranger's
                return {}
            return {pseudonyms.film(name): (name, film) for name, film in known.items()}

        def asked(path: Path) -> dict[Key, Asked]:
            return latest_asked(read_asked(path))

        self._ours = _Kept(manifest, by_pseudonym)
        self._asked = _Kept(queue, asked)
        self._server, self._root = server, document_root

    def asked(self, data: Mapping[str, Any]) -> Asked | None:
        """Return what readers were asked about the film; see Films."""
        name, number = data.get("film"), data.get("round")
        if not isinstance(name, str) or not isinstance(number, int):
            return None
        image_id, _ = self._ours().get(name, (None, None))
        line = None if image_id is None else self._asked().get((number, image_id))
        if line is None:
            # Its readers may be meant to see no boxes.
            raise StageOrderError(
                f"{name} of round {number} was queued by somebody whose lines data/queue.jsonl"
                " lacks: git pull"
            )
        return line

    def read(self, data: Mapping[str, Any]) -> Image:
        """Return the film of a task's data; see Films."""
        name = data.get("film")
        if isinstance(name, str) and name in self._ours():
            image_id, path = self._ours()[name]
            return Image(image_id, read_pixels(path))
        address = data.get(IMAGE)
        if not isinstance(address, str) or not address:
            raise ImageError(f"the task's data names no film of ours and no {IMAGE!r}")
        shared = self._shared(address)
        if shared is not None:
            return Image(shared.stem, read_pixels(shared))
        return Image("picture", decode(self._server.fetch(address), "the task's picture"))

    def _shared(self, address: str) -> Path | None:
        # An address from the server's root only: a whole one may be of another server.
        if self._root is None or not address.startswith(LOCAL_FILES):
            return None
        try:
            root = self._root.resolve()
            path = root.joinpath(str(httpx.URL(address).params.get("d", ""))).resolve()
            inside = path.is_relative_to(root) and path.is_file()
        except (httpx.InvalidURL, ValueError, OSError):
            inside = False
        if not inside:
            raise ImageError("its picture is not in the folder that our server shows films from")
        return path
