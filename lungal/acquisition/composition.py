"""What a round is made of: films of the pool, known cases, re-readings and adjudications."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lungal.acquisition.allotment import Allotment, allot
from lungal.acquisition.audit_batch import audit_batch
from lungal.acquisition.batch import Pick, Place, arrange
from lungal.acquisition.choosing import choose_batch
from lungal.acquisition.controls import draw_controls
from lungal.acquisition.evidence import Evidence
from lungal.acquisition.pool import Choice
from lungal.acquisition.protocol import Acquisition
from lungal.acquisition.strategies import LOOKS, build, select_for_one_look
from lungal.params import QueueParams, SelectParams
from lungal.records import Role


@dataclass(frozen=True, slots=True, eq=False)
class Candidates:
    """The films that may be read next, and for what. Nobody's truth is here."""

    pool: Mapping[str, Evidence]  # image_id to what is known of the film
    trained: Mapping[str, Evidence]  # the same, of the films named below
    known: Sequence[str]  # image_ids that may serve as controls
    used: Mapping[str, int]  # image_id to how often it has
    suspicious: Sequence[str]  # image_ids that may be re-read, the most suspicious first
    disputed: Mapping[str, float]  # image_id to the agreement of its readings, in [0, 1]
    patients: Mapping[str, str]  # image_id to patient_id, of all
    labelled: Sequence[str] = ()  # image_ids of `trained` that the detector was trained on
    weights: tuple[float, ...] | None = None  # what a doubt about each class counts, if measured


def compose(
    candidates: Candidates, select: SelectParams, queue: QueueParams, *, number: int
) -> list[Place]:
    """Choose a round's films, and check the choice.

    A known case that is suspicious is not known well enough, and is no control.

    Args:
        candidates: to choose from.
        select: budget, strategy, selector, and share of re-readings.
        queue: shares of controls, of blind films and of those with several readers.
        number: of the round.

    Raises:
        SelectionError: if the choice is not what it should be, or cannot be made.
    """
    # Known cases have no other looks. What readers are told, and their order, must not tell them.
    strategy = build(select_for_one_look(select), candidates.weights)
    seen = {**candidates.trained, **candidates.pool}
    known = sorted(set(candidates.known) - set(candidates.suspicious))
    allotment = _allot(candidates, known, select, queue)
    labels = {
        choice.image_id: choice
        for choice in _choose_labels(candidates, allotment.labels, select, number)
    }
    rereads = candidates.suspicious[: allotment.rereads]
    controls = draw_controls(
        {film: strategy(seen[film]) for film in known} if allotment.controls else {},
        candidates.used,
        [strategy(seen[film]) for film in (*labels, *rereads)],
        allotment.controls,
        seed=select.seed,
        number=number,
    )
    roles: dict[Role, Sequence[str]] = {
        "label": list(labels),
        "control": controls,
        "reread": rereads,
        "adjudicate": sorted(candidates.disputed)[: allotment.adjudications],
    }
    picks = [
        _pick(seen[film], role, candidates, strategy, select, labels.get(film))
        for role, films in roles.items()
        for film in films
    ]
    places = arrange(picks, queue, seed=select.seed, number=number)
    audit_batch(places, allotment, queue)
    return places


def _allot(
    candidates: Candidates, known: Sequence[str], select: SelectParams, queue: QueueParams
) -> Allotment:
    return allot(
        select.budget,
        pool=len(candidates.pool),
        disputed=len(candidates.disputed),
        known=len(known),
        suspicious=len(candidates.suspicious),
        control_fraction=queue.control_fraction,
        reread_fraction=select.reread_fraction,
    )


def _choose_labels(
    candidates: Candidates, budget: int, select: SelectParams, number: int
) -> list[Choice]:
    return choose_batch(
        candidates.pool.values(),
        candidates.patients,
        budget,
        select,
        number=number,
        labelled=[candidates.trained[film].detections for film in candidates.labelled],
        weights=candidates.weights,
    )


def _pick(
    seen: Evidence,
    role: Role,
    candidates: Candidates,
    strategy: Acquisition,
    params: SelectParams,
    choice: Choice | None,
) -> Pick:
    explanation = strategy.explain(seen)
    explanation += _whose_choice(params)
    if role == "adjudicate":
        agreement = candidates.disputed[seen.image_id]
        explanation = f"its readings agree by {agreement:.2f} only; {explanation}"
    return Pick(
        seen.image_id,
        candidates.patients[seen.image_id],
        role,
        strategy(seen),
        len(seen.detections.above(params.score_threshold)),
        explanation,
        choice,
    )


def _whose_choice(params: SelectParams) -> str:
    """What is said of every film of a batch alike, if its scores alone did not choose it."""
    names: list[str] = [params.strategy] if params.strategy in LOOKS else []
    names += [params.selector] if names or params.selector != "topk" else []
    return f"; batch by {' and '.join(names)}" if names else ""
