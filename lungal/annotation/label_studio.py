"""Label Studio as an annotation store. The only module that imports label_studio_sdk.

Whoever presses "Label All Tasks" gets the most uncertain film of the latest round first: the
server's "Uncertainty sampling" serves the lowest prediction score among the predictions of the
project's model version, so a submit sets that too (without it, the order is random). Unread films
of earlier rounds stay open and come after those; one that was selected anew moves to the new
round instead of being asked for twice.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

from lungal.annotation.connection import open_http, talking_to
from lungal.annotation.hosting import Hosting, batches
from lungal.annotation.protocol import OnRefused, Refused
from lungal.annotation.queries import READ, UNREAD, Query, in_rounds, most_uncertain_first
from lungal.annotation.readings import last_words, reading
from lungal.annotation.tasks import labelling_config, stream_scores, task_data, task_prediction
from lungal.errors import AnnotationError, ServerError, StageOrderError
from lungal.records import Annotation, Task

Key = tuple[int, str]  # round and image_id: a task's identity
OnProgress = Callable[[int, int], None]
"""Called with (done, total)."""

TASKS_AT_ONCE = 50
SETTINGS = {
    "label_config": labelling_config(),
    "sampling": "Uncertainty sampling",
    "show_collab_predictions": True,
    "enable_empty_annotation": True,
    "maximum_annotations": 1,
    "expert_instruction": (
        "Boxes are drawn by the model: correct, delete or add to them. A film without any finding "
        "is submitted without boxes. Choose Unreadable for a film that cannot be judged."
    ),
}


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
    """

    url: str
    token: str = field(repr=False)
    title: str
    films: Mapping[str, Path] = field(default_factory=dict, repr=False)
    hosting: Hosting | None = None
    on_progress: OnProgress = lambda _done, _total: None

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
        """
        wanted = {(t.round, t.image_id): t for t in sorted(tasks, key=lambda t: (t.round, t.rank))}
        if not wanted:
            return 0
        with self._talking():
            project_id = self._make_project()
            new = self._bring(project_id, wanted)
            self._drop_doubles(project_id, {key[0] for key in wanted})
            latest = next(reversed(wanted.values()))
            self._sdk.projects.update(project_id, model_version=latest.model_version)
        return new

    def fetch(self, on_refused: OnRefused | None = None) -> Iterator[Annotation]:
        """Yield the last reading of each task by each reader; see AnnotationStore.

        Raises:
            AnnotationError: at the first reading that cannot be trusted, without `on_refused`.
            ServerError: if the server does not answer.
            TokenError: if it refuses the token.
        """
        with self._talking():
            project_id = self.project_id()
            if project_id is None:
                return
            for task in self._tasks(project_id, READ, "all"):
                link = f"{self.url}/projects/{project_id}/data?task={task.id}"
                for annotation in last_words(task.annotations or []):
                    try:
                        yield reading(project_id, task.data, annotation, link)
                    except AnnotationError as error:
                        if on_refused is None:
                            raise
                        on_refused(Refused(link, str(error)))

    def project_id(self) -> int | None:
        """Return the project's number, or None if nothing was ever submitted.

        Of several projects with the title the oldest counts.
        """
        with self._talking():
            project = self._project()
        return None if project is None else int(project.id)

    def next_task(self, project_id: int) -> dict[str, Any] | None:
        """Return what the server would show us next in its label stream, or None at its end."""
        with self._talking():
            response = self.http.get(f"/api/projects/{project_id}/next")
            if response.status_code == httpx.codes.NOT_FOUND:
                return None
            response.raise_for_status()
            task: dict[str, Any] = response.json()
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

    def _project(self) -> Any | None:
        found = [p for p in self._sdk.projects.list(title=self.title) if p.title == self.title]
        return min(found, key=lambda project: project.id, default=None)

    def _make_project(self) -> int:
        project = self._project()
        if project is None:
            made = self._sdk.projects.create(title=self.title, **SETTINGS)
            project = self._project() or made  # of two made at once, both use the older
        elif any(getattr(project, name) != value for name, value in SETTINGS.items()):
            self._sdk.projects.update(project.id, **SETTINGS)
        self._make_view(project.id)
        return int(project.id)

    def _make_view(self, project_id: int) -> None:
        view = most_uncertain_first()
        there = self._sdk.views.list(project=project_id)
        if view["title"] not in [(known.data or {}).get("title") for known in there]:
            self._sdk.views.create(project=project_id, data=view)

    def _bring(self, project_id: int, wanted: Mapping[Key, Task]) -> int:
        rounds = {key[0] for key in wanted}
        there = {_key(task): task for task in self._tasks(project_id, in_rounds(rounds))}
        unread = self._unread_before(project_id, min(rounds))
        scores = dict(zip(wanted, stream_scores(list(wanted.values())), strict=True))
        new = [key for key in wanted if key not in there]
        stale = [key for key in wanted if key in there and _is_stale(there[key], wanted[key])]
        done = len(wanted) - len(new) - len(stale)
        for batch in batches([*new, *stale], TASKS_AT_ONCE):
            urls = self._publish(project_id, [image_id for _, image_id in batch])
            fresh = []
            for key in batch:
                data = task_data(wanted[key], urls[key[1]])
                prediction = task_prediction(wanted[key], scores[key])
                old = there.get(key) or unread.get(key[1])
                if old is None:
                    fresh.append({"data": data, "predictions": [prediction]})
                else:
                    self._move(project_id, old.id, data, prediction)
            if fresh:
                self._sdk.projects.import_tasks(project_id, request=fresh)
            done += len(batch)
            self.on_progress(done, len(wanted))
        return len(new)

    def _unread_before(self, project_id: int, round_: int) -> dict[str, Any]:
        tasks = ((_key(task), task) for task in self._tasks(project_id, UNREAD))
        # Tasks that a person put into the project may hold anything.
        return {key[1]: task for key, task in tasks if isinstance(key[0], int) and key[0] < round_}

    def _publish(self, project_id: int, image_ids: Sequence[str]) -> dict[str, str]:
        if self.hosting is None:
            raise ServerError("this connection to Label Studio is for reading only")
        if strangers := [image_id for image_id in image_ids if image_id not in self.films]:
            raise StageOrderError(f"film {strangers[0]} is not in the manifest; dvc repro")
        films = {image_id: self.films[image_id] for image_id in image_ids}
        return self.hosting.publish(self.http, project_id, films)

    def _move(
        self, project_id: int, task_id: int, data: dict[str, Any], prediction: dict[str, Any]
    ) -> None:
        # The data comes last: until then the task counts as the earlier round's, and a repeat
        # after a kill does all of it again.
        for old in self._sdk.predictions.list(task=task_id):
            self._sdk.predictions.delete(old.id)
        self._sdk.predictions.create(task=task_id, project=project_id, **prediction)
        self._sdk.tasks.update(str(task_id), data=data)

    def _drop_doubles(self, project_id: int, rounds: set[int]) -> None:
        # A server still busy with the import of a killed client knows nothing of it when the next
        # one looks. Of two equal tasks the one with a reading stays, else the older.
        same = defaultdict(list)
        for task in self._tasks(project_id, in_rounds(rounds)):
            same[_key(task)].append(task)
        for tasks in same.values():
            keep = min(tasks, key=lambda task: (_is_unread(task), task.id))
            for task in tasks:
                if task is not keep and _is_unread(task):
                    gone = self.http.delete(f"/api/tasks/{task.id}/")
                    if gone.status_code != httpx.codes.NOT_FOUND:  # another queue was quicker
                        gone.raise_for_status()

    def _tasks(self, project_id: int, query: Query, fields: str = "task_only") -> Any:
        return self._sdk.tasks.list(project=project_id, query=json.dumps(query), fields=fields)


def _key(task: Any) -> Key:
    return task.data.get("round"), task.data.get("image_id")


def _is_unread(task: Any) -> bool:
    return not task.total_annotations and not task.cancelled_annotations


def _is_stale(there: Any, task: Task) -> bool:
    # Queued in this round, but by a model that has been trained anew since.
    return _is_unread(there) and there.data.get("model_version") != task.model_version
