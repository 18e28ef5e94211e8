"""A second look at a selection, which knows what must be true of it and not how it was made.

A queue that does not follow its scores looks like any other queue: nobody sees it, and the labels
are spent. So the stage checks each selection and writes none that fails.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from lungal.acquisition.allotment import Allotment
from lungal.acquisition.batch import Place
from lungal.acquisition.lots import share
from lungal.acquisition.selection import Choice
from lungal.errors import SelectionError
from lungal.params import QueueParams
from lungal.records import Role


def audit(
    choices: Sequence[Choice],
    scores: Mapping[str, float],
    patients: Mapping[str, str],
    budget: int,
    *,
    one_per_patient: bool,
) -> None:
    """Check a selection against the scores that it should follow.

    Args:
        choices: by rank.
        scores: image_id to score, of the whole pool.
        patients: image_id to patient_id.
        budget: how many films were asked for.
        one_per_patient: whether a patient's second film is out of the question.

    Raises:
        SelectionError: if a score is not finite; a choice is not in the pool, comes twice or has
            another score, patient or rank than it should; a patient comes twice; there are too
            few or too many choices; or a film that was left out should have been chosen.
    """
    _check_each(choices, scores, patients)
    chosen_patients = [choice.patient_id for choice in choices]
    if one_per_patient and (twice := _repeated(chosen_patients)):
        raise SelectionError(f"patient {twice} was chosen twice")
    candidates = len({patients[film] for film in scores}) if one_per_patient else len(scores)
    if len(choices) != min(budget, candidates):
        raise SelectionError(
            f"{len(choices)} films were chosen, {min(budget, candidates)} should have been"
            f" (budget {budget}, {candidates} candidates)"
        )
    _check_left_out(choices, scores, patients, one_per_patient=one_per_patient)


def audit_batch(places: Sequence[Place], allotment: Allotment, params: QueueParams) -> None:
    """Check a batch against the shares that it should have.

    Args:
        places: by rank.
        allotment: how many films are to be read for what; of the pool's there may be fewer.
        params: the shares of blind films and of those with several readers.

    Raises:
        SelectionError: if a film is in the batch twice, a rank does not follow the scores, a role
            has too few or too many films, too few or too many films are blind or have several
            readers, or an adjudication does.
    """
    if twice := _repeated([place.pick.image_id for place in places]):
        raise SelectionError(f"film {twice} is in the batch twice")
    order = [(-place.pick.score, place.pick.image_id) for place in places]
    if order != sorted(order) or [place.rank for place in places] != [*range(1, len(places) + 1)]:
        raise SelectionError("the ranks of the batch do not follow its scores")
    _check_roles(places, allotment)
    shown = [place for place in places if place.pick.role != "adjudicate"]
    _check_share("are blind", [place.blind for place in shown], params.blind_fraction)
    if params.readers > 1:
        several = [place.readers == params.readers for place in shown]
        _check_share(f"have {params.readers} readers", several, params.overlap_fraction)
    for place in places:
        if place.pick.role == "adjudicate" and (place.blind or place.readers != 1):
            raise SelectionError(
                f"the adjudication of film {place.pick.image_id} is blind or has several readers"
            )


def _check_roles(places: Sequence[Place], allotment: Allotment) -> None:
    roles = Counter(place.pick.role for place in places)
    due: dict[Role, int] = {
        "adjudicate": allotment.adjudications,
        "control": allotment.controls,
        "reread": allotment.rereads,
        "import": 0,
    }
    for role, films in due.items():
        if roles[role] != films:
            raise SelectionError(
                f"{roles[role]} films have the role {role}, {films} should have it"
            )
    if roles["label"] > allotment.labels:
        raise SelectionError(
            f"{roles['label']} films are of the pool, {allotment.labels} at most should be"
        )


def _check_share(what: str, films: Sequence[bool], fraction: float) -> None:
    if sum(films) != (due := share(len(films), fraction)):
        raise SelectionError(f"{sum(films)} of {len(films)} films {what}, {due} should")


def _check_each(
    choices: Sequence[Choice], scores: Mapping[str, float], patients: Mapping[str, str]
) -> None:
    if odd := [film for film, score in scores.items() if not math.isfinite(score)]:
        raise SelectionError(f"film {odd[0]} has the score {scores[odd[0]]}")
    if twice := _repeated([choice.image_id for choice in choices]):
        raise SelectionError(f"film {twice} was chosen twice")
    for rank, choice in enumerate(choices, start=1):
        film = choice.image_id
        if film not in scores:
            raise SelectionError(f"film {film} was chosen and is not in the pool")
        if (choice.score, choice.patient_id) != (scores[film], patients[film]):
            raise SelectionError(
                f"film {film} of patient {patients[film]} scored {scores[film]:g} was chosen as"
                f" one of patient {choice.patient_id} scored {choice.score:g}"
            )
        if choice.rank != rank:
            raise SelectionError(f"film {film} has rank {choice.rank} in place {rank}")
        if rank > 1 and choice.score > choices[rank - 2].score:
            raise SelectionError(f"film {film} scores higher than the film ranked before it")


def _check_left_out(
    choices: Sequence[Choice],
    scores: Mapping[str, float],
    patients: Mapping[str, str],
    *,
    one_per_patient: bool,
) -> None:
    chosen = {choice.image_id for choice in choices}
    of_patient = {choice.patient_id: choice.score for choice in choices} if one_per_patient else {}
    lowest = min((choice.score for choice in choices), default=math.inf)
    for film, score in scores.items():
        # A patient's film stands aside for the one of theirs that was chosen, or for the last rank.
        beaten_by = of_patient.get(patients[film], lowest)
        if film not in chosen and score > beaten_by:
            raise SelectionError(
                f"film {film} scored {score:g} was left out for one scored {beaten_by:g}"
            )


def _repeated(names: Sequence[str]) -> str | None:
    return next((name for name, times in Counter(names).items() if times > 1), None)
