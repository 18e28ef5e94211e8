"""A pull that is killed anywhere is completed by the next: no event lost, none doubled."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from killed_child import in_a_child
from pulled_project import KNOWN, MASS, NAMES, Campaign, regions

from lungal.annotation.label_studio import LabelStudio
from lungal.data.annotations import read_log
from lungal.data.asked import append_asked
from lungal.records import Asked, SeenBox
from lungal.rounds.pull import PullReport, pull

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

POINTS = 10  # at least so many chances to die must there be


class Scene:
    """A project whose readers went on after the last pull: all that can happen, happened."""

    def __init__(self, store: LabelStudio, folder: Path) -> None:
        self.store, self.before = store, folder / "before.jsonl"
        self.asked = [
            Asked(
                *(1, name, 1, 0.5, "doubt", "r1-0a1b2c3d", "label", False, 1),
                (SeenBox("Mass", 10, 10, 40, 50, 0.9),),
                "2026-11-23T10:00:00Z",
            )
            for name in NAMES
        ]
        append_asked(folder / "queue.jsonl", self.asked)
        campaign = Campaign(store)
        campaign.add(NAMES)
        (good,) = regions(MASS)
        bad = good | {"value": good["value"] | {"rotation": 20}}
        numbers = [campaign.annotate(name, [good]) for name in NAMES[:3]]
        numbers.append(campaign.annotate(NAMES[3], [bad]))
        self.pull(self.before)
        campaign.edit(numbers[0], [])
        campaign.delete(numbers[1])
        campaign.annotate(NAMES[4], [], was_cancelled=True)
        campaign.annotate(NAMES[5], [bad])
        campaign.edit(numbers[3], [good])
        self.undisturbed = folder / "undisturbed.jsonl"
        self.undisturbed.write_bytes(self.before.read_bytes())
        self.pull(self.undisturbed)

    def pull(self, log: Path) -> PullReport:
        # A connection of its own: a forked child must not talk through its parent's.
        with closing(replace(self.store)) as store:
            return pull(store, log, KNOWN, self.asked)


@pytest.fixture
def scene(store: LabelStudio, tmp_path: Path) -> Scene:
    return Scene(store, tmp_path)


def die_at(point: int, folder: Path, trace: Path) -> None:
    """Make this process kill itself at its n-th contact with the world.

    Contacts are: a request goes out, its answer is in; a file of the folder is opened, renamed,
    removed or locked; data goes to the disk, and is there. Each is noted in `trace`.
    """
    count = 0
    note = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)

    def reached(what: str) -> None:
        nonlocal count
        count += 1
        os.write(note, f"{what}\n".encode())
        if count == point:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(module: Any, name: str) -> None:
        plain = getattr(module, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            reached(f"before {name}")
            result = plain(*arguments, **named)
            reached(f"after {name}")
            return result

        setattr(module, name, watched)

    def heard(event: str, arguments: tuple[Any, ...]) -> None:
        if event in {"open", "os.rename", "os.remove"}:
            if str(arguments[0]).startswith(str(folder)):
                reached(event)
        elif event == "fcntl.flock":
            reached(event)

    around(httpx.HTTPTransport, "handle_request")
    around(os, "fsync")

    sys.addaudithook(heard)


def points(scene: Scene, folder: Path) -> Iterator[tuple[int, Path]]:
    """Yield, for each point, its number and the log of a pull that was killed there."""
    killed, point, trace = True, 0, folder / "trace.txt"
    while killed:
        point += 1
        log = folder / f"{point}" / "annotations.jsonl"
        log.parent.mkdir(parents=True)
        log.write_bytes(scene.before.read_bytes())

        def arm(point: int = point, where: Path = log.parent) -> None:
            die_at(point, where, trace)

        killed = in_a_child(arm, lambda log=log: scene.pull(log))
        yield point, log


def test_a_pull_killed_at_any_point_is_completed_by_the_next(scene: Scene, tmp_path: Path) -> None:
    whole = scene.undisturbed.read_bytes()
    before = scene.before.read_bytes()
    assert len(read_log(scene.undisturbed)) == len(read_log(scene.before)) + 5
    number = 0
    for number, log in points(scene, tmp_path / "points"):
        assert log.read_bytes() in {before, whole}, f"a torn log at point {number}"
        again = scene.pull(log)
        assert log.read_bytes() == whole, f"another log after point {number}"
        assert scene.pull(log).new == ()
        assert len(again.refused) == 1
    seen = (tmp_path / "points" / "trace.txt").read_text().split("\n")
    assert number > POINTS
    for contact in ("before handle_request", "after fsync", "os.rename", "fcntl.flock", "open"):
        assert contact in seen, f"never tried: {contact}"


def test_a_first_pull_killed_at_any_request_leaves_no_log_behind(
    scene: Scene, tmp_path: Path
) -> None:
    log, trace = tmp_path / "first" / "annotations.jsonl", tmp_path / "trace.txt"
    for point in (1, 2, 3):
        assert in_a_child(
            lambda point=point: die_at(point, log.parent, trace), lambda: scene.pull(log)
        )
        assert read_log(log) == []
    scene.pull(log)
    assert {event.thread for event in read_log(log)} <= {
        event.thread for event in read_log(scene.undisturbed)
    }
    assert len(read_log(log)) == 5
