"""Stage simulate: whole campaigns played on the films whose truth is known, and the verdict.

Nothing is played unless `simulate.seeds` and `simulate.arms` say what; `lungal simulate` plays
those that docs/results.md reports.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from lungal.data.films import film_paths
from lungal.data.manifest import read_manifest, read_origin, read_truth
from lungal.data.splits import read_splits
from lungal.detectors.proxy.learner import ProxyLearner
from lungal.detectors.tfod.learner import TfodLearner
from lungal.errors import ParamsError
from lungal.params import Params
from lungal.simulation.arms import arms_of
from lungal.simulation.campaign import Campaign
from lungal.simulation.crew import play_all
from lungal.simulation.films import Films, gather_films
from lungal.simulation.learner import Learner
from lungal.simulation.page import PROXY
from lungal.simulation.points import read_points
from lungal.simulation.reader import TrueReader
from lungal.simulation.results import Point
from lungal.simulation.training import Trainings
from pipelines.campaign_report import write_nothing, write_report
from pipelines.stage import PATHS, progress, run

logger = logging.getLogger(__name__)

WORK = Path("models/.training/simulation")
"""What was seen and played so far: not an output, so that DVC leaves it to a next attempt."""
PLAYED = "LUNGAL_PLAYED"
"""The environment variable that names a folder of campaigns which were played elsewhere."""

REAL = "LUNGAL_REAL"
"""The environment variable that names points of the real trainer, to compare a proxy's with."""


def simulate(params: Params) -> None:
    """Play the campaigns, judge the arms, and write and log the report."""
    arms = arms_of(params)
    if not (arms and params.simulate.seeds):
        logger.info("simulate: nothing to do; simulate.seeds and simulate.arms name no campaign")
        write_nothing()
        return
    real = read_real(params, os.environ.get(REAL))
    campaign = set_up(params)
    elsewhere = [Path(os.environ[PLAYED])] if os.environ.get(PLAYED) else []
    with progress("simulate: trainings") as report:
        chains = play_all(
            campaign,
            arms,
            params.simulate.seeds,
            workers=params.simulate.workers,
            folders=[WORK / "chains", *elsewhere],
            on_step=report,
        )
    write_report(chains, campaign, params, real)


def read_real(params: Params, path: str | None) -> list[Point] | None:
    """Return the points of the real trainer's campaign, read before anything is played.

    Raises:
        ParamsError: if it is not a proxy that they are to be compared with.
        EvaluationError: if the file holds no points of the real trainer.
    """
    if not path:
        return None
    if params.simulate.learner != PROXY:
        raise ParamsError(
            f"simulate.learner is {params.simulate.learner!r}: a campaign of the real trainer is "
            "compared with one of the proxy"
        )
    return read_points(Path(path), TfodLearner.name)


def set_up(params: Params) -> Campaign:
    """Return what the campaigns of all arms and seeds have in common.

    Raises:
        StageOrderError: if the stages `ingest` and `split` have not run.
    """
    truth = read_truth(PATHS.truth)
    manifest, drawn_from = read_manifest(PATHS.manifest), read_origin(PATHS.manifest)
    films = gather_films(manifest, read_splits(PATHS.splits), truth, drawn_from)
    reader = TrueReader(truth, films.sizes, params.queue.draw_threshold, params.queue.max_boxes)
    trainings = Trainings(
        build_learner(params, films),
        films,
        reader,
        params.detect.views,
        params.simulate.members,
        WORK / "trainings",
    )
    looks = frozenset().union(*(arm.looks for arm in arms_of(params)))
    return Campaign(trainings, params.simulate, params.evaluate.working_iou, looks)


def build_learner(params: Params, films: Films) -> Learner:
    """Return the learner that `simulate.learner` names; the proxy's features are there then."""
    stored = film_paths(PATHS.manifest)
    paths = {image_id: stored[image_id] for image_id in films.sizes}
    if params.simulate.learner == "tfod":
        detail = params.records.detail
        return TfodLearner(paths, params.model, params.train, params.detect, detail)
    learner = ProxyLearner(paths, films.stored, params.proxy, params.detect, WORK / "features")
    looks = frozenset().union(*(arm.looks for arm in arms_of(params)))
    with progress("simulate: features of films") as report:
        learner.prepare(params.detect.views if "views" in looks else (), report)
    return learner


def main(argv: Sequence[str] | None = None) -> int:  # noqa: ARG001  a stage without arguments
    """Run the stage; return the exit code."""
    return run("simulate", simulate)


if __name__ == "__main__":
    raise SystemExit(main())
