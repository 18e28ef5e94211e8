"""What happened on a Label Studio since the log was last brought up to date, as events.

Only tasks are looked at that changed since the last event in the log. No other file remembers that
moment: whoever checks out an older log pulls again what it lacks. Three rules see to it that no
event is missed:

- An event that happens after a fetch began, by the server's clock, is left to the next fetch. Else
  the log's last event could be later than one on a page that was already read.
- A fetch looks back MARGIN beyond the log's last event, as the server takes a while to store one.
- Pages are asked for by task number, so that no task moves from one page to another meanwhile.

The server keeps no trace of a deleted annotation, but its task counts as changed. A reading in the
log is taken for deleted if the task of its film was there before it, no longer holds it, and the
server does not know its number. Where a whole task was deleted its readings stay as they are,
since nothing tells of them.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.projects import Project
from lungal.annotation.protocol import Notes
from lungal.annotation.pseudonyms import Pseudonyms
from lungal.annotation.queries import changed_after
from lungal.annotation.readings import ReadFilm, deletion, event, thread_of, utc
from lungal.annotation.tasks import Json
from lungal.records import Annotation

MARGIN = timedelta(minutes=2)
AHEAD = timedelta(seconds=30)  # what the server's clocks may differ by
TASKS_AT_ONCE = 500
FIELDS = (
    *("id", "data", "created_at", "updated_at", "annotations"),
    *("result", "completed_by", "was_cancelled", "lead_time"),
)
"""What is asked for of a task and of its annotations, whose fields have the same names. The others,
such as the pre-drawn boxes, would take the server longer than all of these."""


@dataclass(frozen=True)
class Incoming:
    """One project's events.

    Args:
        http: talks to the server, with its address and our token.
        url: of the server, as a browser reaches it.
        project: of `oldest_project`.
        image_ids: pseudonym to image_id, of all films that are known.
        name: what a reader of an e-mail address is called in the log.
    """

    http: httpx.Client
    url: str
    project: Project
    image_ids: Mapping[str, str]
    name: Callable[[str], str]

    def events(
        self, log: Collection[Annotation], *, everything: bool = False, notes: Notes | None = None
    ) -> Iterator[Annotation]:
        """Yield what happened since; see AnnotationStore.fetch.

        Raises:
            httpx.HTTPError: if the server does not answer, or with an error.
            ServerError: if it does not answer as Label Studio does.
        """
        known = _Known.of(log, thread_of(self.project.origin, 0)[:-1])
        notes = notes if notes is not None else Notes()
        for task, horizon in self._changed(None if everything else known.since):
            for happened in self._of_task(task, known, notes):
                if happened.at <= horizon:
                    yield happened
        if everything:
            notes.gone.extend(sorted(set(known.alive) - set(notes.links)))

    def _of_task(self, task: Json, known: "_Known", notes: Notes) -> Iterator[Annotation]:
        link = f"{self.url}/projects/{self.project.number}/data?task={task['id']}"
        annotations = task.get("annotations") or []
        film = ReadFilm.of(task["data"], self.image_ids)
        if film is None:
            if annotations:
                notes.strangers.append(link)
            notes.links |= {thread_of(self.project.origin, a["id"]): link for a in annotations}
            return
        for annotation in annotations:
            happened = event(self.project.origin, film, annotation, self._reader(annotation))
            notes.links[happened.thread] = link
            yield happened
        for last in list(known.missing(film, task, notes.links)):
            if self._is_gone(last.thread):
                notes.links[last.thread] = link
                yield deletion(last, utc(task["updated_at"]))

    def _changed(self, since: str | None) -> Iterator[tuple[Json, str]]:
        last, horizon = 0, None
        while True:
            reply = self.http.get("/api/tasks", params=self._query(last, since))
            page = answer_of(reply)
            horizon = horizon or _horizon(reply)
            for task in page["tasks"]:
                yield task, horizon
            # `total` and not the page's size: a server may have a lower limit of its own.
            if not page["tasks"] or len(page["tasks"]) >= page["total"]:
                return
            last = page["tasks"][-1]["id"]

    def _query(self, last: int, since: str | None) -> dict[str, str]:
        return {
            "project": str(self.project.number),
            "query": json.dumps(changed_after(last, since)),
            "fields": "all",
            "include": ",".join(FIELDS),
            "page_size": str(TASKS_AT_ONCE),
            "resolve_uri": "false",  # links to the films would be signed one by one
        }

    def _is_gone(self, thread: str) -> bool:
        reply = self.http.get(f"/api/annotations/{thread.rpartition('-')[2]}/")
        if reply.status_code == httpx.codes.NOT_FOUND:
            return True
        reply.raise_for_status()
        return False

    def _reader(self, annotation: Json) -> str:
        user = annotation.get("completed_by")
        number = user.get("id") if isinstance(user, dict) else user
        address = self._addresses.get(number)
        if address:
            return self.name(address)
        return f"user-{number if number is not None else 'unknown'}"

    @cached_property
    def _addresses(self) -> dict[Any, str]:
        users = answer_of(self.http.get("/api/users"))
        return {user["id"]: str(user.get("email") or "") for user in users}


class Addresses(Pseudonyms):
    """Writes readers down by their addresses; films have the pseudonyms that they had.

    Args:
        films: names films.
    """

    def __init__(self, films: Pseudonyms) -> None:
        self._films = films

    def film(self, image_id: str) -> str:
        """Return the film's pseudonym."""
        return self._films.film(image_id)

    def reader(self, address: str) -> str:
        """Return the address, in lower case."""
        return address.strip().lower()


