"""What the stage `simulate` writes and logs: the verdict on its campaigns, as page and tables."""

import hashlib
import os
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungal.data.files import whole_folder, write_json
from lungal.data.films import film_paths, read_films
from lungal.data.tables import as_csv
from lungal.evaluation import figures
from lungal.params import Params
from lungal.records import CLASSES, Detections
from lungal.simulation.arms import arms_of
from lungal.simulation.campaign import Campaign
from lungal.simulation.page import render
from lungal.simulation.picks import pick_table
from lungal.simulation.points import point_table
from lungal.simulation.ranks import rank_agreement
from lungal.simulation.receipts import SHEET, caption, unscored
from lungal.simulation.results import Chain, Pick, Point
from lungal.simulation.summary import summary
from lungal.simulation.tables import tables
from lungal.simulation.verdict import Verdict, judge
from lungal.tracking import OUTBOX, Tracker, git_tags, tracking_uri
from pipelines.gallery import draw_tile
from pipelines.stage import PATHS, track

PAGE = "report.html"
COMMAND = "LUNGAL_COMMAND"
"""The environment variable that says how the campaign was started, if not as a stage."""
TILE = 224
"""Side of each film of a contact sheet, pixels."""


def write_nothing() -> None:
    """Write the outputs of a stage that had nothing to play."""
    with whole_folder(PATHS.simulation_report) as folder:
        for name, table in {"points": point_table([], ""), "picks": pick_table([])}.items():
            (folder / f"{name}.csv").write_bytes(as_csv(table))
    write_json(PATHS.simulation, {})


def write_report(
    chains: Sequence[Chain],
    campaign: Campaign,
    params: Params,
    real: Sequence[Point] | None = None,
) -> None:
    """Judge the arms; write the page, the tables and the summary, and log all of it.

    Args:
        chains: what was played.
        campaign: of the chains.
        params: of the project.
        real: the points of a campaign of the real trainer on the same films, for a proxy.

    Raises:
        EvaluationError: if the chains cannot be judged, or compared with `real`.
    """
    points = [point for chain in chains for point in chain.points]
    picks = [pick for chain in chains for pick in chain.picks]
    verdict = judge(points)
    agreement = None if real is None else rank_agreement(points, real)
    without = unscored(arms_of(params))
    page = render(
        verdict,
        points,
        picks,
        draw_sheets(picks, campaign, without),
        learner=params.simulate.learner,
        settings=settings(campaign, params),
        command=os.environ.get(COMMAND, "dvc repro simulate"),
        unscored=without,
        agreement=agreement,
    )
    learner = params.simulate.learner
    found = tables(verdict, points, picks, learner) | {"picks": pick_table(picks)}
    with whole_folder(PATHS.simulation_report) as folder:
        (folder / PAGE).write_text(page, encoding="utf-8")
        for name, table in found.items():
            (folder / f"{name}.csv").write_bytes(as_csv(table))
    numbers = summary(verdict, learner, agreement)
    write_json(PATHS.simulation, numbers)
    log(verdict, points, params, numbers)


def settings(campaign: Campaign, params: Params) -> dict[str, object]:
    """Return what the page says of how the campaign was played."""
    films, simulate = campaign.trainings.films, params.simulate
    names = ", ".join
    return {
        "films": f"{len(films.train)} to choose from, {len(films.val)} to validate, "
        f"{len(films.test)} to test; patients in one of these",
        "source": params.data.source,
        "first labelled": simulate.initial,
        "films a round": simulate.budget,
        "rounds": simulate.rounds,
        "seeds": names(str(seed) for seed in simulate.seeds),
        "score": f"macro AP of {len(CLASSES)} findings, mean over IoU "
        + names(f"{iou:g}" for iou in simulate.iou),
        "detector": _detector(params),
    } | {f"arm {name}": _spell(changes) for name, changes in simulate.arms.items()}


