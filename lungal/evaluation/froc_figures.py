"""The picture of the FROC curves."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lungal.evaluation.figures import DPI, INK, style
from lungal.evaluation.froc import RATES
from lungal.evaluation.measures import ALL
from lungal.evaluation.plot_tables import MOST_FALSE_POSITIVES
from lungal.records import CLASS_COLOURS, CLASSES

FEWEST = 0.05
"""False positives a film where the axis begins, as a logarithm cannot show none."""


def froc_figure(table: pd.DataFrame, iou: float) -> Figure:
    """Draw the FROC curve of each class and of all boxes under one threshold.

    Args:
        table: columns class, false_positives, sensitivity (`plot_tables.froc_table`).
        iou: overlap of a hit, for the title.
    """
    colours = dict(zip(CLASSES, CLASS_COLOURS, strict=True)) | {ALL: INK}
    with style():
        figure = Figure(figsize=(7.6, 4.6), dpi=DPI, layout="constrained")
        axes = figure.subplots()
        axes.set_xscale("log")
        ticks = [*RATES, MOST_FALSE_POSITIVES]
        axes.set_xticks(ticks, [f"{rate:g}" for rate in ticks])
        axes.set_xticks([], minor=True)
        axes.grid(visible=True)
        for name, rows in table.groupby("class", sort=False):
            points = rows[["false_positives", "sensitivity"]].to_numpy(np.float64)
            x, y = np.vstack([[FEWEST, 0.0], points]).T
            # A step that comes before the axis begins is drawn where it begins.
            axes.step(
                np.maximum(x, FEWEST),
                y,
                where="post",
                color=colours[str(name)],
                lw=2.2 if name == ALL else 1.4,
                label=name,
            )
        axes.set(xlim=(FEWEST, MOST_FALSE_POSITIVES), ylim=(0, 1.02))
        axes.set(xlabel="false positives a film, of the curve's own class", ylabel="sensitivity")
        axes.set_title(f"FROC at IoU {iou:g}")
        if len(table):
            axes.legend(loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, edgecolor="none")
        else:
            axes.text(0.5, 0.5, "no true boxes", ha="center", transform=axes.transAxes)
        return figure
