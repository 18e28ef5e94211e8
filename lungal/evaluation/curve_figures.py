"""Learning curves of a simulated campaign, drawn as `lungal.evaluation.figures` draws."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lungal.evaluation.campaign_figures import DPI, REFERENCE, WIDTH, names_of, palette
from lungal.evaluation.figures import FAINT, INK, say, style
from lungal.records import CLASSES

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
    names = [arm for arm in names_of(mine["arm"]) if arm != reference]
    columns = 3 if len(names) in {3, 5, 6, 9} else min(4, max(1, len(names)))
    rows = max(1, -(-len(names) // columns))
    colours = palette(names_of(mine["arm"]), reference)
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
            say(panels[0, 0], "no other arm was played")
        panels[0, 0].set_ylim(*_reach(mine, full))
        figure.supxlabel(AXES[currency], fontsize=9)
        figure.supylabel("score", fontsize=9)
        return figure


def overview(
    curves: pd.DataFrame, *, reference: str | None, full: float, shares: Sequence[float]
) -> Figure:
    """Draw all arms' mean curves, a panel per currency; the arguments of `learning_curves`."""
    names = names_of(curves["arm"])
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
        _name_arms(figure, handles, labels)
        return figure


def class_curves(classes: pd.DataFrame, *, reference: str | None, full_arm: str) -> Figure:
    """Draw a panel per class with the mean score of each arm by films.

    Args:
        classes: columns arm, round, class, films, score; NaN where a class has no test boxes.
        reference: the arm drawn black.
        full_arm: the arm that is drawn as a level.
    """
    arms = classes[classes["arm"] != full_arm]
    names = names_of(arms["arm"])
    colours = palette(names, reference)
    with style():
        figure = Figure(figsize=(WIDTH, 5.8), dpi=DPI, layout="constrained")
        panels = figure.subplots(2, len(CLASSES) // 2, sharex=True)
        for axes, label in zip(panels.flat, CLASSES, strict=True):
            axes.set_title(label)
            axes.grid(visible=True)
            mine = arms[arms["class"] == label]
            if mine["score"].isna().all():
                say(axes, "no true boxes")
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
            _name_arms(figure, handles, labels)
        figure.supxlabel("films labelled", fontsize=9)
        figure.supylabel("score; line: all labels", fontsize=9)
        return figure


def _name_arms(figure: Figure, handles: Sequence[Artist], labels: Sequence[str]) -> None:
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=min(8, len(labels)),
        frameon=False,
        fontsize=9,
    )


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


def _legend_of(panels: Iterable[Axes]) -> tuple[list[Artist], list[str]]:
    for axes in panels:
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            return list(handles), [str(label) for label in labels]
    return [], []
