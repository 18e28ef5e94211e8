"""Label Studio's data manager language: which tasks, and in what order they are shown."""

from typing import Any

Query = dict[str, Any]

UNCERTAINTY = "tasks:data.uncertainty"
NOISE = (
    *("data.image", "data.clahe", "data.inverted", "data.prior", "data.film", "data.width"),
    *("data.height", "data.model_version", "inner_id", "annotations_results", "annotations_ids"),
    *("predictions_score", "predictions_model_versions", "predictions_results"),
    *("total_predictions", "file_upload", "storage_filename", "created_at", "updated_at"),
    *("updated_by", "avg_lead_time", "draft_exists", "completed_at"),
)
"""Columns that say nothing to a reader."""


def most_uncertain_first() -> dict[str, Any]:
    """Return the data manager's view in which a bare link to the project opens.

    Label Studio compares a task's own data as texts unless it is told that they are numbers.
    """
    hidden = [f"tasks:{column}" for column in NOISE]
    return {
        "title": "Most uncertain first",
        "type": "list",
        "target": "tasks",
        "ordering": [f"-{UNCERTAINTY}"],
        "columnsDisplayType": {
            f"tasks:data.{name}": "Number" for name in ("uncertainty", "rank", "round")
        },
        "columnsWidth": {
            "tasks:id": 80,
            "tasks:data.receipt": 380,
            "tasks:data.rank": 100,
            "tasks:data.round": 100,
            "tasks:data.uncertainty": 150,
        },
        "hiddenColumns": {"explore": hidden, "labeling": hidden},
    }


def in_rounds(rounds: set[int]) -> Query:
    """Select the tasks of certain rounds."""
    return _query("or", *(_filter("data.round", "equal", number) for number in sorted(rounds)))


def changed_after(number: int, moment: str | None) -> Query:
    """Select the tasks of higher numbers that changed later than a moment.

    Args:
        number: a task's.
        moment: ISO 8601, UTC; None: whenever they changed.
    """
    items = [_filter("id", "greater", number)]
    if moment is not None:
        items.append(_filter("updated_at", "greater", moment, kind="Datetime"))
    return _query("and", *items)


def _filter(column: str, operator: str, value: int | str, *, kind: str = "Number") -> Query:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": kind,
        "value": value,
    }


def _query(conjunction: str, *items: Query) -> Query:
    return {"filters": {"conjunction": conjunction, "items": list(items)}}


EVERY = _query("and")
"""All tasks."""

_COUNTS = ("total_annotations", "cancelled_annotations")

UNREAD = _query("and", *(_filter(count, "equal", 0) for count in _COUNTS))
"""Tasks that nobody has submitted or skipped."""

BEGUN = _query("and", _filter("draft_exists", "equal", "true", kind="Boolean"))
"""Tasks that somebody has begun to read: changed, and not submitted yet."""
