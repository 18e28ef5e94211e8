"""Pictures of an evaluation. Only this module and its neighbours *_figures import matplotlib.

Figures are drawn without pyplot, on the Agg canvas, with matplotlib's own defaults: no global
state, no window, nobody's matplotlibrc, and equal numbers give equal bytes.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Figure  # for whoever keeps what is drawn here
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from lungal.boxes import Float64Array
from lungal.evaluation.bootstrap import LEVEL
from lungal.evaluation.confusion import AXIS
from lungal.evaluation.precision_recall import RECALLS
from lungal.records import CLASS_COLOURS, CLASSES

DPI = 110
INK, FAINT, NIGHT = "#222222", "#C9C9C9", "#15181C"
STYLE: Any = {  # matplotlib types its keys as a Literal of hundreds
    "font.size": 9,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "grid.color": "#EAEAEA",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
}
GREY = "#8A8A8A"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#785EF0", "#8A6B2E")
"""Of what has no colour by itself, in turn. Okabe and Ito's (2008), their yellow, too faint for a
line, made violet and brown."""
MARKERS = "os^DvP*X"
LINES = ("-", "--", ":", "-.")


@contextmanager
def style() -> Iterator[None]:
    """Draw with our style and nobody's matplotlibrc, and leave matplotlib as it was."""
    with mpl.rc_context():
        mpl.rcdefaults()
        with mpl.rc_context(STYLE):
            yield


def encode_png(figure: Figure) -> bytes:
    """Return a figure as PNG; the same figure gives the same bytes (no version, no date)."""
    picture = io.BytesIO()
    options = {"compress_level": 9}
    with style():
        figure.savefig(picture, format="png", metadata={"Software": None}, pil_kwargs=options)
    return picture.getvalue()


def say(axes: Axes, words: str) -> None:
    """Write in an empty panel why it is empty."""
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=GREY)


