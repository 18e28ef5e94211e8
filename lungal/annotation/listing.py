"""Tasks as the server has them, with what is needed to tell what is there already."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.queries import Query
from lungal.annotation.tasks import Json

PAGE = 1000


@dataclass(frozen=True, slots=True)
class TaskThere:
    """A task as the server has it; its fields are the server's."""

    id: int
    data: Json
    overlap: int
    total_annotations: int
    cancelled_annotations: int

    @property
    def readings(self) -> int:
        """How many have read it, skips included."""
        return self.total_annotations + self.cancelled_annotations

    @property
    def is_unread(self) -> bool:
        """Whether nobody has submitted or skipped it."""
        return not self.readings


def list_tasks(http: httpx.Client, project_id: int, query: Query) -> Iterator[TaskThere]:
    """Yield the tasks of a project that a query selects, the oldest first, page by page."""
    # What is needed of a task and no more comes seven times as fast as what the SDK asks for.
    names = [field.name for field in fields(TaskThere)]
    asked: dict[str, str | int] = {
        "project": project_id,
        "query": json.dumps(query),
        "fields": "task_only",
        "include": ",".join(names),
        "page_size": PAGE,
    }
    seen, total, page = 0, 1, 1
    while seen < total:
        answer = answer_of(http.get("/api/tasks", params=asked | {"page": page}))
        yield from (TaskThere(**{name: one[name] for name in names}) for one in answer["tasks"])
        if not answer["tasks"]:
            return
        seen, total, page = seen + len(answer["tasks"]), answer["total"], page + 1
