"""1,000 films with boxes into Label Studio: a whole queue, against the SDK's bare import_tasks.

`python -m benchmarks.queue`. A server of its own, in a temporary folder. Both sides send the same
tasks with the same pre-drawn boxes. Ours also makes the project and its view, looks up what is
there, and settles overlaps and doubles afterwards. Publishing the pictures is no part of an
import; it is timed apart, and so are second readers, which an import cannot ask for.
"""

import tempfile
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import httpx
import numpy as np

from benchmarks.label_studio import a_server
from benchmarks.timing import Ratio, compare
from lungal.annotation.hosting import LocalFiles, Picture
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.pseudonyms import load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.set_up import SETTINGS
from lungal.annotation.tasks import CLAHE, IMAGE, INVERTED, stream_scores, task_data
from lungal.annotation.tasks import task_prediction as prediction
from lungal.data.images import encode_png
from lungal.records import Task
from lungal.testing import make_detections, make_task

FILMS, BOXES, SIDE, ROUNDS = 1000, 3, 1024, 3
OVERLAP = 0.25  # queue.overlap_fraction of params.yaml


@dataclass
class Timed:
    """Local files, and the seconds that publishing them took."""

    files: LocalFiles
    seconds: float = 0.0
    urls: dict[Picture, str] = field(default_factory=dict)

    def publish(
        self, http: httpx.Client, project_id: int, pictures: Sequence[Picture]
    ) -> dict[Picture, str]:
        """Publish; see Hosting."""
        began = time.perf_counter()
        published = self.files.publish(http, project_id, pictures)
        self.seconds += time.perf_counter() - began
        self.urls |= published
        return published


def run() -> tuple[Ratio, float, float]:
    """Return ours / theirs, seconds of publishing 3,000 pictures, and seconds of second readers."""
    with tempfile.TemporaryDirectory() as folder, a_server(Path(folder)) as server:
        films = _films(Path(folder) / "films")
        tasks = [_task(name, rank) for rank, name in enumerate(films, start=1)]
        hosting = Timed(LocalFiles(server.document_root))
        with closing(_store(server, films, hosting)) as store:
            store.submit(tasks)
            publishing, hosting.seconds = hosting.seconds, 0.0
            payload = _payload(store, tasks, hosting)
            ratio = compare(
                lambda: replace(store, title=_title()).submit(tasks),
                _bare(store, payload),
                rounds=ROUNDS,
            )
            again = [
                replace(task, readers=2 if task.rank <= OVERLAP * FILMS else 1) for task in tasks
            ]
            began = time.perf_counter()
            store.submit(again)
            return ratio, publishing, time.perf_counter() - began


def _films(folder: Path) -> dict[str, Path]:
    folder.mkdir()
    random = np.random.default_rng(0)
    coarse = random.integers(0, 255, (FILMS, SIDE // 16, SIDE // 16), np.uint8)
    films = {}
    for number, pixels in enumerate(coarse):
        path = folder / f"{number:08d}_000.png"
        path.write_bytes(encode_png(np.kron(pixels, np.ones((16, 16), np.uint8))))
        films[path.stem] = path
    return films


def _task(name: str, rank: int) -> Task:
    seen = make_detections(name, BOXES, SIDE, SIDE)
    return replace(make_task(name, rank=rank), width=SIDE, height=SIDE, detections=seen)


def _title() -> str:
    return f"benchmark {uuid.uuid4().hex[:12]}"


def _store(server: LocalServer, films: dict[str, Path], hosting: Timed) -> LabelStudio:
    status = server.status()
    if status is None:
        raise RuntimeError("the server is gone")
    names = load_pseudonyms(server.folder, {})
    token = server.credentials().token
    return LabelStudio(status.url, token, _title(), films, hosting, pseudonyms=names)


def _payload(store: LabelStudio, tasks: Sequence[Task], hosting: Timed) -> list[dict[str, object]]:
    urls = {(picture.name, picture.view): url for picture, url in hosting.urls.items()}
    payload: list[dict[str, object]] = []
    for task, score in zip(tasks, stream_scores(tasks), strict=True):
        film = store.pseudonyms.film(task.image_id)
        pictures = {view: urls[film, view] for view in (IMAGE, CLAHE, INVERTED)}
        data = task_data(task, film, pictures)
        payload.append({"data": data, "predictions": [prediction(task, score)]})
    return payload


def _bare(store: LabelStudio, payload: list[dict[str, object]]) -> Callable[[], object]:
    import label_studio_sdk

    sdk = label_studio_sdk.LabelStudio(base_url=store.url, api_key=store.token)
    made = [sdk.projects.create(title=_title(), **SETTINGS).id for _ in range(ROUNDS + 1)]
    return lambda: sdk.projects.import_tasks(made.pop(), request=payload)


if __name__ == "__main__":
    ratio, publishing, readers = run()
    print(f"{FILMS} films with {BOXES} boxes queued, lungal / import_tasks: {ratio}")
    print(f"    publishing {3 * FILMS} pictures of {SIDE} px before that: {publishing:.1f} s")
    print(f"    second readers of {OVERLAP:.0%} of the films after that: {readers:.1f} s")
