"""A second look at a batch: the shares that it should have, whatever its films are read for."""

from collections import Counter
from collections.abc import Sequence

from lungal.acquisition.allotment import Allotment
from lungal.acquisition.audits.picked import repeated
from lungal.acquisition.batch import Place
from lungal.acquisition.lots import share
from lungal.errors import SelectionError
from lungal.params import QueueParams
from lungal.records import Role


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
    if twice := repeated([place.pick.image_id for place in places]):
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
