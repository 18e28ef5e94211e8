"""A scripted reader: answers from known boxes, as well or as badly as it is told to.

It stands in for radiologists in the demonstration, the tests and simulated rounds. In Label Studio
it does what a person does there: it takes what the label stream serves next, and submits or skips.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.tasks import FINDING_PRESENT, NO_FINDING, box_regions, study_region
from lungal.boxes import area, clip
from lungal.records import GroundTruth, LabelledBox, Verdict

OnRead = Callable[[str, Verdict], None]
"""Called after each film, with its image_id and what was said of it."""

LOOK_SECONDS, BOX_SECONDS = 9.0, 6.0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the reader says of one film."""

    verdict: Verdict
    boxes: tuple[LabelledBox, ...]
    seconds: float


@dataclass(frozen=True)
class Reader:
    """Knows the truth of some films and reports it with faults that depend on seed and film alone.

    Args:
        truth: image_id to boxes in pixels of the film; () is no finding. A film that is not in it
            is skipped, never guessed.
        miss_rate: share of the boxes that are overlooked.
        jitter: standard deviation of each edge, pixels.
        seed: of the faults.
    """

    truth: Mapping[str, Sequence[LabelledBox]]
    miss_rate: float = 0.05
    jitter: float = 4.0
    seed: int = 0

    def read(self, image_id: str, width: int, height: int) -> Reading:
        """Read a film of this size in pixels."""
        random = np.random.default_rng(_entropy(self.seed, image_id))
        pace = float(random.lognormal(0.0, 0.35))
        if image_id not in self.truth:
            return Reading("skipped", (), round(LOOK_SECONDS * pace, 1))
        boxes = tuple(self._see(self.truth[image_id], width, height, random))
        seconds = round((LOOK_SECONDS + BOX_SECONDS * len(boxes)) * pace, 1)
        return Reading("finding" if boxes else "no_finding", boxes, seconds)

    def _see(
        self,
        truth: Sequence[LabelledBox],
        width: int,
        height: int,
        random: np.random.Generator,
    ) -> Iterator[LabelledBox]:
        for box in truth:
            overlooked = random.random() < self.miss_rate
            drawn = np.array([box.xyxy]) + random.normal(0.0, 1.0, 4) * self.jitter
            inside = clip(drawn.astype(np.float32), width, height)
            if area(inside)[0] < 1:  # a slip of the hand would turn a tiny box inside out
                inside = clip(np.array([box.xyxy], np.float32), width, height)
            if not overlooked:
                yield LabelledBox(box.label, *(round(float(edge), 2) for edge in inside[0]))


def answer(
    store: LabelStudio,
    reader: Reader,
    *,
    limit: int | None = None,
    on_read: OnRead | None = None,
) -> list[str]:
    """Read what the project's label stream serves, until it ends or `limit` films are read.

    Safe to repeat and to interrupt: the server serves no film again that was submitted or skipped.

    Args:
        store: the project, with the token of the user who reads.
        reader: knows what to say.
        limit: of films.
        on_read: told of each film.

    Returns:
        The image_ids in the order in which the server served them.

    Raises:
        ServerError: if the server does not answer; what was read by then stays read.
    """
    served: list[str] = []
    project_id = store.project_id()
    if project_id is None:
        return served
    while limit is None or len(served) < limit:
        task = store.next_task(project_id)
        if task is None:
            break
        data = task["data"]
        read = reader.read(data["image_id"], data["width"], data["height"])
        skip = read.verdict == "skipped"
        result = [] if skip else _result(read, data["width"], data["height"])
        store.annotate(task["id"], result, seconds=read.seconds, skip=skip)
        served.append(data["image_id"])
        if on_read is not None:
            on_read(data["image_id"], read.verdict)
    return served


def _result(read: Reading, width: int, height: int) -> list[dict[str, object]]:
    drawn = GroundTruth.of("", read.boxes)
    choice = FINDING_PRESENT if read.boxes else NO_FINDING
    return [*box_regions(drawn.boxes, drawn.labels, width, height), study_region(choice)]


def _entropy(seed: int, image_id: str) -> list[int]:
    return [seed, *hashlib.sha256(image_id.encode()).digest()]
