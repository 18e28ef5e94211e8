"""The arms of a campaign: the ways of choosing, and two controls that show that they are some."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from lungal.acquisition.choosing import choose_from, score_pool
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Choice, Pool
from lungal.acquisition.strategies import LOOKS, build
from lungal.params import CHANCE, Params, SelectParams
from lungal.records import Detections

Control = Literal["shuffled", "oracle"]


@dataclass(frozen=True, slots=True)
class Arm:
    """A way of choosing.

    `shuffled` deals the ranks of the films out anew, by lot, whatever their scores: with the
    selector `topk` it must do as well as `random`, and no better. `oracle` takes the loss of
    each film for its score; no other arm gets to know it.
    """

    name: str
    select: SelectParams
    control: Control | None = None

    @property
    def looks(self) -> frozenset[str]:
        """Which other looks at the pool it needs: `views`, `committee`."""
        return frozenset(LOOKS[name] for name in [self.select.strategy] if name in LOOKS)


def arms_of(params: Params) -> list[Arm]:
    """Return the arms that the parameters name, in their order."""
    controls = {name: changes.get("control") for name, changes in params.simulate.arms.items()}
    return [Arm(name, select, controls[name]) for name, select in params.arms.items()]


def choose(
    arm: Arm,
    evidence: Sequence[Evidence],
    patients: Mapping[str, str],
    *,
    seed: int,
    number: int,
    labelled: Sequence[Detections] = (),
    weights: tuple[float, ...] | None = None,
    losses: Mapping[str, float] | None = None,
) -> list[Choice]:
    """Choose `arm.select.budget` films, as the stage `select` does, and check the choice.

    Args:
        arm: chooses.
        evidence: of each film of the pool.
        patients: image_id to patient_id.
        seed: of the campaign.
        number: of the round, from 1.
        labelled: what the same detector sees on the labelled films.
        weights: (C,), what a doubt about each class counts, if that was measured.
        losses: image_id to the loss of each film; for the oracle alone.

    Raises:
        SelectionError: if the choice is not what it should be.
    """
    params = _params(arm, seed)
    pool = score_pool(evidence, patients, build(params, weights), params, labelled)
    if arm.control == "shuffled":
        pool = _shuffle(pool, seed, number)
    elif arm.control == "oracle":
        known = losses or {}
        pool = replace(pool, scores=np.array([known[name] for name in pool.image_ids]))
    return choose_from(pool, params.budget, params, number=number)


def explain(
    arm: Arm, film: Evidence, *, seed: int, weights: tuple[float, ...] | None = None
) -> str:
    """Say in plain words why a film was chosen: what its score was made of, or that by lot.

    Args:
        arm: has chosen it.
        film: what the arm knew of it.
        seed: of the campaign.
        weights: as `choose` had them.
    """
    if arm.control == "oracle":
        return "what the detector gets wrong on it"
    if arm.control == "shuffled":
        return "its rank was drawn by lot"
    if arm.select.selector in CHANCE:
        return "drawn by lot"
    return build(_params(arm, seed), weights).explain(film)


def _params(arm: Arm, seed: int) -> SelectParams:
    return arm.select.model_copy(update={"seed": seed})


def _shuffle(pool: Pool, seed: int, number: int) -> Pool:
    # Their ranks are dealt out: of equal scores, as films without detections have, a selector would
    # take the first by name, which is no lot.
    ranks = np.random.default_rng([seed, number]).permutation(len(pool))
    return replace(pool, scores=(ranks + 1.0) / (len(pool) + 1))
