"""Campaigns that were played, each a file: what was played once, here or elsewhere, stays so."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lungal.data.digests import hash_json
from lungal.data.files import whole_file
from lungal.errors import EvaluationError
from lungal.simulation.arms import Arm
from lungal.simulation.campaign import Campaign
from lungal.simulation.results import FULL, Chain, Pick, Point

CODE = 4
"""Counted up with every change of the code that changes what a campaign comes to."""


def chain_name(campaign: Campaign, arm: Arm | None, seed: int) -> str:
    """Return a name for the campaign of an arm (None: of all labels) that no other has.

    It ends in a hash of all that the campaign depends on, films, truth and the code's count (CODE)
    included, so that a file of this name found anywhere need not be played again.
    """
    trainings, params = campaign.trainings, campaign.params
    parts: list[Any] = [
        CODE,
        trainings.learner.key,
        seed,
        [trainings.films.train, trainings.films.val, trainings.films.test],
        trainings.films.content,
        campaign.iou,
        params.iou,
    ]
    if arm is not None:
        reports = {name: sorted(found) for name, found in trainings.films.reports.items()}
        chosen = arm.select.model_dump(mode="json", exclude={"seed"})
        reading = [trainings.reader.draw_threshold, trainings.reader.max_boxes]
        looks = [sorted(arm.looks), sorted(campaign.looks), trainings.views, trainings.members]
        parts += [chosen, arm.control, params.rounds, params.initial, reports, reading, looks]
        parts += [trainings.films.patients, trainings.films.sizes]
    return f"{FULL if arm is None else arm.name}-{seed}-{hash_json(parts)}.json"


def write_chain(path: Path, chain: Chain) -> None:
    """Write a campaign that was played, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(json.dumps(asdict(chain)) + "\n", encoding="utf-8")


def read_chain(path: Path) -> Chain:
    """Read what write_chain wrote.

    Raises:
        EvaluationError: if the file is damaged.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        points = [Point(**_with_tuple(each, "classes")) for each in document["points"]]
        picks = [Pick(**_with_tuple(each, "boxes")) for each in document["picks"]]
    except (ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f"{path} is no campaign that was played ({error})") from None
    return Chain(tuple(points), tuple(picks))


def find_chain(name: str, folders: Iterable[Path]) -> Chain | None:
    """Return the campaign of a name from the first folder that has it, or None."""
    paths = (folder / name for folder in folders)
    return next((read_chain(path) for path in paths if path.exists()), None)


def _with_tuple(values: dict[str, Any], name: str) -> dict[str, Any]:
    return values | {name: tuple(values[name])}
