"""Making tasks of a project on a Label Studio server: once each, whatever is interrupted.

Whoever presses "Label All Tasks" gets the most uncertain film of the latest round first: the
server's "Uncertainty sampling" serves the lowest prediction score among the predictions of the
project's model version, so a submission sets that too (without it, the order is random). It is
always the same, so that unread films of earlier rounds keep their boxes and their order; they stay
open and come after those of the latest. One that was selected anew moves to the new
round instead of being asked for twice, unless somebody has begun to read it: a draft belongs to the
boxes that were drawn when it was begun.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.hosting import Hosting, Picture, batches
from lungal.annotation.listing import PAGE, TaskThere, list_tasks
from lungal.annotation.pseudonyms import VARIABLE, Pseudonyms
from lungal.annotation.queries import BEGUN, EVERY, UNREAD, in_rounds
from lungal.annotation.set_up import make_project
from lungal.annotation.tasks import (
    CLAHE,
    IMAGE,
    INVERTED,
    PRIOR,
    STREAM,
    Json,
    stream_scores,
    task_data,
    task_prediction,
)
from lungal.errors import PseudonymError, StageOrderError
from lungal.records import OnProgress, Task

Key = tuple[int, str]
"""A task's identity: its round and its film's pseudonym."""

TASKS_AT_ONCE = 250
CALLS_AT_ONCE = 4


@dataclass(frozen=True)
class Submission:
    """Brings tasks to one project of a server.

    Args:
        sdk: label_studio_sdk's client.
        http: the same server, for what the SDK does not offer.
        title: of the project; it is made if it is not there.
        films: image_id to the stored film.
        hosting: how films get to the server.
        pseudonyms: what films are called there.
        on_progress: told how many tasks are there.
    """

    sdk: Any
    http: httpx.Client
    title: str
    films: Mapping[str, Path]
    hosting: Hosting
    pseudonyms: Pseudonyms
    on_progress: OnProgress

    def submit(self, tasks: Iterable[Task]) -> int:
        """Make the tasks readable; return how many were new. See AnnotationStore."""
        ranked = sorted(tasks, key=lambda task: (task.round, task.rank))
        wanted = {(task.round, self.pseudonyms.film(task.image_id)): task for task in ranked}
        if not wanted:
            return 0
        project_id = make_project(self.sdk, self.http, self.title)
        self._check_key(project_id)
        new = self._bring(project_id, wanted)
        self._settle(project_id, wanted)
        self.sdk.projects.update(project_id, model_version=STREAM)
        return new

    def _check_key(self, project_id: int) -> None:
        # Under another key no task would be found again, and each film be asked for twice.
        some = islice(list_tasks(self.http, project_id, EVERY), PAGE)
        there = {str(task.data["film"]) for task in some if "film" in task.data}
        if there and there.isdisjoint(self.pseudonyms.film(image_id) for image_id in self.films):
            raise PseudonymError(
                f"the project {self.title!r} was queued with another key, or from other films: "
                f"set {VARIABLE} to that key, or queue.project to another title"
            )

    def _bring(self, project_id: int, wanted: Mapping[Key, Task]) -> int:
        rounds = {key[0] for key in wanted}
        queued = list_tasks(self.http, project_id, in_rounds(rounds))
        there = {self._key(task): task for task in queued}
        begun = self._begun(project_id)
        unread = self._unread_before(project_id, min(rounds), begun)
        scores = dict(zip(wanted, stream_scores(list(wanted.values())), strict=True))
        new = [key for key in wanted if key not in there]
        stale = [
            key
            for key in wanted
            if key in there and there[key].id not in begun and _is_stale(there[key], wanted[key])
        ]
        done = len(wanted) - len(new) - len(stale)
        for batch in batches([*new, *stale], TASKS_AT_ONCE):
            pictures = self._publish(project_id, [wanted[key] for key in batch])
            fresh = []
            for key in batch:
                data = task_data(wanted[key], key[1], pictures[wanted[key].image_id])
                prediction = task_prediction(wanted[key], scores[key])
                old = there.get(key) or unread.get(key[1])
                if old is None:
                    fresh.append({"data": data, "predictions": [prediction]})
                else:
                    self._move(project_id, old.id, data, prediction)
            if fresh:
                # Not the SDK's import_tasks, which takes twice the time: it checks every box.
                answer_of(self.http.post(f"/api/projects/{project_id}/import", json=fresh))
            done += len(batch)
            self.on_progress(done, len(wanted))
        return len(new)

    def _begun(self, project_id: int) -> set[int]:
        return {task.id for task in list_tasks(self.http, project_id, BEGUN)}

    def _unread_before(self, project_id: int, round_: int, begun: set[int]) -> dict[str, TaskThere]:
        tasks = ((self._key(task), task) for task in list_tasks(self.http, project_id, UNREAD))
        return {
            key[1]: task
            for key, task in tasks
            # Tasks that a person put into the project may hold anything.
            if isinstance(key[0], int) and key[0] < round_ and task.id not in begun
        }

    def _publish(self, project_id: int, tasks: Sequence[Task]) -> dict[str, dict[str, str]]:
        wanted = {task.image_id: self._pictures(task) for task in tasks}
        all_of_them = [picture for views in wanted.values() for picture in views.values()]
        urls = self.hosting.publish(self.http, project_id, all_of_them)
        return {
            image_id: {name: urls[picture] for name, picture in views.items()}
            for image_id, views in wanted.items()
        }

    def _pictures(self, task: Task) -> dict[str, Picture]:
        name, film = self.pseudonyms.film(task.image_id), self._film(task.image_id)
        views = {
            IMAGE: Picture(name, film),
            CLAHE: Picture(name, film, "clahe"),
            INVERTED: Picture(name, film, "inverted"),
        }
        if task.prior is not None:
            earlier = Picture(self.pseudonyms.film(task.prior), self._film(task.prior))
            views[PRIOR] = earlier
        return views

    def _film(self, image_id: str) -> Path:
        try:
            return self.films[image_id]
        except KeyError:
            raise StageOrderError(f"film {image_id} is not in the manifest; dvc repro") from None

    def _move(self, project_id: int, task_id: int, data: Json, prediction: Json) -> None:
        # The data comes last: until then the task counts as the earlier round's, and a repeat
        # after a kill does all of it again. The prediction is changed and not replaced: whoever
        # has the film open submits it under the prediction's number.
        old, *others = self.sdk.predictions.list(task=task_id) or [None]
        for other in others:
            self.sdk.predictions.delete(other.id)
        if old is None:
            self.sdk.predictions.create(task=task_id, project=project_id, **prediction)
        else:
            self.sdk.predictions.update(old.id, task=task_id, project=project_id, **prediction)
        self.sdk.tasks.update(str(task_id), data=data)

    def _settle(self, project_id: int, wanted: Mapping[Key, Task]) -> None:
        # A server still busy with the import of a killed client knows nothing of it when the next
        # one looks. Of two equal tasks the one with a reading stays, else one that somebody has
        # begun to read, else the older.
        same, wrong, begun = defaultdict(list), [], self._begun(project_id)
        for task in list_tasks(self.http, project_id, in_rounds({key[0] for key in wanted})):
            same[self._key(task)].append(task)
        for key, tasks in same.items():
            keep = min(tasks, key=lambda task: (task.is_unread, task.id not in begun, task.id))
            for task in tasks:
                if task is not keep and task.is_unread and task.id not in begun:
                    self._delete(f"/api/tasks/{task.id}/")
            if key in wanted and keep.overlap != wanted[key].readers:
                wrong.append((keep, wanted[key].readers))
        with ThreadPoolExecutor(CALLS_AT_ONCE) as pool:
            list(pool.map(lambda one: self._set_readers(*one), wrong))

    def _delete(self, path: str) -> None:
        # Another queue may be quicker: before ours it is a 404, amid ours the server fails with a
        # 500, since it looks the task up again for each of its predictions.
        deleted = self.http.delete(path)
        if deleted.is_error and self.http.get(path).status_code != httpx.codes.NOT_FOUND:
            deleted.raise_for_status()

    def _set_readers(self, task: TaskThere, readers: int) -> None:
        # An import cannot say it. The server takes a task that was read before it learnt of the
        # second reader for done, unless it is told.
        enough = task.readings >= readers
        said = {"overlap": readers, "is_labeled": enough}
        self.http.patch(f"/api/tasks/{task.id}/", json=said).raise_for_status()

    def _key(self, task: TaskThere) -> tuple[Any, Any]:
        data = task.data
        if "image_id" in data:  # queued by a lungal that knew no pseudonyms
            return data.get("round"), self.pseudonyms.film(str(data["image_id"]))
        return data.get("round"), data.get("film")


def _is_stale(there: TaskThere, task: Task) -> bool:
    # Queued in this round, but by a model that has been trained anew since, or an older lungal.
    data = there.data
    return there.is_unread and (
        data.get("model_version") != task.model_version or "film" not in data
    )
