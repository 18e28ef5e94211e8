"""Pictures of the reader report, drawn as `lungal.evaluation.figures` draws."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lungal.evaluation.figures import COLOURS, DPI, GREY, INK, MARKERS, say, style
from lungal.reading.automation import MEASURES, Automation
from lungal.reading.performance import Performance
from lungal.reading.tables import arms


def sensitivity(readers: Sequence[Performance]) -> Figure:
    """Draw each reader's sensitivity on known cases with its 95 % interval."""
    known = [one for one in readers if one.sensitivity is not None]
    with style():
        figure = Figure(figsize=(7.2, 1.6 + 0.45 * max(1, len(known))), dpi=DPI)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for place, one in enumerate(known):
            axes.hlines(place, one.low or 0.0, one.high or 0.0, color=_colour(place), lw=2)
            axes.plot([one.sensitivity or 0.0], [place], _marker(place), color=_colour(place), ms=7)
            axes.annotate(
                f"{one.found} of {one.boxes} boxes, {one.false_positives:.2f} false a film",
                (1.03, place),
                va="center",
                fontsize=7.5,
                annotation_clip=False,
            )
        axes.set(xlim=(0, 1.02), ylim=(len(known) - 0.4, -0.6), xlabel="share of true boxes found")
        axes.set_yticks(range(len(known)), [one.reader for one in known])
        axes.grid(visible=True, axis="x")
        axes.set_title("Known cases, with 95 % intervals")
        if not known:
            say(axes, "no known case with a box has been read yet")
        return figure


def seconds(of_readers: Mapping[str, Sequence[float]]) -> Figure:
    """Draw how long each reader takes: quartiles, and a dot for each film.

    Args:
        of_readers: reader to seconds of each film, idle time cut off.
    """
    known = {reader: values for reader, values in of_readers.items() if len(values)}
    with style():
        figure = Figure(figsize=(7.2, 1.6 + 0.45 * max(1, len(known))), dpi=DPI)
        figure.set_layout_engine("constrained")
        axes = figure.subplots()
        for place, values in enumerate(known.values()):
            # The dots lie side by side in a fixed pattern: the same numbers, the same bytes.
            shift = 0.12 * np.sin(np.arange(len(values)) * 2.4)
            axes.plot(values, place + shift, ".", color=_colour(place), alpha=0.45, ms=4)
        if known:
            axes.boxplot(
                list(known.values()),
                orientation="horizontal",
                positions=range(len(known)),
                widths=0.5,
                showfliers=False,
                medianprops={"color": INK, "lw": 1.6},
            )
            axes.set_xlim(left=0)
        else:
            say(axes, "no reading with a known time yet")
        axes.set_yticks(range(len(known)), list(known))
        axes.set_ylim(len(known) - 0.4, -0.6)
        axes.grid(visible=True, axis="x")
        axes.set(xlabel="seconds a film", title="Time, with median and quartiles")
        return figure


def drift(turns: Sequence[Performance]) -> Figure:
    """Draw each reader's sensitivity and median seconds over the rounds."""
    names = sorted({one.reader for one in turns})
    rounds = sorted({one.round for one in turns if one.round is not None})
    with style():
        figure = Figure(figsize=(8.4, 3.2), dpi=DPI, layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, name in enumerate(names):
            mine = [one for one in turns if one.reader == name and one.round is not None]
            _line(left, number, mine, "sensitivity")
            _line(right, number, mine, "seconds")
        title = "Sensitivity on known cases, 95 % intervals"
        left.set(ylim=(-0.03, 1.03), title=title, xlabel="round")
        right.set(title="Median seconds a film", xlabel="round")
        right.set_ylim(0, 1.1 * right.get_ylim()[1])
        for axes in (left, right):
            axes.set_xticks(rounds)
            if rounds:  # a single round would be stretched over the whole width
                axes.set_xlim(rounds[0] - 0.5, rounds[-1] + 0.5)
            axes.grid(visible=True)
            if not names:
                say(axes, "nothing has been read yet")
        if names:
            right.legend(fontsize=7.5, framealpha=0.7, edgecolor="none")
        return figure


def automation(found: Automation) -> Figure:
    """Draw blind against pre-drawn readings, a panel per measure, the difference in its title."""
    with style():
        figure = Figure(figsize=(11, 3.0), dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(MEASURES))
        for axes, name in zip(panels, MEASURES, strict=True):
            _bars(axes, name, found)
        films = {name: arm.films for name, arm in arms(found).items()}
        figure.suptitle(
            f"{films['blind']} films read blind, {films['drawn']} with the model's boxes",
            fontsize=10,
        )
        return figure


def _bars(axes: Axes, name: str, found: Automation) -> None:
    values = [arm.means[name] for arm in arms(found).values()]
    axes.bar(
        ["blind", "pre-drawn"],
        [value or 0.0 for value in values],
        color=[GREY, COLOURS[0]],
        width=0.6,
    )
    for place, value in enumerate(values):
        text = "no film" if value is None else f"{value:.2f}"
        axes.annotate(text, (place, value or 0.0), ha="center", va="bottom", fontsize=8)
    change = found.differences[name]
    line = "" if change.value is None else f"{change.value:+.2f}"
    if change.low is not None and change.high is not None:
        line += f" [{change.low:+.2f}, {change.high:+.2f}]"
    axes.set_title(f"{MEASURES[name]}\n{line}", fontsize=8)
    axes.margins(y=0.15)
    if name == "agreement":  # a share: its bars must not look large because they are alone
        axes.set_ylim(0, 1)


def _line(axes: Axes, number: int, mine: Sequence[Performance], name: str) -> None:
    points = [one for one in mine if one.round is not None and getattr(one, name) is not None]
    # A little to the right for each reader, so that no interval hides another.
    places = [(one.round or 0) + 0.04 * number for one in points]
    values = [getattr(one, name) for one in points]
    colour, reader = _colour(number), mine[0].reader
    axes.plot(places, values, f"{_marker(number)}-", color=colour, label=reader)
    if name == "sensitivity":
        ends = ([one.low or 0.0 for one in points], [one.high or 0.0 for one in points])
        axes.vlines(places, *ends, color=colour, alpha=0.5)


def _colour(number: int) -> str:
    # Always beside a name or a marker of its own.
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]
