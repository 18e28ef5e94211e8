"""What the stage `select` chooses from: evidence on films that may be read next, and for what."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import pandas as pd

from lungal.acquisition.composition import Candidates
from lungal.acquisition.controls import times_used
from lungal.acquisition.difficulty import class_weights, difficulty
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.gathering import Calibrate, Reports, gather
from lungal.acquisition.strategies import LOOKS
from lungal.data.labels import films, ground_truth, pool
from lungal.data.manifest import read_manifest
from lungal.errors import LeakError
from lungal.evaluation.calibration import Calibration, calibrate_films
from lungal.evaluation.label_quality import rate_labels
from lungal.params import Params, ReadingParams, SelectParams
from lungal.reading.standing import standing
from lungal.records import Annotation, Detections, Role
from pipelines.examined import (
    read_calibration,
    read_committee,
    read_crossfit,
    read_examined,
    read_views,
)
from pipelines.stage import PATHS

LEGAL: Mapping[Role, str] = {
    "label": "pool in train",
    "control": "labelled in train by initial",
    "reread": "labelled in train",
    "adjudicate": "disputed in train",
}
"""What a film must be for each role."""


def find_candidates(
    labels: pd.DataFrame, log: Sequence[Annotation], params: Params, *, before: int
) -> Candidates:
    """Gather what may be read next, and what is known of it.

    Args:
        labels: the rows of data/labels.parquet.
        log: all events of the rounds before.
        params: of the project.
        before: the round to be selected.

    Raises:
        StageOrderError: if a film was not examined.
        LeakError: if a film was examined for the pool and is not in it.
    """
    disputed = labels[(labels["split"] == "train") & (labels["state"] == "disputed")]
    waiting = read_examined("pool", pool(labels))
    check_in_pool((film.image_id for film in waiting), labels)
    known = labels[(labels["split"] == "train") & (labels["origin"] == "initial")]
    labelled = films(labels, "train", "labelled")
    trained = read_examined("train", [*labelled, *disputed["image_id"]])
    calibration = read_calibration() if params.select.calibrate else Calibration()
    calibrate = partial(calibrate_films, calibration=calibration)
    measured = params.select.difficulty == "validation"
    reports = read_reports()
    return Candidates(
        pool=look_at_pool(waiting, calibrate, reports, params.select),
        trained=gather(trained, calibrate, reports),
        known=known["image_id"].tolist(),
        used=times_used(log, before),
        suspicious=find_suspicious(labels, log, params.reading),
        disputed=dict(zip(disputed["image_id"], disputed["agreement"], strict=True)),
        patients=dict(zip(labels["image_id"], labels["patient_id"], strict=True)),
        labelled=labelled,
        weights=measure_weights(labels, calibration) if measured else None,
    )


def measure_weights(labels: pd.DataFrame, calibration: Calibration) -> tuple[float, ...]:
    """Return what a doubt about each class counts, as difficult as it is on validation films.

    Raises:
        StageOrderError: if a validation film was not examined.
    """
    truths = ground_truth(labels, "val")
    seen = read_examined("val", [truth.image_id for truth in truths])
    return class_weights(difficulty(truths, calibrate_films(seen, calibration)))


def read_reports() -> Reports:
    """Return image_id to the findings that its report names, for films that have a report."""
    manifest = read_manifest(PATHS.manifest)
    return {
        image_id: frozenset(findings)
        for image_id, findings in zip(manifest["image_id"], manifest["findings"], strict=True)
        if findings is not None
    }


def look_at_pool(
    seen: Sequence[Detections], calibrate: Calibrate, reports: Reports, params: SelectParams
) -> dict[str, Evidence]:
    """Return image_id to what is known of each film, with the other looks that are made use of.

    Raises:
        StageOrderError: if a file with other looks is older than the labels.
    """
    names, look = [film.image_id for film in seen], LOOKS.get(params.strategy)
    return gather(
        seen,
        calibrate,
        reports,
        views=read_views(names) if look == "views" else None,
        committee=read_committee(names) if look == "committee" else None,
    )


def find_suspicious(
    labels: pd.DataFrame, log: Iterable[Annotation], params: ReadingParams
) -> list[str]:
    """Return the training films whose boxes look wrong, the most suspicious first.

    Films are not asked for again that two readers agree on, or that have been read again or
    adjudicated: a reader who was asked twice has answered.

    Raises:
        StageOrderError: if there are out-of-fold detections and not of all films.
    """
    detections = read_crossfit(films(labels, "train", "labelled"))
    if not detections:
        return []
    agreed = (labels["readers"] >= 2) & (labels["agreement"] >= params.adjudicate_below)
    asked = {read.image_id for read in standing(log) if read.role in ("reread", "adjudicate")}
    settled = asked | set(labels.loc[agreed, "image_id"])
    rated = rate_labels(ground_truth(labels, "train"), detections, params.iou)
    return [film.image_id for film in rated if film.suspicious and film.image_id not in settled]


def check_in_pool(examined: Iterable[str], labels: pd.DataFrame) -> None:
    """Refuse films that nobody may choose.

    Raises:
        LeakError: if a film is held out, already labelled, excluded or not known at all.
    """
    states = states_of(labels)
    for image_id in examined:
        if (state := states.get(image_id, "unknown")) != LEGAL["label"]:
            raise LeakError(f"film {image_id} is in the pool's detections and is {state}")


def states_of(labels: pd.DataFrame) -> dict[str, str]:
    """Return image_id to state, split and origin in words, as LEGAL has them."""
    columns = labels[["image_id", "split", "state", "origin"]]
    return {
        image_id: f"{state} in {split}" + (f" by {origin}" if origin else "")
        for image_id, split, state, origin in columns.itertuples(index=False)
    }
