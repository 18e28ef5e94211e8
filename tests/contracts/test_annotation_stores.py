"""Every annotation store keeps the same promises."""

from contextlib import closing
from dataclasses import replace
from typing import Any, cast

import pytest

from lungal.annotation.accounts import sign_up
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.oracle import answer
from lungal.annotation.protocol import AnnotationStore
from lungal.annotation.server import LocalServer
from lungal.reading.scripted import Reader
from lungal.records import LabelledBox
from lungal.testing import AnnotationStoreContract, Change, MemoryStore, Read

TRUTH = {
    "00000001_000": (LabelledBox("Mass", 10, 10, 40, 50), LabelledBox("Nodule", 90, 90, 96, 96)),
    "00000002_000": (),
}
READER = Reader(TRUTH)  # it does not know the third film


class TestMemoryStore(AnnotationStoreContract):
    @pytest.fixture
    def store(self) -> AnnotationStore:
        return MemoryStore()

    @pytest.fixture
    def read(self) -> Read:
        return lambda store: cast("MemoryStore", store).answer(READER) and None

    @pytest.fixture
    def second(self) -> Read:
        return lambda store: cast("MemoryStore", store).answer(READER, name="user-2") and None

    @pytest.fixture
    def edit(self) -> Change:
        def edit(store: AnnotationStore, image_id: str) -> None:
            for reading in [r for r in store.fetch() if r.image_id == image_id]:
                cast("MemoryStore", store).edit(reading.thread, "unreadable")

        return edit

    @pytest.fixture
    def delete(self) -> Change:
        def delete(store: AnnotationStore, image_id: str) -> None:
            for reading in [r for r in store.fetch() if r.image_id == image_id]:
                cast("MemoryStore", store).delete(reading.thread)

        return delete


@pytest.fixture(scope="session")
def colleague(label_studio_server: LocalServer) -> str:
    """Return the token of a second user."""
    status = label_studio_server.status()
    assert status is not None
    owner = label_studio_server.credentials().token
    return sign_up(status.url, owner, "colleague@localhost.localdomain", "correct horse battery")


@pytest.mark.label_studio
@pytest.mark.slow
class TestLabelStudio(AnnotationStoreContract):
    @pytest.fixture
    def store(self, store: LabelStudio) -> AnnotationStore:
        return store

    @pytest.fixture
    def read(self) -> Read:
        return lambda store: answer(cast("LabelStudio", store), READER) and None

    @pytest.fixture
    def second(self, colleague: str) -> Read:
        def second(store: AnnotationStore) -> None:
            with closing(replace(cast("LabelStudio", store), token=colleague)) as theirs:
                answer(theirs, READER)

        return second

    @pytest.fixture
    def edit(self) -> Change:
        def edit(store: AnnotationStore, image_id: str) -> None:
            project = cast("LabelStudio", store)
            for number in annotations_of(project, image_id):
                path, said = f"/api/annotations/{number}/", {"result": [], "was_cancelled": False}
                project.http.patch(path, json=said).raise_for_status()

        return edit

    @pytest.fixture
    def delete(self) -> Change:
        def delete(store: AnnotationStore, image_id: str) -> None:
            project = cast("LabelStudio", store)
            for number in annotations_of(project, image_id):
                project.http.delete(f"/api/annotations/{number}/").raise_for_status()

        return delete


def annotations_of(project: LabelStudio, image_id: str) -> list[int]:
    query: dict[str, Any] = {"project": project.project_id(), "fields": "all", "page_size": 100}
    tasks = project.http.get("/api/tasks", params=query).raise_for_status().json()["tasks"]
    film = project.pseudonyms.film(image_id)
    return [a["id"] for task in tasks if task["data"]["film"] == film for a in task["annotations"]]
