"""10 changed films of 5,000 out of Label Studio: a pull, against the server's own full export.

`python -m benchmarks.pull`. A server of its own, in a temporary folder. The tasks have pre-drawn
boxes and are read; between two pulls ten readings are edited. Each pull also reads the log, looks
again at what changed within its margin of two minutes (so at up to sixty films here), and appends.
"""

import statistics
import tempfile
import time
import uuid
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

from benchmarks.label_studio import a_server
from benchmarks.timing import Ratio
from lungal.annotation.incoming import MARGIN
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.pseudonyms import load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.annotation.tasks import box_regions, labelling_config, task_prediction
from lungal.data.annotation_json import from_json
from lungal.data.annotations import read_log
from lungal.rounds.pull import Film, pull
from lungal.testing import make_detections, make_task

FILMS, CHANGED, ROUNDS, AT_ONCE, BOXES, SIDE = 5000, 10, 5, 500, 3, 1024


@dataclass(frozen=True)
class Result:
    """A pull of what changed against an export; seconds of a first pull, and of one of all."""

    changed: Ratio
    first: float
    everything: float


def run() -> Result:
    """Lay out the project and time it."""
    with (
        tempfile.TemporaryDirectory() as folder,
        a_server(Path(folder)) as server,
        closing(_store(server)) as store,
    ):
        log = Path(folder) / "annotations.jsonl"
        films = dict.fromkeys(store.films, Film(SIDE, SIDE, "train"))
        project = _fill(store)
        began = time.perf_counter()
        pull(store, log, films)
        first = time.perf_counter() - began
        readings = cycle([event.thread.rpartition("-")[2] for event in read_log(log)])
        time.sleep(MARGIN.total_seconds() + 1)  # until all this lies behind the margin
        pairs = []
        for _ in range(ROUNDS + 1):  # the first is to warm up, and sees the import once more
            _edit(store, islice(readings, CHANGED))
            pairs.append((_time_pull(store, log, films), _time_export(store, project)))
        began = time.perf_counter()
        pull(store, log, films, everything=True)
        return Result(_ratio(pairs[1:]), first, time.perf_counter() - began)


def _store(server: LocalServer) -> LabelStudio:
    status = server.status()
    if status is None:
        raise RuntimeError("the server is gone")
    films = {f"{number:08d}_000": Path() for number in range(FILMS)}
    names = load_pseudonyms(server.folder, {})
    title = f"benchmark {uuid.uuid4().hex[:12]}"
    token = server.credentials().token
    return LabelStudio(status.url, token, title, films, pseudonyms=names)


def _fill(store: LabelStudio) -> int:
    """Make the project with all its readings; return its number."""
    config = {"title": store.title, "label_config": labelling_config()}
    project = store.http.post("/api/projects/", json=config).raise_for_status().json()["id"]
    tasks = (_task(store, name, rank) for rank, name in enumerate(store.films, start=1))
    while batch := list(islice(tasks, AT_ONCE)):
        path = f"/api/projects/{project}/import"
        store.http.post(path, json=batch).raise_for_status()
    return int(project)


def _task(store: LabelStudio, name: str, rank: int) -> dict[str, object]:
    task, seen = make_task(name, rank=rank), make_detections(name, BOXES, SIDE, SIDE)
    data = {
        **dict.fromkeys(("image", "clahe", "inverted"), f"/{name}.png"),
        "prior": "",
        "film": store.pseudonyms.film(name),
        "round": task.round,
        "rank": rank,
        "uncertainty": task.uncertainty,
        "receipt": task.reason,
        "model_version": task.model_version,
        "width": SIDE,
        "height": SIDE,
    }
    said = box_regions(seen.boxes, seen.labels, SIDE, SIDE)
    return {
        "data": data,
        "predictions": [task_prediction(task, 1 - task.uncertainty)],
        "annotations": [{"result": said, "lead_time": 20.0}],
    }


def _edit(store: LabelStudio, annotations: Iterable[str]) -> None:
    for number in annotations:
        path = f"/api/annotations/{number}/"
        store.http.patch(path, json={"result": [], "lead_time": 25.0}).raise_for_status()


def _time_pull(store: LabelStudio, log: Path, films: dict[str, Film]) -> float:
    from_json.cache_clear()  # as in a process of its own
    began = time.perf_counter()
    report = pull(store, log, films)
    seconds = time.perf_counter() - began
    if len(report.new) != CHANGED:
        raise RuntimeError(f"{len(report.new)} changes came in, not {CHANGED}")
    return seconds


def _time_export(store: LabelStudio, project: int) -> float:
    began = time.perf_counter()
    path = f"/api/projects/{project}/export"
    reply = store.http.get(path, params={"exportType": "JSON"}, timeout=600).raise_for_status()
    found = len(reply.json())
    seconds = time.perf_counter() - began
    if found != FILMS:
        raise RuntimeError(f"the export holds {found} films, not {FILMS}")
    return seconds


def _ratio(pairs: list[tuple[float, float]]) -> Ratio:
    ratios = [ours / theirs for ours, theirs in pairs]
    return Ratio(
        statistics.median(ratios),
        min(ratios),
        max(ratios),
        statistics.median(ours for ours, _ in pairs),
        statistics.median(theirs for _, theirs in pairs),
    )


if __name__ == "__main__":
    result = run()
    ratio = result.changed
    print(f"{CHANGED} changed of {FILMS} films pulled, lungal / full export: {ratio}")
    print(f"    that is 1/{1 / ratio.median:.0f}")
    print(f"    first pull of all {FILMS}: {result.first:.1f} s; `lungal pull --all` with nothing")
    print(f"    new: {result.everything:.1f} s")