def precision_recall(curves: Mapping[float, Float64Array], boxes: Sequence[int]) -> Figure:
    """Draw a panel per class with its precision-recall curve at each IoU.

    Args:
        curves: IoU to (C, 101) float64, NaN rows without truth.
        boxes: C, number of true boxes, shown in the titles.
    """
    with style():
        figure = Figure(figsize=(11, 5.4), dpi=DPI, layout="constrained")
        panels = figure.subplots(2, len(CLASSES) // 2, sharex=True, sharey=True)
        for label, (axes, name) in enumerate(zip(panels.flat, CLASSES, strict=True)):
            _curve_panel(axes, label, curves)
            axes.set_title(f"{name}  ({boxes[label]})")
        figure.supxlabel("recall", fontsize=9)
        figure.supylabel("precision", fontsize=9)
        return figure


def _curve_panel(axes: Axes, label: int, curves: Mapping[float, Float64Array]) -> None:
    axes.set(xlim=(0, 1), ylim=(0, 1.03))
    axes.grid(visible=True)
    for number, (iou, of_classes) in enumerate(curves.items()):
        curve = of_classes[label]
        if np.isnan(curve[0]):
            axes.text(0.5, 0.5, "no true boxes", ha="center", color="#888888")
            return
        caption = f"IoU {iou:g}: AP {curve.mean():.3f}"
        line = LINES[number % len(LINES)]
        axes.fill_between(RECALLS, curve, color=CLASS_COLOURS[label], alpha=0.35, lw=0)
        axes.plot(RECALLS, curve, line, color=INK, lw=1.2, label=caption)
    axes.legend(loc="upper right", fontsize=7.5, framealpha=0.7, edgecolor="none")


def average_precision(table: pd.DataFrame, macro: Mapping[float, Sequence[float]]) -> Figure:
    """Draw a bar per class and IoU with its interval, and the macro average below them.

    Args:
        table: columns class, iou, ap, low, high (`plot_tables.ap_table`).
        macro: IoU to value, low and high of the macro AP.
    """
    names = [name for name in CLASSES if name in set(table["class"])]
    with style():
        figure = Figure(figsize=(8, 1.2 + 0.55 * len(names)), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        thickness = 0.8 / max(1, len(macro))
        for number, (iou, ends) in enumerate(macro.items()):
            rows = table[table["iou"] == iou].set_index("class").loc[names, ["ap", "low", "high"]]
            values = np.vstack([rows.to_numpy(np.float64), np.array(ends, np.float64)])
            places = np.arange(len(values)) + (number - (len(macro) - 1) / 2) * thickness
            colours = [CLASS_COLOURS[CLASSES.index(name)] for name in names] + ["#555555"]
            axes.barh(
                places, values[:, 0], 0.86 * thickness, color=colours, alpha=1 - 0.28 * number
            )
            axes.hlines(places, values[:, 1], values[:, 2], color=INK, lw=1)
            for place, (value, _, high) in zip(places, values, strict=True):
                axes.text(high + 0.008, place, f"{value:.3f}", va="center", fontsize=6.5)
        axes.set_yticks(np.arange(len(names) + 1), [*names, "macro average"])
        axes.invert_yaxis()
        axes.set(xlim=(0, 1.06), xlabel=f"average precision, with its {100 * LEVEL:g} % interval")
        axes.set_title(f"top to bottom in each group: IoU {', '.join(f'{iou:g}' for iou in macro)}")
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        return figure


def confusion(counts: NDArray[np.int64], *, score: float, iou: float) -> Figure:
    """Draw the confusion matrix: numbers are counts, shades are shares of the row.

    Args:
        counts: (C + 1, C + 1) int64, rows actual, columns predicted.
        score: the working point, for the title.
        iou: the same.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with style():
        figure = Figure(figsize=(7.4, 6.6), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, column in np.ndindex(*counts.shape):
            dark = shares[row, column] > 0.55
            value = counts[row, column]
            axes.text(
                column,
                row,
                str(value) if value else "·",
                ha="center",
                va="center",
                color="white" if dark else INK if value else FAINT,
            )
        edge = len(CLASSES) - 0.5
        axes.axhline(edge, color=INK, lw=0.8)
        axes.axvline(edge, color=INK, lw=0.8)
        axes.set_xticks(range(len(AXIS)), AXIS, rotation=40, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(AXIS)), AXIS)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set(xlabel="predicted", ylabel="actual")
        axes.set_title(f"detections from score {score:g}, IoU {iou:g}; shade: share of the row")
        return figure


LEGEND_WIDTH = 1080
"""Of a contact sheet's legend in one line, pixels."""


def contact_sheet(
    films: Sequence[NDArray[np.uint8]],
    titles: Sequence[str],
    *,
    columns: int = 4,
    detections: bool = True,
) -> Figure:
    """Lay films with boxes drawn on them out on a sheet, pixel for pixel, with a legend.

    Args:
        films: N >= 1 times (S, S, 3) uint8 RGB, truth drawn as whole boxes, detections as corners.
        titles: N lines to stand above the films.
        columns: films in a row.
        detections: whether there are any for the legend to explain.
    """
    side = films[0].shape[0]
    rows = -(-len(films) // columns)
    gap, head = 8, 20
    width = columns * (side + gap) + gap
    lines = -(-LEGEND_WIDTH // width)
    top = 16 + 18 * lines
    height = rows * (side + head + gap) + top
    with style():
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=NIGHT)
        for number, (film, title) in enumerate(zip(films, titles, strict=True)):
            x = gap + (number % columns) * (side + gap)
            y = top + (number // columns) * (side + head + gap) + head
            figure.figimage(film, xo=x, yo=height - y - side)
            place = (x / width, 1 - (y - 6) / height)
            figure.text(*place, title, color="#DDDDDD", fontsize=7.5, va="baseline")
        _sheet_legend(figure, lines, detections=detections)
        return figure


def _sheet_legend(figure: Figure, lines: int, *, detections: bool) -> None:
    handles = [
        Line2D([], [], marker="s", ls="", color=colour, markersize=7, label=name)
        for name, colour in zip(CLASSES, CLASS_COLOURS, strict=True)
    ]
    handles.append(_key("s", "whole box: truth"))
    if detections:
        handles.append(_key("$\\ulcorner\\lrcorner$", "corners: detection"))
    legend = figure.legend(
        handles=handles,
        loc="upper center",
        ncols=-(-len(handles) // lines),
        frameon=False,
        fontsize=8,
        handletextpad=0.2,
        columnspacing=1.2,
        borderaxespad=0.3,
    )
    for text in legend.get_texts():
        text.set_color("#DDDDDD")


def _key(marker: str, label: str) -> Line2D:
    key = Line2D([], [], marker=marker, ls="", color="#DDDDDD", fillstyle="none", label=label)
    key.set_markersize(9)
    key.set_markeredgewidth(1.3)
    return key