@dataclass(frozen=True, slots=True)
class _Known:
    """What the log knows of one project."""

    since: str | None  # from when on to look; None: from the beginning
    alive: Mapping[str, tuple[Annotation, str]]  # thread to its latest event, and its first `at`
    by_film: Mapping[str, list[str]]  # image_id to threads that are alive

    @classmethod
    def of(cls, log: Iterable[Annotation], prefix: str) -> "_Known":
        threads: dict[str, list[Annotation]] = defaultdict(list)
        latest = None
        for known in log:
            if known.source_id.startswith(prefix):
                threads[known.thread].append(known)
                at = datetime.fromisoformat(known.at)
                latest = at if latest is None else max(latest, at)
        alive, by_film = {}, defaultdict(list)
        for thread, events in threads.items():
            if all(known.verdict != "deleted" for known in events):
                events.sort(key=_trust)
                alive[thread] = (events[-1], events[0].at)
                for image_id in sorted({known.image_id for known in events}):
                    by_film[image_id].append(thread)
        return cls(None if latest is None else utc(latest - MARGIN), alive, by_film)

    def missing(self, film: ReadFilm, task: Json, there: Collection[str]) -> Iterator[Annotation]:
        """Yield the latest event of each thread that this task may have held and does not."""
        # A deletion touches its task. One that was touched last before the reading was made is that
        # of a server which a backup has set back.
        touched = _instant(task["updated_at"])
        # A reading that came in under another key stands under the film's pseudonym.
        names = dict.fromkeys((film.image_id, task["data"].get("film")))
        threads = [thread for name in names for thread in self.by_film.get(name, ())]
        for thread in dict.fromkeys(threads):
            last, first_at = self.alive[thread]
            could_hold_it = _instant(task["created_at"]) <= _instant(first_at)
            if thread not in there and could_hold_it and touched > _instant(last.at):
                yield last


def _trust(known: Annotation) -> tuple[datetime, bool, str]:
    return _instant(known.at), known.verdict != "refused", known.source_id


def _horizon(reply: httpx.Response) -> str:
    # A server without a clock is taken for one that agrees with ours.
    said = reply.headers.get("date")
    now = parsedate_to_datetime(said) if said else datetime.now(UTC)
    return utc(now + AHEAD)


def _instant(moment: str) -> datetime:
    return datetime.fromisoformat(moment)
