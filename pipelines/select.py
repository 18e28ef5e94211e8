"""Stage select: the pool's detections to data/selection.csv, a row per film to be read."""

import logging
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from lungal.acquisition.audit import audit
from lungal.acquisition.selection import choose
from lungal.acquisition.strategies import build
from lungal.data.files import whole_file
from lungal.data.labels import pool, read_labels
from lungal.errors import LeakError
from lungal.params import Params, SelectParams
from lungal.records import Detections
from pipelines.examined import read_examined, read_model_run
from pipelines.stage import PATHS, run

logger = logging.getLogger(__name__)

COLUMNS = [
    "rank",
    "image_id",
    "patient_id",
    "score",
    "detections",
    "reason",
    "strategy",
    "seed",
    "round",
    "model_version",
]


def select(params: Params) -> None:
    """Choose the films to be read next, check the choice, and write it down."""
    labels = read_labels(PATHS.labels)
    detections = read_examined("pool", pool(labels))
    check_in_pool((film.image_id for film in detections), labels)
    patients = dict(zip(labels["image_id"], labels["patient_id"], strict=True))
    model = read_model_run()
    rows = select_films(detections, patients, params.select).assign(
        strategy=params.select.strategy,
        seed=params.select.seed,
        round=model["round"],
        model_version=model["model_version"],
    )
    with whole_file(PATHS.selection) as temporary:
        rows[COLUMNS].to_csv(temporary, index=False, lineterminator="\n", float_format="%.6f")
    _log(len(rows), len(detections), params.select)


def check_in_pool(examined: Iterable[str], labels: pd.DataFrame) -> None:
    """Refuse films that nobody may choose.

    Raises:
        LeakError: if a film is held out, already labelled, excluded or not known at all.
    """
    states = {
        image_id: f"{state} in {split}"
        for image_id, split, state in labels[["image_id", "split", "state"]].itertuples(index=False)
    }
    for image_id in examined:
        if (state := states.get(image_id, "unknown")) != "pool in train":
            raise LeakError(f"film {image_id} is in the pool's detections and is {state}")


def select_films(
    detections: Sequence[Detections], patients: Mapping[str, str], params: SelectParams
) -> pd.DataFrame:
    """Return a row (rank, image_id, patient_id, score, detections, reason) per chosen film.

    Raises:
        UnknownNameError: if there is no such strategy.
        SelectionError: if the choice does not follow the scores.
    """
    strategy = build(params)
    scores = {film.image_id: strategy(film) for film in detections}
    choices = choose(scores, patients, params.budget, one_per_patient=params.one_per_patient)
    audit(choices, scores, patients, params.budget, one_per_patient=params.one_per_patient)
    films = {film.image_id: film for film in detections}
    rows = [
        (
            choice.rank,
            choice.image_id,
            choice.patient_id,
            choice.score,
            len(films[choice.image_id].above(params.score_threshold)),
            choice.reason(len(films), strategy.explain(films[choice.image_id])),
        )
        for choice in choices
    ]
    return pd.DataFrame(rows, columns=COLUMNS[:6])


def _log(chosen: int, pool_size: int, params: SelectParams) -> None:
    if not pool_size:
        logger.info("the pool is empty: nothing is left to be read")
    elif pool_size <= params.budget:
        logger.info("budget %d, pool %d: the last films were chosen", params.budget, pool_size)
    if pool_size:
        logger.info("%d of %d films chosen by %s", chosen, pool_size, params.strategy)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("select", select)


if __name__ == "__main__":
    raise SystemExit(main())
