"""Stage select: what the model saw to data/selection.csv, a row per film to be read."""

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lungal.acquisition.batch import Place
from lungal.acquisition.composition import Candidates, compose
from lungal.acquisition.controls import times_used
from lungal.data.annotations import read_log
from lungal.data.files import whole_file
from lungal.data.labels import films, ground_truth, pool, read_labels
from lungal.errors import LeakError
from lungal.evaluation.label_quality import rate_labels
from lungal.params import Params, ReadingParams, SelectParams
from lungal.reading.standing import standing
from lungal.records import Annotation, Detections, Role
from pipelines.examined import read_crossfit, read_examined, read_model_run
from pipelines.stage import PATHS, run

logger = logging.getLogger(__name__)

COLUMNS = [
    "rank",
    "image_id",
    "patient_id",
    "score",
    "detections",
    "reason",
    "role",
    "blind",
    "readers",
    "strategy",
    "seed",
    "round",
    "model_version",
]
LEGAL: Mapping[Role, str] = {
    "label": "pool in train",
    "control": "labelled in train by initial",
    "reread": "labelled in train",
    "adjudicate": "disputed in train",
}
"""What a film must be for each role."""


def select(params: Params) -> None:
    """Choose the films to be read next, check the choice, and write it down."""
    labels = read_labels(PATHS.labels)
    model = read_model_run()
    candidates = find_candidates(labels, params, before=model["round"])
    places = compose(candidates, params.select, params.queue, number=model["round"])
    check_roles(places, labels)
    rows = pd.DataFrame([_row(place) for place in places], columns=COLUMNS[:9]).assign(
        strategy=params.select.strategy,
        seed=params.select.seed,
        round=model["round"],
        model_version=model["model_version"],
    )
    with whole_file(PATHS.selection) as temporary:
        rows[COLUMNS].to_csv(temporary, index=False, lineterminator="\n", float_format="%.6f")
    _log(places, len(candidates.pool), params.select)


def find_candidates(labels: pd.DataFrame, params: Params, *, before: int) -> Candidates:
    """Gather what may be read next.

    Args:
        labels: the rows of data/labels.parquet.
        params: of the project.
        before: the round to be selected; readings of this round and later ones change nothing.

    Raises:
        StageOrderError: if a film was not examined.
        LeakError: if a film was examined for the pool and is not in it.
    """
    disputed = labels[(labels["split"] == "train") & (labels["state"] == "disputed")]
    log = [event for event in read_log(PATHS.annotations) if event.round < before]
    waiting = read_examined("pool", pool(labels))
    check_in_pool((film.image_id for film in waiting), labels)
    known = labels[(labels["split"] == "train") & (labels["origin"] == "initial")]
    trained = [*films(labels, "train", "labelled"), *disputed["image_id"]]
    return Candidates(
        pool=_by_film(waiting),
        trained=_by_film(read_examined("train", trained)),
        known=known["image_id"].tolist(),
        used=times_used(log, before),
        suspicious=find_suspicious(labels, log, params.reading),
        disputed=dict(zip(disputed["image_id"], disputed["agreement"], strict=True)),
        patients=dict(zip(labels["image_id"], labels["patient_id"], strict=True)),
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
    states = _states(labels)
    for image_id in examined:
        if (state := states.get(image_id, "unknown")) != LEGAL["label"]:
            raise LeakError(f"film {image_id} is in the pool's detections and is {state}")


def check_roles(places: Iterable[Place], labels: pd.DataFrame) -> None:
    """Refuse films that may not be read for what they were chosen for.

    Raises:
        LeakError: if a film is held out, or is not what its role asks for.
    """
    states = _states(labels)
    for pick in (place.pick for place in places):
        state = states.get(pick.image_id, "unknown")
        if not state.startswith(legal := LEGAL[pick.role]):
            raise LeakError(
                f"film {pick.image_id} was chosen as {pick.role} and is {state}, not {legal}"
            )


def _states(labels: pd.DataFrame) -> dict[str, str]:
    columns = labels[["image_id", "split", "state", "origin"]]
    return {
        image_id: f"{state} in {split}" + (f" by {origin}" if origin else "")
        for image_id, split, state, origin in columns.itertuples(index=False)
    }


def _by_film(detections: Iterable[Detections]) -> dict[str, Detections]:
    return {film.image_id: film for film in detections}


def _row(place: Place) -> tuple[object, ...]:
    pick = place.pick
    film = (place.rank, pick.image_id, pick.patient_id, pick.score, pick.detections, place.reason)
    return (*film, pick.role, place.blind, place.readers)


def _log(places: Sequence[Place], pool_size: int, params: SelectParams) -> None:
    roles = Counter(place.pick.role for place in places)
    if not pool_size:
        logger.info("the pool is empty: no film is left to be read for the first time")
    elif roles["label"] == pool_size:
        logger.info("budget %d, pool %d: the last films were chosen", params.budget, pool_size)
    logger.info(
        "%d of %d films chosen by %s; %d known cases, %d re-readings, %d adjudications",
        roles["label"],
        pool_size,
        params.strategy,
        roles["control"],
        roles["reread"],
        roles["adjudicate"],
    )
    others = [place.pick.score for place in places if place.pick.role != "control"]
    controls = [place.pick.score for place in places if place.pick.role == "control"]
    if others and controls:
        gap = max(min(abs(score - other) for other in others) for score in controls)
        logger.info("each known case scores within %.2f of another film of the batch", gap)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("select", select)


if __name__ == "__main__":
    raise SystemExit(main())
