"""Pictures: the same numbers give the same bytes, whatever matplotlib's settings."""

import io
import json
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from made_up_films import made_up
from PIL import Image as Picture

from lungal.evaluation import figures, plot_tables, report
from lungal.evaluation.confusion import confusion
from lungal.evaluation.froc_figures import froc_figure
from lungal.evaluation.measures import ALL
from lungal.params import EvaluateParams
from lungal.records import CLASS_COLOURS, CLASSES

PARAMS = EvaluateParams(bootstrap=5)


@pytest.fixture(scope="module")
def films():
    return made_up(np.random.default_rng(2), films=20, classes=np.arange(6))


def curves(films):
    return figures.precision_recall(plot_tables.curves_at(*films, PARAMS.iou), [3] * 8)


def bars(films):
    judged, _ = report.evaluate(*films, PARAMS)
    macro = {iou: plot_tables.macro_interval(judged, iou) for iou in PARAMS.iou}
    return figures.average_precision(plot_tables.ap_table(judged, PARAMS.iou), macro)


def froc(films):
    return froc_figure(plot_tables.froc_table(*films, 0.4), 0.4)


def matrix(films):
    return figures.confusion(confusion(*films, score=0.3, iou=0.4), score=0.3, iou=0.4)


def sheet(films):
    rng = np.random.default_rng(0)
    tiles = [rng.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(5)]
    return figures.contact_sheet(tiles, [f"film {k}" for k in range(5)])


@pytest.mark.parametrize("draw", [curves, bars, froc, matrix, sheet])
def test_the_same_bytes_whatever_the_settings(draw, films):
    first = figures.encode_png(draw(films))
    with mpl.rc_context({"font.size": 20, "savefig.dpi": 33, "axes.facecolor": "red"}):
        assert figures.encode_png(draw(films)) == first
        assert mpl.rcParams["font.size"] == 20
    assert "Software" not in Picture.open(io.BytesIO(first)).info


@pytest.mark.parametrize("draw", [curves, bars, froc, matrix])
def test_no_films_are_drawn_too(draw):
    assert figures.encode_png(draw(([], []))).startswith(b"\x89PNG")


def test_films_lie_on_the_sheet_pixel_for_pixel():
    film = np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8)
    png = figures.encode_png(figures.contact_sheet([film], ["film"]))
    picture = np.asarray(Picture.open(io.BytesIO(png)).convert("RGB"))
    windows = np.lib.stride_tricks.sliding_window_view(picture, (64, 64, 3))[:, :, 0]
    assert (windows == film).all(axis=(2, 3, 4)).any()


@pytest.mark.parametrize("detections", [True, False])
def test_the_legend_of_a_sheet_explains_what_is_drawn(detections):
    film = np.zeros((64, 64, 3), np.uint8)
    (legend,) = figures.contact_sheet([film], ["film"], detections=detections).legends
    said = {text.get_text() for text in legend.get_texts()}
    drawn = {"whole box: truth", *(["corners: detection"] if detections else [])}
    assert said == {*CLASSES, *drawn}


@pytest.mark.parametrize("template", ["precision_recall", "average_precision"])
def test_dvc_draws_the_classes_in_the_same_colours(template):
    path = Path(__file__).parents[2] / ".dvc" / "plots" / f"{template}.json"
    text = json.dumps(json.loads(path.read_text(encoding="utf-8")))
    scale = {"domain": list(CLASSES), "range": list(CLASS_COLOURS)}
    assert json.dumps(scale) in text


def test_dvc_draws_froc_curves_in_the_same_colours_too():
    path = Path(__file__).parents[2] / ".dvc" / "plots" / "froc.json"
    scale = json.loads(path.read_text(encoding="utf-8"))["spec"]["encoding"]["color"]["scale"]
    assert scale["domain"] == [ALL, *CLASSES]
    assert scale["range"] == [figures.INK, *CLASS_COLOURS]
