"""Stage evaluate: detections and truth to metrics, plots, the calibration and the run."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lungal.data.digests import sha256_of
from lungal.data.files import whole_folder, write_json
from lungal.data.films import film_paths, read_films
from lungal.data.labels import ground_truth, read_labels
from lungal.data.manifest import write_truth
from lungal.data.tables import as_csv
from lungal.evaluation import figures, plot_tables, report
from lungal.evaluation.calibration import Calibration, as_json
from lungal.evaluation.calibration_fit import fit_calibration
from lungal.evaluation.confusion import confusion
from lungal.evaluation.froc_figures import froc_figure
from lungal.evaluation.measures import Number, as_table
from lungal.params import EvaluateParams, Params
from lungal.records import CLASSES, Detections, GroundTruth, LabelledBox, Split
from lungal.tracking import Run
from lungal.tracking.registry import TEST_HASH, TEST_SCORE, detections_folder
from pipelines.examined import read_examined, read_model_run
from pipelines.gallery import choose_films, draw_gallery
from pipelines.round_run import round_run
from pipelines.stage import PATHS, run, track

SPLITS: tuple[Split, ...] = ("test", "val")
TRACKED: dict[Split, str] = {"test": "test", "val": "val_final"}
"""What a split's metrics are called in MLflow, where `val/...` are the training's curves."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A split: the films whose truth is known, what was seen on them, and how good it was."""

    truths: list[GroundTruth]
    detections: list[Detections]
    report: report.Report
    numbers: list[Number]


def evaluate(params: Params) -> None:
    """Judge the detections of the held-out films, write it down, draw it and log it."""
    labels = read_labels(PATHS.labels)
    films = {split: read_films_of(labels, split) for split in SPLITS}
    calibration = fit_calibration(*films["val"], iou=params.evaluate.working_iou)
    patients = dict(zip(labels["image_id"], labels["patient_id"], strict=True))
    judged = {
        split: judge(truths, detections, params.evaluate, patients, calibration)
        for split, (truths, detections) in films.items()
    }
    reports = {split: result.report for split, result in judged.items()}
    write_json(PATHS.metrics, summarise(reports))
    write_json(PATHS.calibration, as_json(calibration))
    with whole_folder(PATHS.plots) as folder:
        for name, content in draw(judged, params.evaluate).items():
            (folder / name).write_bytes(content)
    with round_run("evaluate", params) as tracked:
        log(tracked, reports, judged["test"].truths)


def summarise(reports: Mapping[Split, report.Report]) -> dict[str, Any]:
    """Return what people compare rounds by; the rest is in reports/plots/ and in the run."""
    model = read_model_run()
    classes = reports["test"]["classes"]
    return {
        "round": model.round,
        "model_version": model.model_version,
        "labelled_films": model.labelled_films,
        "labelled_boxes": model.labelled_boxes,
        **{split: report.headlines(metrics) for split, metrics in reports.items()},
        "test_ap40": {name: of_class.get("ap40") for name, of_class in classes.items()},
    }


def read_films_of(labels: pd.DataFrame, split: Split) -> tuple[list[GroundTruth], list[Detections]]:
    """Return the films of a split whose truth is known, and what was seen on them.

    Raises:
        StageOrderError: if one of them was not examined.
    """
    truths = ground_truth(labels, split)
    known = {truth.image_id for truth in truths}
    return truths, [film for film in read_examined(split, known) if film.image_id in known]


def judge(
    truths: list[GroundTruth],
    detections: list[Detections],
    params: EvaluateParams,
    patients: Mapping[str, str],
    calibration: Calibration,
) -> Judged:
    """Judge what was seen on films, before and after calibration."""
    found = report.evaluate(truths, detections, params, patients, calibration)
    return Judged(truths, detections, *found)


def draw(judged: Mapping[Split, Judged], params: EvaluateParams) -> dict[str, bytes]:
    """Return the plots by file name: tables for DVC, pictures for people."""
    test = judged["test"]
    score, iou = params.working_score, params.working_iou
    curves = plot_tables.curves_at(test.truths, test.detections, params.iou)
    precision = plot_tables.ap_table(test.report, params.iou)
    froc = plot_tables.froc_table(test.truths, test.detections, iou)
    counts = confusion(test.truths, test.detections, score=score, iou=iou)
    tables = {
        "average_precision": precision,
        "precision_recall": plot_tables.curve_table(curves),
        "froc": froc,
        "confusion": plot_tables.confusion_table(counts),
        "measures": pd.concat(
            {split: as_table(of_split.numbers) for split, of_split in judged.items()},
            names=["split", None],
        ).reset_index("split"),
    }
    boxes = [test.report["classes"][name]["boxes"] for name in CLASSES]
    macro = {iou: plot_tables.macro_interval(test.report, iou) for iou in params.iou}
    pictures = {
        "average_precision": figures.average_precision(precision, macro),
        "precision_recall": figures.precision_recall(curves, boxes),
        "froc": froc_figure(froc, iou),
        "confusion": figures.confusion(counts, score=score, iou=iou),
    }
    return (
        {f"{name}.csv": as_csv(table) for name, table in tables.items()}
        | {f"{name}.png": figures.encode_png(figure) for name, figure in pictures.items()}
        | gallery(test, params)
    )


def gallery(test: Judged, params: EvaluateParams) -> dict[str, bytes]:
    """Return the contact sheet by file name; none if params.gallery is 0 or there are no films."""
    shown = choose_films(test.truths, params)
    if not shown:
        return {}
    sheet = draw_gallery(
        track(read_films(film_paths(PATHS.manifest), shown), len(shown), "gallery"),
        {truth.image_id: truth for truth in test.truths},
        {film.image_id: film for film in test.detections},
        params.working_score,
    )
    return {"gallery.png": sheet}


def log(
    tracked: Run, reports: Mapping[Split, report.Report], truths: Sequence[GroundTruth]
) -> None:
    """Log the metrics, the plots, and what `lungal promote` compares models by."""
    for split, metrics in reports.items():
        tracked.log_metrics(report.flatten(metrics, f"{TRACKED[split]}/"))
    tracked.log_artifact(PATHS.metrics)
    tracked.log_artifact(PATHS.calibration)
    tracked.log_artifact(PATHS.plots)
    version = read_model_run().model_version
    tracked.log_artifact(PATHS.detections / "test.parquet", detections_folder(version))
    test_hash = log_truth(tracked, truths)
    scores = {name: value for name, value in reports["test"].items() if name.startswith("macro")}
    tags = {f"{TEST_SCORE}{name}": value for name, value in scores.items()}
    tracked.tag_model(version, tags | {TEST_HASH: test_hash})


def log_truth(tracked: Run, truths: Sequence[GroundTruth]) -> str:
    """Log the truth of the test films as truth/test.jsonl; return its SHA-256."""
    boxes = {
        truth.image_id: tuple(
            LabelledBox(CLASSES[label], *box)
            for label, box in zip(truth.labels, truth.boxes.tolist(), strict=True)
        )
        for truth in truths
    }
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "test.jsonl"
        write_truth(path, boxes)
        tracked.log_artifact(path, "truth")
        return sha256_of(path)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("evaluate", evaluate)


if __name__ == "__main__":
    raise SystemExit(main())
