"""Single files of a public Kaggle dataset, through Kaggle's own client.

The SDK is used and not the `kaggle` package on top of it, which logs in when it is imported and
exits the process when it cannot.
"""

import base64
import hashlib
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import requests
from kagglesdk import KaggleClient
from kagglesdk.datasets.types.dataset_api_service import ApiDownloadDatasetRequest
from requests.adapters import HTTPAdapter

from lungal.errors import ServerError, TokenError

NIH = "nih-chest-xrays/data"
TIMEOUT = (10, 60)
"""Seconds to connect, and between two pieces of an answer."""
ATTEMPTS = 5
CHUNK = 1 << 20

HOW_TO_LOG_IN = (
    "make an API token at https://www.kaggle.com/settings and set KAGGLE_API_TOKEN, "
    "or save it as ~/.kaggle/access_token"
)


class _Unsteady(Exception):  # noqa: N818 - never leaves this module
    """Worth another attempt."""

    def __init__(self, reason: object, wait: float | None = None) -> None:
        self.wait = wait  # seconds that the server asked for
        super().__init__(" ".join(str(reason).split()))


class _Impatient(HTTPAdapter):
    """Gives up on a silent server; Kaggle's client by itself waits for ever."""

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        return super().send(request, *args, **(kwargs | {"timeout": TIMEOUT}))


class KaggleDataset:
    """A dataset whose files can be had one by one, from several threads at a time.

    Credentials are found where Kaggle's tools put them: KAGGLE_API_TOKEN, ~/.kaggle/access_token
    or ~/.kaggle/kaggle.json; a user name and legacy key may be given instead.
    """

    def __init__(
        self,
        dataset: str = NIH,
        *,
        username: str | None = None,
        key: str | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self.dataset = dataset
        self._login = {"username": username, "password": key}
        self._pause = pause
        self._local = threading.local()

    def download(self, name: str, path: Path) -> None:
        """Write one file of the dataset to path; retry what may pass, with growing pauses.

        Checked are the length that the server announced and, where the storage names one, the
        MD5 sum. A file that arrives zipped is unpacked.

        Raises:
            TokenError: if Kaggle does not let us.
            ServerError: if it has no such file, or did not deliver in ATTEMPTS attempts.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._download(name, path)
            except _Unsteady as error:
                if attempt == ATTEMPTS:
                    raise ServerError(
                        f"Kaggle did not deliver {name} in {ATTEMPTS} attempts: {error}"
                    ) from None
                self._pause(error.wait or 2.0**attempt)
        return None

    def _download(self, name: str, path: Path) -> None:
        try:
            with self._answer(name) as answer:
                _write(answer, path)
        except requests.HTTPError as error:
            if error.response is None:
                raise _Unsteady(error) from None
            raise self._explain(error.response, name) from None
        except requests.RequestException as error:
            raise _Unsteady(error) from None
        _unzip(path, name)

    def _answer(self, name: str) -> requests.Response:
        request = ApiDownloadDatasetRequest()
        request.owner_slug, request.dataset_slug = self.dataset.split("/")
        request.file_name = name
        request.raw = True
        answer: requests.Response = self._client().datasets.dataset_api_client.download_dataset(
            request
        )
        return answer

    def _client(self) -> KaggleClient:
        # requests' sessions are not promised to be safe across threads.
        if not hasattr(self._local, "client"):
            client = KaggleClient(**self._login).__enter__()
            session = client.http_client()._session  # noqa: SLF001 - it offers no other way
            session.mount("https://", _Impatient())
            session.mount("http://", _Impatient())
            self._local.client = client
        return self._local.client

    def _explain(self, answer: requests.Response, name: str) -> Exception:
        status = answer.status_code
        if status in (401, 403):
            return TokenError(f"Kaggle refuses {self.dataset} ({status}): {HOW_TO_LOG_IN}")
        if status == 404:
            return ServerError(f"Kaggle has no {name} in {self.dataset}")
        if status == 429 or status >= 500:
            wait = answer.headers.get("Retry-After", "")
            return _Unsteady(f"status {status}", float(wait) if wait.isdecimal() else None)
        return ServerError(f"Kaggle answers {status} to {name} of {self.dataset}")


def _write(answer: requests.Response, path: Path) -> None:
    md5 = hashlib.md5(usedforsecurity=False)
    with path.open("wb") as file:
        for piece in answer.iter_content(CHUNK):
            file.write(piece)
            md5.update(piece)
    # The storage's sums are those of the bytes as stored, which an encoding on the way changes.
    if "Content-Encoding" in answer.headers:
        return
    length = answer.headers.get("Content-Length")
    if length is not None and path.stat().st_size != int(length):
        raise _Unsteady(f"{path.stat().st_size} bytes arrived of {length}")
    for part in answer.headers.get("x-goog-hash", "").split(","):
        kind, _, value = part.strip().partition("=")
        if kind == "md5" and base64.b64decode(value) != md5.digest():
            raise _Unsteady("the MD5 sum is not the one that the storage names")


def _unzip(path: Path, name: str) -> None:
    wanted = PurePosixPath(name).name
    if wanted.endswith(".zip") or not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            content = archive.read(wanted)
    except (zipfile.BadZipFile, KeyError) as error:
        raise _Unsteady(error) from None
    path.write_bytes(content)
