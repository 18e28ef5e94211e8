"""The project that readers work in: made once, and brought up to date by every submission.

`maximum_annotations` of the project stays 1 and the tasks that several people read have an
`overlap` of their own. With a larger one the server would serve films that somebody has read
already first, at random; and changing it sets the overlap of all tasks.

A skip is a reading without an opinion (`skip_queue`): by default the server hands the film to
everybody else instead, one after the other.
"""

from typing import Any

import httpx

from lungal.annotation.connection import answer_of
from lungal.annotation.projects import oldest_project
from lungal.annotation.queries import most_uncertain_first
from lungal.annotation.tasks import labelling_config

SETTINGS = {
    "label_config": labelling_config(),
    "sampling": "Uncertainty sampling",
    "show_collab_predictions": True,
    "enable_empty_annotation": True,
    "maximum_annotations": 1,
    "skip_queue": "IGNORE_SKIPPED",
    "expert_instruction": (
        "Boxes are drawn by the model on some films: correct, delete or add to them. A film "
        "without any finding is submitted without boxes. Choose Unreadable for a film that cannot "
        "be judged."
    ),
}


def make_project(sdk: Any, http: httpx.Client, title: str) -> int:
    """Return the number of the project with a title, with our settings and our view.

    Args:
        sdk: label_studio_sdk's client.
        http: the same server, for what the SDK does not offer.
        title: of the project; the oldest of several counts.
    """
    project = oldest_project(http, title)
    if project is not None:
        number = project.number
        _bring_up_to_date(sdk, http, number)
    else:
        made = sdk.projects.create(title=title, **SETTINGS)
        project = oldest_project(http, title)  # of two at once both use one
        number = int(made.id) if project is None else project.number
    _make_view(sdk, number)
    return number


def _bring_up_to_date(sdk: Any, http: httpx.Client, project_id: int) -> None:
    known = answer_of(http.get(f"/api/projects/{project_id}/"))
    if changed := {name: wanted for name, wanted in SETTINGS.items() if known.get(name) != wanted}:
        sdk.projects.update(project_id, **changed)


def _make_view(sdk: Any, project_id: int) -> None:
    view = most_uncertain_first()
    for known in sdk.views.list(project=project_id):
        there = known.data if isinstance(known.data, dict) else {}
        if there.get("title") == view["title"]:
            # People may have widened a column: only what an older lungal lacked is added.
            if missing := {name: view[name] for name in view if name not in there}:
                data = there | missing
                sdk.views.update(str(known.id), project=project_id, data=data)
            return
    sdk.views.create(project=project_id, data=view)
