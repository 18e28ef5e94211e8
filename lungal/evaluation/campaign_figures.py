"""Pictures of what a simulated campaign chose and saved, drawn as `figures` draws."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lungal.evaluation.figures import COLOURS, GREY, INK, MARKERS, say, style
from lungal.records import CLASS_COLOURS, CLASSES

DPI = 150
WIDTH = 11.0
"""Inches: 1,650 pixels, so that text stays sharp on a page half as wide again as it is shown."""
REFERENCE = "#222222"
TOGETHER = ["low_together", "high_together"]
PANELS = {"films": "films", "boxes": "boxes", "seconds": "reading time"}


def savings(table: pd.DataFrame, share: float, coloured: Collection[tuple[str, str]]) -> Figure:
    """Draw what each arm saves with its interval, a panel per currency.

    A whole dot is a number; an open triangle points to where the number lies beyond what was
    measured. What lies beyond the axis is spelled beside a triangle at its edge, and what is no
    number is spelled alone. An arrow is an interval that goes on.

    Args:
        table: columns currency, share, arm, saving (in words), saving_from, saving_to, low, high,
            low_together, high_together.
        share: of the full-label score, the one drawn.
        coloured: currency and arm where it is coloured if its interval of all at once leaves zero
            out.
    """
    mine = table[np.isclose(table["share"].astype(float), share)]
    names = names_of(mine["arm"])
    with style():
        size = (WIDTH, 1.3 + 0.36 * max(1, len(names)))
        figure = Figure(figsize=size, dpi=DPI, layout="constrained")
        panels = figure.subplots(1, len(PANELS), sharey=True)
        for axes, (currency, title) in zip(panels, PANELS.items(), strict=True):
            rows = mine[mine["currency"] == currency].set_index("arm")
            _intervals(axes, rows, names, {arm for paid, arm in coloured if paid == currency})
            axes.set_title(title)
        panels[0].set_yticks(range(len(names)), names)
        panels[0].set_ylim(len(names) - 0.4, -0.6)
        if not names:
            say(panels[1], "savings cannot be told")
        figure.supxlabel(f"saved until {share:.0%} of the full-label score", fontsize=9)
        return figure


def gained(table: pd.DataFrame) -> Figure:
    """Draw how many true boxes of each class the films of each arm turned out to hold.

    Args:
        table: columns arm, class, boxes, films: means over seeds.
    """
    names = names_of(table["arm"])
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
            say(axes, "no film was chosen")
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        return figure


def chosen_scores(
    table: pd.DataFrame, *, reference: str | None, unscored: Collection[str]
) -> Figure:
    """Draw the scores of the films that were chosen, a panel per arm, a box per round.

    Scores of different arms are not of one scale; what can be seen is how they fall as the pool
    is used up.

    Args:
        table: columns arm, round, score.
        reference: the arm drawn black.
        unscored: arms that choose by no score, and have no panel.
    """
    played = names_of(table["arm"])
    names = [name for name in played if name not in unscored]
    columns = min(4, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    colours = palette(played, reference)
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
            say(panels[0, 0], "no film was chosen by a score")
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


def _intervals(
    axes: Axes, rows: pd.DataFrame, names: Sequence[str], coloured: Collection[str]
) -> None:
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
        said = str(rows.loc[name, "saving"])
        if start == -np.inf and end >= 1:
            axes.annotate(said, (0.02, place), va="center", fontsize=7.5, color="#555555")
            continue
        colour = _mood(*rows.loc[name, TOGETHER]) if name in coloured else GREY
        if not np.isnan(low):
            axes.hlines(place, max(low, left), min(high, right), color=colour, lw=2.2)
            if low < left:
                axes.plot([left + 0.02], [place], "<", color=colour, ms=6)
            if high >= 1:
                axes.plot([right - 0.02], [place], ">", color=colour, ms=6)
        nearest = start if start > -np.inf else end
        fill, edge = (colour, "white") if start == end else ("white", colour)
        marker = "o" if start == end else ">" if start > -np.inf else "<"
        if nearest < left:
            nearest, marker, edge = left + 0.02, "<", colour
            axes.annotate(
                said, (left, place), xytext=(11, 3), textcoords="offset points", fontsize=7.5
            )
        axes.plot([nearest], [place], marker, color=fill, ms=6, mec=edge, mew=1.2)


def _mood(low: float, high: float) -> str:
    return COLOURS[0] if low > 0 else COLOURS[1] if high < 0 else GREY


def _total(table: pd.DataFrame) -> float:
    totals = table.groupby("arm")["boxes"].sum().to_numpy(np.float64)
    return float(totals.max(initial=1.0))


def names_of(arms: "pd.Series[str]") -> list[str]:
    """Return the arms of a column, each once, as they first come."""
    return [str(name) for name in arms.drop_duplicates()]
