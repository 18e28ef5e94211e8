"""Pictures of a simulated campaign, drawn as `lungal.evaluation.figures` draws."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lungal.evaluation.figures import FAINT, INK, style
from lungal.records import CLASS_COLOURS, CLASSES

DPI = 150
WIDTH = 11.0
"""Inches: 1,650 pixels, so that text stays sharp on a page half as wide again as it is shown."""
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#785EF0", "#8A6B2E")
"""Okabe and Ito's (2008), their yellow, too faint for a line, made violet and brown."""
MARKERS = "os^DvP*X"
GREY = "#8A8A8A"
REFERENCE = "#222222"
AXES = {
    "films": "films labelled",
    "boxes": "boxes drawn on them",
    "seconds": "hours of reading",
}
UNITS = {"films": 1.0, "boxes": 1.0, "seconds": 3600.0}


def learning_curves(
    curves: pd.DataFrame,
    currency: str,
    *,
    reference: str | None,
    full: float,
    shares: Sequence[float],
) -> Figure:
    """Draw a panel per arm: its mean curve with its band, the reference's, the others' faint.

    Args:
        curves: columns arm, currency, round, budget, score, low, high.
        currency: films, boxes or seconds.
        reference: the arm that is drawn black in all panels; None: none.
        full: full-label score; NaN: not measured.
        shares: of it, drawn as levels.
    """
    mine = curves[curves["currency"] == currency]
    names = [arm for arm in _names(mine["arm"]) if arm != reference]
    columns = 3 if len(names) in {3, 5, 6, 9} else min(4, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    colours = palette(_names(mine["arm"]), reference)
    with style():
        size = (WIDTH, 0.5 + 2.7 * rows)
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        for place, axes in enumerate(panels.flat):
            if place >= len(names):
                axes.set_visible(False)
                continue
            for other in names:
                _line(axes, mine, other, currency, color=FAINT, lw=0.9)
            _levels(axes, full, shares)
            if reference is not None:
                _line(axes, mine, reference, currency, color=REFERENCE, lw=1.3, ls="--")
            _banded(axes, mine, names[place], currency, *colours[names[place]])
            axes.set_title(names[place])
            axes.xaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_tick_params(labelbottom=place + columns >= len(names))
        if not names:
            _say(panels[0, 0], "no other arm was played")
        panels[0, 0].set_ylim(*_reach(mine, full))
        figure.supxlabel(AXES[currency], fontsize=9)
        figure.supylabel("score", fontsize=9)
        return figure


def overview(
    curves: pd.DataFrame, *, reference: str | None, full: float, shares: Sequence[float]
) -> Figure:
    """Draw all arms' mean curves, a panel per currency; the arguments of `learning_curves`."""
    names = _names(curves["arm"])
    colours = palette(names, reference)
    with style():
        figure = Figure(figsize=(WIDTH, 4.6), dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axes, currency in zip(panels, AXES, strict=True):
            mine = curves[curves["currency"] == currency]
            _levels(axes, full, shares)
            for name in names:
                colour, marker = colours[name]
                dashed = "--" if name == reference else "-"
                _line(
                    axes,
                    mine,
                    name,
                    currency,
                    color=colour,
                    marker=marker,
                    ls=dashed,
                    lw=1.5,
                    ms=4,
                    label=name,
                )
            axes.set_xlabel(AXES[currency])
            axes.xaxis.set_major_locator(MaxNLocator(6))
        panels[0].set(ylabel="score", ylim=_reach(curves, full))
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=min(8, len(labels)),
            frameon=False,
            fontsize=9,
        )
        return figure


def class_curves(classes: pd.DataFrame, *, reference: str | None, full_arm: str) -> Figure:
    """Draw a panel per class with the mean score of each arm by films.

    Args:
        classes: columns arm, round, class, films, score; NaN where a class has no test boxes.
        reference: the arm drawn black.
        full_arm: the arm that is drawn as a level.
    """
    arms = classes[classes["arm"] != full_arm]
    names = _names(arms["arm"])
    colours = palette(names, reference)
    with style():
        figure = Figure(figsize=(WIDTH, 5.8), dpi=DPI, layout="constrained")
        panels = figure.subplots(2, len(CLASSES) // 2, sharex=True)
        for axes, label in zip(panels.flat, CLASSES, strict=True):
            axes.set_title(label)
            axes.grid(visible=True)
            mine = arms[arms["class"] == label]
            if mine["score"].isna().all():
                _say(axes, "no true boxes")
                continue
            of_full = classes[(classes["arm"] == full_arm) & (classes["class"] == label)]
            for level in of_full["score"].to_numpy(np.float64)[:1]:
                axes.axhline(float(level), color=INK, lw=0.9)
            for name in names:
                rows = mine[mine["arm"] == name].sort_values("round")
                dashed = "--" if name == reference else "-"
                colour, marker = colours[name]
                axes.plot(
                    rows["films"],
                    rows["score"],
                    dashed,
                    marker=marker,
                    color=colour,
                    lw=1.2,
                    ms=3,
                    label=name,
                )
            axes.xaxis.set_major_locator(MaxNLocator(4))
        handles, labels = _legend_of(panels.flat)
        if handles:
            figure.legend(
                handles,
                labels,
                loc="outside upper center",
                ncols=min(8, len(labels)),
                frameon=False,
                fontsize=9,
            )
        figure.supxlabel("films labelled", fontsize=9)
        figure.supylabel("score; line: all labels", fontsize=9)
        return figure


def savings(table: pd.DataFrame, share: float) -> Figure:
    """Draw what each arm saves with its interval, a panel per currency.

    A whole dot is a number; a triangle points to where the number lies beyond what was measured.
    An arrow is an interval without an end.

    Args:
        table: columns currency, share, arm, saving_from, saving_to, low, high.
        share: of the full-label score, the one drawn.
    """
    mine = table[np.isclose(table["share"].astype(float), share)]
    names = _names(mine["arm"])
    with style():
        size = (WIDTH, 1.3 + 0.36 * max(1, len(names)))
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(AXES), sharey=True)
        for axes, currency in zip(panels, AXES, strict=True):
            rows = mine[mine["currency"] == currency].set_index("arm")
            _intervals(axes, rows, names)
            axes.set_title({"seconds": "reading time"}.get(currency, currency))
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        if not names:
            _say(panels[1], "savings cannot be told")
        figure.supxlabel(f"saved until {share:.0%} of the full-label score", fontsize=9)
        return figure


def gained(table: pd.DataFrame) -> Figure:
    """Draw how many true boxes of each class the films of each arm turned out to hold.

    Args:
        table: columns arm, class, boxes, films: means over seeds.
    """
    names = _names(table["arm"])
    with style():
        size = (WIDTH, 1.4 + 0.36 * max(1, len(names)))
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        axes = figure.subplots()
        ends = np.zeros(len(names))
        for label, colour in zip(CLASSES, CLASS_COLOURS, strict=True):
            boxes = table[table["class"] == label].set_index("arm")["boxes"]
            widths = boxes.reindex(names, fill_value=0.0).to_numpy(np.float64)
            axes.barh(
                names, widths, left=ends, color=colour, height=0.7, label=label, ec="white", lw=0.6
            )
            for place, (start, width) in enumerate(zip(ends, widths, strict=True)):
                if width > 0.035 * _total(table):
                    middle = (start + width / 2, place)
                    axes.annotate(f"{width:.0f}", middle, ha="center", va="center", fontsize=7.5)
            ends += widths
        for place, end in enumerate(ends):
            axes.annotate(f" {end:.0f}", (end, place), va="center", fontsize=8.5, weight="bold")
        axes.set_xlabel("true boxes on the films chosen, mean of the seeds")
        if names:
            axes.set_ylim(len(names) - 0.4, -0.6)
            figure.legend(loc="outside upper center", ncols=len(CLASSES), frameon=False, fontsize=9)
        else:
            _say(axes, "no film was chosen")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return figure


def chosen_scores(table: pd.DataFrame, *, reference: str | None) -> Figure:
    """Draw the scores of the films that were chosen, a panel per arm, a box per round.

    Scores of different arms are not of one scale; what can be seen is how they fall as the pool
    is used up.

    Args:
        table: columns arm, round, score.
        reference: the arm drawn black.
    """
    names = _names(table["arm"])
    columns = min(4, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    colours = palette(names, reference)
    with style():
        figure = Figure(figsize=(WIDTH, 0.5 + 1.9 * rows), dpi=DPI, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False)
        for place, axes in enumerate(panels.flat):
            if place >= len(names):
                axes.set_visible(False)
                continue
            mine = table[table["arm"] == names[place]].dropna(subset=["score"])
            rounds = np.unique(mine["round"].to_numpy(np.int64))
            if len(rounds):
                axes.boxplot(
                    [mine["score"][mine["round"] == number].to_numpy() for number in rounds],
                    positions=rounds.tolist(),
                    tick_labels=[str(number) for number in rounds],
                    widths=0.55,
                    sym="",
                    patch_artist=True,
                    boxprops={"facecolor": colours[names[place]][0], "alpha": 0.45},
                    medianprops={"color": INK, "lw": 1.6},
                )
            axes.set_title(names[place])
            axes.grid(visible=True, axis="y")
        if not names:
            _say(panels[0, 0], "no film was chosen")
        figure.supxlabel("round", fontsize=9)
        figure.supylabel("score of the films chosen", fontsize=9)
        return figure


def palette(names: Sequence[str], reference: str | None) -> Mapping[str, tuple[str, str]]:
    """Return a colour and a marker for each arm; black and a small dot for the reference."""
    others = [name for name in names if name != reference]
    found = {
        name: (COLOURS[place % len(COLOURS)], MARKERS[(place + place // 8) % len(MARKERS)])
        for place, name in enumerate(others)
    }
    if reference is not None:
        found[reference] = (REFERENCE, ".")
    return found


def _line(axes: Axes, curves: pd.DataFrame, arm: str, currency: str, **how: object) -> None:
    rows = curves[curves["arm"] == arm].sort_values("round")
    axes.plot(rows["budget"] / UNITS[currency], rows["score"], **how)  # type: ignore[arg-type]


def _banded(
    axes: Axes, curves: pd.DataFrame, arm: str, currency: str, colour: str, marker: str
) -> None:
    rows = curves[curves["arm"] == arm].sort_values("round")
    budgets = rows["budget"] / UNITS[currency]
    axes.fill_between(budgets, rows["low"], rows["high"], color=colour, alpha=0.22, lw=0)
    axes.plot(budgets, rows["score"], color=colour, marker=marker, lw=1.8, ms=4)


def _levels(axes: Axes, full: float, shares: Iterable[float]) -> None:
    if np.isnan(full):
        return
    levels = [(full, "all labels", 1.1), *((share * full, f"{share:.0%}", 0.5) for share in shares)]
    for level, name, width in levels:
        axes.axhline(level, color=INK, lw=width, ls="-" if width > 1 else (0, (1, 2)))
        axes.annotate(
            name,
            (0.005, level),
            xycoords=("axes fraction", "data"),
            va="bottom",
            fontsize=7,
            color="#555555",
        )


def _reach(curves: pd.DataFrame, full: float) -> tuple[float, float]:
    low, high = float(curves["score"].min()), float(curves["score"].max())
    high = max(high, full) if not np.isnan(full) else high
    room = max(0.01, 0.06 * (high - low))
    return max(0.0, low - room), min(1.02, high + 1.6 * room)


def _intervals(axes: Axes, rows: pd.DataFrame, names: Sequence[str]) -> None:
    columns = ["low", "high", "saving_from", "saving_to"]
    bounds = rows[columns].reindex(list(names)).to_numpy(np.float64)
    least = bounds[np.isfinite(bounds)].min(initial=-0.1)
    left, right = max(-1.5, 1.1 * float(least)), 1.0
    axes.axvline(0, color=REFERENCE, lw=1)
    axes.set_xlim(left, right)
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.xaxis.set_major_locator(MaxNLocator(6))
    for place, name in enumerate(names):
        if name not in rows.index:
            continue
        low, high, start, end = (float(value) for value in bounds[place])
        colour = COLOURS[0] if low > 0 else COLOURS[1] if high < 0 else GREY
        if low < left and high >= 1 and start < left and end >= 1:
            axes.annotate("not reached", (0.02, place), va="center", fontsize=7.5, color="#555555")
            continue
        if not np.isnan(low):
            axes.hlines(place, max(low, left), min(high, right), color=colour, lw=2.2)
            if low < left:
                axes.plot([left + 0.02], [place], "<", color=colour, ms=6)
            if high >= 1:
                axes.plot([right - 0.02], [place], ">", color=colour, ms=6)
        if start == end and left <= start:
            axes.plot([start], [place], "o", color=colour, ms=6, mec="white")
        elif start > -np.inf:
            axes.plot([max(start, left)], [place], ">", color="white", ms=6, mec=colour, mew=1.4)
        elif end < 1:
            axes.plot([max(end, left)], [place], "<", color="white", ms=6, mec=colour, mew=1.4)


def _legend_of(panels: Iterable[Axes]) -> tuple[list[Artist], list[str]]:
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            return list(handles), [str(label) for label in labels]
    return [], []


def _total(table: pd.DataFrame) -> float:
    totals = table.groupby("arm")["boxes"].sum().to_numpy(np.float64)
    return float(totals.max(initial=1.0))


def _names(arms: "pd.Series[str]") -> list[str]:
    return [str(name) for name in arms.drop_duplicates()]


def _say(axes: Axes, words: str) -> None:
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=GREY)
