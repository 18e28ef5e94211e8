"""What `lungal evaluate` prints: numbers with intervals, groups, a published protocol."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # pandas and SciPy take a second, and `lungal --help` needs neither
    from lungal.data.external import ExternalSet
    from lungal.evaluation.bootstrap import Interval
    from lungal.evaluation.breakdown import Group
    from lungal.evaluation.measures import Number
    from lungal.evaluation.protocols import Spread

UNKNOWN = "-"
SHOWN = ("ap", "sensitivity", "accuracy_iou", "rodeo", "d_ece", "brier")
"""Measures on the screen; the file has all."""


def show(
    console: Console,
    document: Mapping[str, Any],
    found: "ExternalSet",
    judged: Mapping[str, Any],
) -> None:
    """Print the tables.

    Args:
        console: where to.
        document: `model_version`; `against`, None without another model; `met`, the films that
            were left out because a model had met their patients, None if that is not known.
        found: the films that were judged on, and those that could not be.
        judged: what was measured.
    """
    version, other = document["model_version"], document["against"]
    films = f"{judged['films']} films of {judged['patients']} patients, {judged['boxes']} boxes"
    console.print(_numbers_table(f"{version} on {films}", judged["numbers"]))
    if judged["differences"]:
        title = f"{version} minus {other}, on the same draws"
        console.print(_numbers_table(title, judged["differences"]))
    console.print(_groups_table(judged["groups"], judged["working_point"]))
    if judged["protocol"]:
        console.print(_protocol_table(judged))
    for line in _left_out(found, document["met"]):
        console.print(line, highlight=False, soft_wrap=True)


def _left_out(found: "ExternalSet", met: Sequence[str] | None) -> list[str]:
    from lungal.data.external import first_lines

    lines = [f"[yellow]left out[/] {escape(line)}" for line in first_lines(found.refused)]
    if found.ignored:
        lines.append(f"{found.ignored} boxes of other findings were ignored")
    if met is None:
        lines.append("[yellow]films that a model learnt from[/] may be among these")
    elif met:
        lines.append(
            f"[yellow]left out[/] {len(met)} films of patients that a model learnt from, by their "
            "names; --all-films if these are other people"
        )
    return lines


def _numbers_table(title: str, numbers: "Sequence[Number]") -> Table:
    from lungal.evaluation.bootstrap import LEVEL
    from lungal.evaluation.measures import ALL, MACRO

    table = Table("measure", "at", title=title)
    table.add_column("all classes", justify="right", no_wrap=True)
    table.add_column(f"{100 * LEVEL:g} % interval", justify="right", no_wrap=True)
    table.add_column("of")
    for one in numbers:
        if one.measure in SHOWN and one.of in (ALL, MACRO):
            table.add_row(one.measure, one.at, *_spell(one.interval), one.of)
    return table


def _groups_table(groups: "Sequence[Group]", point: Mapping[str, float]) -> Table:
    from lungal.evaluation.bootstrap import LEVEL

    table = Table("group", title=f"Which films: AP and findings found at IoU {point['iou']:g}")
    interval = f"{100 * LEVEL:g} %\ninterval"
    for name in ("films", "boxes", "AP", interval, "at 1\nFP", "found", "FP a\nfilm"):
        table.add_column(name, justify="right", no_wrap=True)
    table.caption = (
        "at 1 FP: share of boxes found at one false positive a film; "
        f"found, FP a film: from score {point['score']:g}"
    )
    for one, following in zip(groups, [*groups[1:], None], strict=True):
        low, high = _number(one.ap.low, 2), _number(one.ap.high, 2)
        sure = one.boxes and not math.isnan(one.ap.low)
        table.add_row(
            escape(f"{one.by} {one.value}"),
            str(one.films),
            str(one.boxes),
            _number(one.ap.value),
            f"{low}-{high}" if sure else UNKNOWN,
            _number(one.sensitivity.value),
            _number(one.found),
            _number(one.false_positives, 2),
            end_section=following is None or following.by != one.by,
        )
    return table


def _protocol_table(judged: Mapping[str, Any]) -> Table:
    from lungal.evaluation.protocols import NIH_BOXES, NIH_FILMS

    films, boxes = judged["films_with_boxes"], judged["boxes"]
    spreads: Mapping[str, Spread] = judged["protocol"]
    title = f"WSRPN's protocol: ten patient-disjoint halves of {films} films with {boxes} boxes"
    table = Table("measure", title=title)
    if (films, boxes) == (NIH_FILMS, NIH_BOXES):
        table.caption = "only a model that was trained without these films may stand beside theirs"
    else:
        table.caption = (
            f"[yellow]not the {NIH_FILMS} films with {NIH_BOXES} boxes of the paper[/]: "
            "may not stand beside its numbers"
        )
    for name in ("mean", "standard deviation"):
        table.add_column(name, justify="right")
    for name, one in spreads.items():
        table.add_row(name, _number(one.mean), _number(one.sd))
    return table


def _spell(interval: "Interval") -> tuple[str, str]:
    bounds = f"{_number(interval.low)} to {_number(interval.high)}"
    return _number(interval.value), UNKNOWN if math.isnan(interval.low) else bounds


def _number(value: float, digits: int = 3) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.{digits}f}"
