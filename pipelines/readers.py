"""Stage readers: log and truth to reports/readers.json, reports/readers/ and the run."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from lungal.data.annotations import read_log
from lungal.data.files import whole_folder, write_json
from lungal.data.manifest import read_truth
from lungal.data.tables import as_csv
from lungal.evaluation import reader_figures as draw
from lungal.evaluation.figures import encode_png
from lungal.evaluation.report import flatten
from lungal.params import Params
from lungal.reading.report import ReaderReport, as_json, report
from lungal.reading.tables import automation_table, reader_table, seconds_table
from lungal.records import Annotation
from lungal.tracking import Run
from pipelines.round_run import round_run
from pipelines.stage import PATHS, run, until_settled


def readers(params: Params) -> None:
    """Judge what has been read so far, write it down, draw it and log it."""
    until_settled(partial(read_log, PATHS.annotations), partial(judge, params))


def judge(params: Params, readings: list[Annotation]) -> None:
    """Judge readings, write down what is found, draw it and log it."""
    found = report(readings, read_truth(PATHS.truth), params.reading)
    summary = as_json(found)
    write_json(PATHS.readers, summary)
    with whole_folder(PATHS.readers_plots) as folder:
        for name, content in plots(found).items():
            (folder / name).write_bytes(content)
    with round_run("readers", params) as tracked:
        log(tracked, found, summary)


def plots(found: ReaderReport) -> dict[str, bytes]:
    """Return the plots by file name: tables for DVC, pictures for people."""
    tables = {
        "sensitivity": reader_table(found.readers),
        "drift": reader_table(found.drift),
        "blind": automation_table(found.automation),
        "seconds": seconds_table(found.seconds),
    }
    pictures = {
        "sensitivity": draw.sensitivity(found.readers),
        "drift": draw.drift(found.drift),
        "blind": draw.automation(found.automation),
        "seconds": draw.seconds(found.seconds),
    }
    return {f"{name}.csv": as_csv(table) for name, table in tables.items()} | {
        f"{name}.png": encode_png(figure) for name, figure in pictures.items()
    }


def log(tracked: Run, found: ReaderReport, summary: Mapping[str, Any]) -> None:
    """Log to the run of the model that the readings taught: all groups, and the last round read.

    The ledger's names stay the same from run to run, so that MLflow can compare rounds.
    """
    groups = {name: summary[name] for name in ("readers", "blind", "agreement")}
    metrics = flatten(groups)
    if found.ledger:
        last = found.ledger[-1]
        metrics |= flatten(summary["ledger"][f"round_{last.round}"], "ledger/")
        metrics["ledger/round"] = float(last.round)
    tracked.log_metrics(metrics)
    tracked.log_artifact(PATHS.readers)
    tracked.log_artifact(PATHS.readers_plots)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("readers", readers)


if __name__ == "__main__":
    raise SystemExit(main())