def draw_sheets(
    picks: Iterable[Pick], campaign: Campaign, without: Collection[str]
) -> dict[str, bytes]:
    """Return a contact sheet of each arm's first batch with its first seed, truth drawn: PNG.

    Args:
        picks: of the campaign.
        campaign: that was played.
        without: arms that choose by no score.
    """
    first: dict[str, list[Pick]] = {}
    for pick in sorted(picks, key=lambda pick: (pick.seed, pick.round, pick.rank)):
        batch = first.setdefault(pick.arm, [])
        if len(batch) < SHEET and (not batch or (pick.seed, pick.round) == (batch[0].seed, 1)):
            batch.append(pick)
    stored, sheets = film_paths(PATHS.manifest), {}
    for arm, batch in track(first.items(), len(first), "simulate: contact sheets"):
        truths = campaign.trainings.reader.tell([pick.image_id for pick in batch])
        known = {truth.image_id: truth for truth in truths}
        images = read_films(stored, [pick.image_id for pick in batch])
        tiles = [
            draw_tile(film, known[film.image_id], Detections.nothing(film.image_id), TILE)
            for film in images
        ]
        titles = [caption(pick, without) for pick in batch]
        sheet = figures.contact_sheet(tiles, titles, detections=False)
        sheets[arm] = figures.encode_png(sheet)
    return sheets


def log(
    verdict: Verdict, points: Sequence[Point], params: Params, numbers: Mapping[str, Any]
) -> None:
    """Log the campaign as one run, with a run inside for each arm and its mean curve and band.

    Args:
        verdict: on the campaign.
        points: of it.
        params: of the project.
        numbers: the summary; a control that came out as it must is 1, one that did not 0.
    """
    sections = {"simulate": params.simulate, "data": params.data, "split": params.split}
    logged: dict[str, Any] = {
        name: section.model_dump(mode="json", exclude={"arms"})
        for name, section in sections.items()
    }
    # What was measured, not how many processes measured it.
    key = hashlib.sha256(repr(sorted(map(repr, points))).encode()).hexdigest()[:16]
    tracker = Tracker(tracking_uri(Path(), os.environ), OUTBOX)
    tags = {"lungal.stage": "simulate", "lungal.learner": params.simulate.learner}
    run = tracker.open_run(
        f"simulation-{key}", f"simulation-{key[:8]}", tags | git_tags(Path()), logged
    )
    curves = tables(verdict, points, [], params.simulate.learner)["curves"]
    for arm in verdict.arms:
        inner = run.nested(arm, arm, {"lungal.arm": arm}, {"arm": params.simulate.arms[arm]})
        rows = curves[(curves["arm"] == arm) & (curves["currency"] == "films")]
        for row in rows.to_dict("records"):
            known = {name: row[name] for name in ("score", "low", "high") if row[name] == row[name]}
            inner.log_metrics(known, step=round(row["budget"]))
        inner.end()
    run.log_metrics(_flat(numbers))
    run.log_artifact(PATHS.simulation_report, "simulation")
    run.log_artifact(PATHS.simulation)
    run.end()


def _detector(params: Params) -> str:
    if params.simulate.learner == "proxy":
        weights, what = params.proxy.initial_weights, "a head on MobileNetV2"
        steps, size = params.proxy.steps, params.proxy.input_size
    else:
        weights, what = params.model.initial_weights, params.model.architecture
        steps, size = params.train.steps, params.model.input_size
    return f"{what} at {size} px, {steps} steps, initial weights: {Path(weights).name}"


def _spell(changes: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in changes.items()) or "as it stands"


def _flat(document: Any, prefix: str = "") -> dict[str, float]:
    if isinstance(document, dict):
        inside = (_flat(value, f"{prefix}{name}/") for name, value in document.items())
        return {name: value for part in inside for name, value in part.items()}
    if isinstance(document, (int, float)):
        return {prefix.rstrip("/"): float(document)}
    return {}
