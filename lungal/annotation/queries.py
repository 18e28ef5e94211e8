"""Label Studio's data manager language: which tasks, and in what order they are shown."""

from typing import Any

Query = dict[str, Any]

UNCERTAINTY = "tasks:data.uncertainty"


def most_uncertain_first() -> dict[str, Any]:
    """Return the data manager's view in which a bare link to the project opens.

    Label Studio compares a task's own data as texts unless it is told that they are numbers.
    """
    return {
        "title": "Most uncertain first",
        "type": "list",
        "target": "tasks",
        "ordering": [f"-{UNCERTAINTY}"],
        "columnsDisplayType": {UNCERTAINTY: "Number"},
    }


def in_rounds(rounds: set[int]) -> Query:
    """Select the tasks of certain rounds."""
    return _query("or", *(_filter("data.round", "equal", number) for number in sorted(rounds)))


def _filter(column: str, operator: str, value: int) -> Query:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": "Number",
        "value": value,
    }


def _query(conjunction: str, *items: Query) -> Query:
    return {"filters": {"conjunction": conjunction, "items": list(items)}}


_COUNTS = ("total_annotations", "cancelled_annotations")

UNREAD = _query("and", *(_filter(count, "equal", 0) for count in _COUNTS))
"""Tasks that nobody has submitted or skipped."""

READ = _query("or", *(_filter(count, "greater", 0) for count in _COUNTS))
"""Tasks that somebody has submitted or skipped."""
