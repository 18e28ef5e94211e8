"""Stage select: what the model saw to data/selection.csv, a row per film to be read."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from lungal.acquisition.batch import Place
from lungal.acquisition.composition import compose
from lungal.acquisition.pool import Choice, spell_components
from lungal.acquisition.strategies import LOOKS
from lungal.data.annotations import read_log
from lungal.data.digests import sha256_of
from lungal.data.files import whole_file
from lungal.data.labels import read_labels
from lungal.data.model_run import ModelRun
from lungal.errors import LeakError
from lungal.params import Params, SelectParams
from lungal.records import CLASSES, Annotation
from pipelines.candidates import LEGAL, find_candidates, states_of
from pipelines.examined import read_model_run
from pipelines.stage import PATHS, run, until_settled

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
    "choice",
    "components",
    "strategy",
    "selector",
    "seed",
    "round",
    "model_version",
    "data_hash",
]
PER_FILM = COLUMNS[:11]
"""What differs from film to film; the rest is the receipt of the batch."""


def select(params: Params) -> None:
    """Choose the films to be read next, check the choice, and write it down."""
    # Readings of the round to be selected and of later ones change nothing.
    model = read_model_run()
    until_settled(
        lambda: [event for event in read_log(PATHS.annotations) if event.round < model.round],
        partial(select_after, params, model),
    )


def select_after(params: Params, model: ModelRun, log: Sequence[Annotation]) -> None:
    """Choose films after the readings of a log."""
    labels = read_labels(PATHS.labels)
    candidates = find_candidates(labels, log, params, before=model.round)
    places = compose(candidates, params.select, params.queue, number=model.round)
    check_roles(places, labels)
    rows = pd.DataFrame([_row(place) for place in places], columns=PER_FILM).assign(
        strategy=params.select.strategy,
        selector=params.select.selector,
        seed=params.select.seed,
        round=model.round,
        model_version=model.model_version,
        data_hash=hash_files(*chosen_from(params.select)),
    )
    rows["choice"] = rows["choice"].astype("Int64")  # whole numbers, and gaps
    with whole_file(PATHS.selection) as temporary:
        rows[COLUMNS].to_csv(temporary, index=False, lineterminator="\n", float_format="%.6f")
    _log(places, len(candidates.pool), params.select)


def chosen_from(params: SelectParams) -> list[Path]:
    """Return the files that decide what is chosen. No truth is in any of them."""
    parts = ["pool", "train", "crossfit", *(["val"] if params.difficulty == "validation" else [])]
    calibration = [PATHS.calibration] if params.calibrate else []
    folders = {"views": PATHS.views, "committee": PATHS.committee}
    look = LOOKS.get(params.strategy)
    return [
        PATHS.manifest,
        *calibration,
        *(PATHS.detections / f"{part}.parquet" for part in parts),
        *(sorted(folders[look].iterdir()) if look else []),
    ]


def hash_files(*files: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of the SHA-256 of files."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(bytes.fromhex(sha256_of(path)))
    return digest.hexdigest()[:16]


def check_roles(places: Iterable[Place], labels: pd.DataFrame) -> None:
    """Refuse films that may not be read for what they were chosen for.

    Raises:
        LeakError: if a film is held out, or is not what its role asks for.
    """
    states = states_of(labels)
    for pick in (place.pick for place in places):
        state = states.get(pick.image_id, "unknown")
        if not state.startswith(legal := LEGAL[pick.role]):
            raise LeakError(
                f"film {pick.image_id} was chosen as {pick.role} and is {state}, not {legal}"
            )


def _row(place: Place) -> tuple[object, ...]:
    pick = place.pick
    film = (place.rank, pick.image_id, pick.patient_id, pick.score, pick.detections, place.reason)
    chosen = None if pick.choice is None else pick.choice.rank
    return (*film, pick.role, place.blind, place.readers, chosen, _components(pick.choice))


def _components(choice: Choice | None) -> str | None:
    if choice is None:
        return None
    return spell_components({"score": choice.score, **choice.components})


def _log(places: Sequence[Place], pool_size: int, params: SelectParams) -> None:
    roles = Counter(place.pick.role for place in places)
    if not pool_size:
        logger.info("the pool is empty: no film is left to be read for the first time")
    elif roles["label"] == pool_size:
        logger.info("budget %d, pool %d: the last films were chosen", params.budget, pool_size)
    logger.info(
        "%d of %d films chosen by %s and %s; %d known cases, %d re-readings, %d adjudications",
        roles["label"],
        pool_size,
        params.strategy,
        params.selector,
        roles["control"],
        roles["reread"],
        roles["adjudicate"],
    )
    if strata := _strata(places):
        without = [name for name in CLASSES if name not in strata]
        logger.info(
            "dealt out: %s; none for %s",
            ", ".join(f"{count} {name}" for name, count in strata.most_common()),
            ", ".join(without) or "no finding",
        )
    others = [place.pick.score for place in places if place.pick.role != "control"]
    controls = [place.pick.score for place in places if place.pick.role == "control"]
    if others and controls:
        gap = max(min(abs(score - other) for other in others) for score in controls)
        logger.info("each known case scores within %.2f of another film of the batch", gap)


def _strata(places: Sequence[Place]) -> Counter[str]:
    """Count the films of each stratum, where the selector deals films out to strata."""
    choices = [place.pick.choice for place in places if place.pick.choice is not None]
    return Counter(str(one.components["stratum"]) for one in choices if "stratum" in one.components)


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("select", select)


if __name__ == "__main__":
    raise SystemExit(main())
