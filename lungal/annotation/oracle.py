"""A scripted reader in Label Studio, doing what a person does there.

It takes what the label stream serves next, looks at the boxes that are drawn, keeps, deletes and
draws, and submits or skips.
"""

from collections.abc import Callable, Mapping
from typing import Any

from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.tasks import FINDING_PRESENT, NO_FINDING, box_regions, study_region
from lungal.boxes import from_percent
from lungal.reading.scripted import Reader, Reading, rounded_box
from lungal.records import LabelledBox, Verdict, to_arrays

OnRead = Callable[[str, Verdict], None]
"""Called after each film, with its image_id and what was said of it."""


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
        store: the project, with the token of the user who reads and the films' pseudonyms.
        reader: knows what to say.
        limit: of films.
        on_read: told of each film.

    Returns:
        The image_ids in the order in which the server served them; a film that the project does
        not know keeps its pseudonym, and is skipped.

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
        image_id = store.image_ids.get(data["film"], data["film"])
        read = reader.read(image_id, data["width"], data["height"], shown_boxes(task))
        skip = read.verdict == "skipped"
        result = [] if skip else _result(read, data["width"], data["height"])
        store.annotate(task["id"], result, seconds=read.seconds, skip=skip)
        served.append(image_id)
        if on_read is not None:
            on_read(image_id, read.verdict)
    return served


def shown_boxes(task: Mapping[str, Any]) -> list[LabelledBox]:
    """Return the boxes that Label Studio draws on a task as it serves it, in pixels."""
    data = task["data"]
    return [
        rounded_box(value["rectanglelabels"][0], corners)
        for prediction in task.get("predictions") or []
        for region in prediction.get("result") or []
        if (value := region["value"]).get("rectanglelabels")
        for corners in from_percent(
            [[value[name] for name in ("x", "y", "width", "height")]], data["width"], data["height"]
        )
    ]


def _result(read: Reading, width: int, height: int) -> list[dict[str, object]]:
    choice = FINDING_PRESENT if read.boxes else NO_FINDING
    return [*box_regions(*to_arrays(read.boxes), width, height), study_region(choice)]
