"""Label Studio as an annotation store. The only module that imports label_studio_sdk."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from lungal.annotation.connection import answer_of, open_http, talking_to
from lungal.annotation.hosting import Hosting
from lungal.annotation.incoming import Incoming
from lungal.annotation.projects import oldest_project
from lungal.annotation.protocol import Notes
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.submission import Submission
from lungal.errors import ServerError
from lungal.records import Annotation, OnProgress, Task


@dataclass(frozen=True)
class LabelStudio:
    """One project of a Label Studio server; see AnnotationStore.

    Args:
        url: of the server.
        token: a legacy or a personal access token.
        title: of the project; it is made by the first submit.
        films: image_id to the stored film, of at least what is submitted.
        hosting: how films get to the server; None: nothing can be submitted.
        on_progress: told how many of a submit's tasks are there.
        pseudonyms: what films and readers are called on the server and in the log.
    """

    url: str
    token: str = field(repr=False)
    title: str
    films: Mapping[str, Path] = field(default_factory=dict, repr=False)
    hosting: Hosting | None = None
    on_progress: OnProgress = lambda _done, _total: None
    pseudonyms: Pseudonyms = field(kw_only=True, repr=False)

    @cached_property
    def image_ids(self) -> Mapping[str, str]:
        """Pseudonym to image_id, of all films that this store knows."""
        return {self.pseudonyms.film(image_id): image_id for image_id in self.films}

    @cached_property
    def http(self) -> httpx.Client:
        """The server, for what the SDK does not offer."""
        return open_http(self.url, self.token)

    @cached_property
    def _sdk(self) -> Any:
        import label_studio_sdk

        untyped: Any = label_studio_sdk
        return untyped.LabelStudio(base_url=self.url, api_key=self.token, httpx_client=self.http)

    def close(self) -> None:
        """Give the connection back, if there is one. The store opens none anew."""
        if "http" in vars(self):
            self.http.close()

    def submit(self, tasks: Sequence[Task]) -> int:
        """Make tasks readable; see AnnotationStore.

        Raises:
            ServerError: if the server does not answer, or there is no `hosting`.
            TokenError: if it refuses the token.
            PseudonymError: if the project's films go by names that this key does not give.
        """
        if not tasks:
            return 0
        if self.hosting is None:
            raise ServerError("this connection to Label Studio is for reading only")
        with self._talking():
            return Submission(
                self._sdk,
                self.http,
                self.title,
                self.films,
                self.hosting,
                self.pseudonyms,
                self.on_progress,
            ).submit(tasks)

    def fetch(
        self,
        log: Collection[Annotation] = (),
        *,
        everything: bool = False,
        notes: Notes | None = None,
    ) -> Iterator[Annotation]:
        """Yield what happened since; see AnnotationStore and lungal.annotation.incoming.

        Raises:
            ServerError: if the server does not answer.
            TokenError: if it refuses the token.
        """
        with talking_to(self.url):
            project = oldest_project(self.http, self.title)
            if project is None:
                if notes is not None:
                    notes.absent = (
                        f"there is no project {self.title!r} at {self.url} yet: lungal queue"
                    )
                return
            incoming = Incoming(
                self.http, self.url, project, self.image_ids, self.pseudonyms.reader
            )
            yield from incoming.events(log, everything=everything, notes=notes)

    def project_id(self) -> int | None:
        """Return the project's number, or None if nothing was ever submitted.

        Of several projects with the title the oldest counts.
        """
        with talking_to(self.url):
            project = oldest_project(self.http, self.title)
        return None if project is None else project.number

    def next_task(self, project_id: int) -> dict[str, Any] | None:
        """Return what the server would show us next in its label stream, or None at its end."""
        with talking_to(self.url):
            response = self.http.get(f"/api/projects/{project_id}/next")
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            task: dict[str, Any] = answer_of(response)
            return task

    def annotate(
        self, task_id: int, result: list[dict[str, Any]], *, seconds: float, skip: bool = False
    ) -> None:
        """Submit (or skip) a task as a reader would.

        Args:
            task_id: the server's.
            result: regions, as lungal.annotation.tasks makes them.
            seconds: spent on it.
            skip: whether the reader passes.
        """
        with self._talking():
            self._sdk.annotations.create(
                task_id, result=result, lead_time=seconds, was_cancelled=skip
            )

    def _talking(self) -> AbstractContextManager[None]:
        from label_studio_sdk.core.api_error import ApiError

        return talking_to(self.url, ApiError)
