"""A project on a real Label Studio whose readers do, by plain HTTP, whatever a test wants."""

from collections.abc import Iterable
from typing import Any

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.readings import origin_of, thread_of
from lungal.annotation.tasks import box_regions, labelling_config
from lungal.records import GroundTruth, LabelledBox
from lungal.rounds.pull import Film
from lungal.testing import make_task

Regions = list[dict[str, Any]]

MASS = LabelledBox("Mass", 10, 10, 40, 50)
KNOWN = {f"0000000{n}_000": Film(96, 96, "train") for n in range(1, 9)}
NAMES = sorted(KNOWN)


def regions(*boxes: LabelledBox) -> Regions:
    drawn = GroundTruth.of("", boxes)
    return box_regions(drawn.boxes, drawn.labels, 96, 96)


class Campaign:
    """One project, its tasks by image_id, and hands to read with."""

    def __init__(self, store: LabelStudio) -> None:
        self.store = store
        config = {"title": store.title, "label_config": labelling_config()}
        self.number = int(self._post("/api/projects/", config | {"maximum_annotations": 2})["id"])
        self.tasks: dict[str, int] = {}

    def add(self, names: Iterable[str], *, number: int = 1) -> None:
        """Queue films; not through `submit`, which has tests of its own and takes its time."""
        for name in names:
            data = self.data(name, number)
            task = self._post("/api/tasks/", {"project": self.number, "data": data})
            self.tasks[name] = int(task["id"])

    def data(self, name: str, number: int = 1) -> dict[str, Any]:
        """Return what a task says of a film of round `number`."""
        return {
            **dict.fromkeys(("image", "clahe", "inverted"), "/film.png"),
            "prior": "",
            "film": self.store.pseudonyms.film(name),
            "round": number,
            "receipt": "why",
            "model_version": make_task(name, round=number).model_version,
            "width": 96,
            "height": 96,
        }

    def annotate(self, name: str, result: Regions, **said: Any) -> int:
        path = f"/api/tasks/{self.tasks[name]}/annotations/"
        return int(self._post(path, {"result": result, "lead_time": 7.5} | said)["id"])

    def edit(self, annotation: int, result: Regions) -> None:
        path = f"/api/annotations/{annotation}/"
        self.store.http.patch(path, json={"result": result}).raise_for_status()

    def delete(self, annotation: int) -> None:
        self.store.http.delete(f"/api/annotations/{annotation}/").raise_for_status()

    def delete_task(self, name: str) -> None:
        self.store.http.delete(f"/api/tasks/{self.tasks.pop(name)}/").raise_for_status()

    def move(self, name: str, number: int) -> None:
        """Ask for an unread film in a later round, as a queue does."""
        path = f"/api/tasks/{self.tasks[name]}/"
        self.store.http.patch(path, json={"data": self.data(name, number)}).raise_for_status()

    def thread(self, annotation: int) -> str:
        made = self.store.http.get(f"/api/projects/{self.number}/").json()["created_at"]
        return thread_of(origin_of(self.number, made), annotation)

    def link(self, name: str) -> str:
        return f"{self.store.url}/projects/{self.number}/data?task={self.tasks[name]}"

    def _post(self, path: str, content: dict[str, Any]) -> dict[str, Any]:
        made: dict[str, Any] = self.store.http.post(path, json=content).raise_for_status().json()
        return made
