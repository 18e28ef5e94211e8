"""A project of a Label Studio, found by its title."""

from typing import NamedTuple

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.readings import origin_of


class Project(NamedTuple):
    """A project of a Label Studio."""

    number: int
    created_at: str

    @property
    def origin(self) -> str:
        """Its name for good, wherever it lies."""
        return origin_of(self.number, self.created_at)


def oldest_project(http: httpx.Client, title: str) -> Project | None:
    """Return the oldest project with exactly this title, or None.

    Raises:
        httpx.HTTPError: if the server does not answer, or with an error.
        ServerError: if it does not answer as Label Studio does.
    """
    params = {"title": title, "include": "id,title,created_at", "page_size": "1000"}
    found = answer_of(http.get("/api/projects", params=params))["results"]
    named = (Project(int(p["id"]), p["created_at"]) for p in found if p["title"] == title)
    return min(named, default=None)
