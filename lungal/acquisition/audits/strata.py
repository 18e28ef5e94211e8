"""Choices that are dealt out to strata."""

from collections import Counter, defaultdict

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.audits.order import lots
from lungal.acquisition.pool import Pool
from lungal.acquisition.selectors.drawn import NOTHING, UNKNOWN
from lungal.errors import SelectionError
from lungal.records import CLASSES


def audit_stratified_random(audited: Audited) -> None:
    """Check that each stratum has as many films as are due to it, and that lots chose them.

    Raises:
        SelectionError: naming the stratum, or a film that chance did not choose.
    """
    strata = _strata(audited.pool)
    for place, film in enumerate(audited.films):
        if (said := audited.component(place, "stratum")) != strata[film]:
            raise SelectionError(
                f"film {audited.pool.image_ids[film]} was drawn for the stratum {said!r} and is of"
                f" {strata[film]!r}"
            )
    _check_shares(audited, strata)
    _check_lots(audited, strata)


def _strata(pool: Pool) -> list[str]:
    films_with = pool.findings.sum(axis=0).tolist()
    strata = []
    for named, known in zip(pool.findings.tolist(), pool.known.tolist(), strict=True):
        labels = [label for label, there in enumerate(named) if there]
        rarest = min(labels, key=lambda label: (films_with[label], label), default=None)
        strata.append(CLASSES[rarest] if rarest is not None else NOTHING if known else UNKNOWN)
    return strata


def _check_shares(audited: Audited, strata: list[str]) -> None:
    # Webster's divisor method: nobody who could have had one more had a greater claim to it than
    # another had to the last one that was given there.
    even = audited.params.quota == "even"
    sizes, given = Counter(strata), Counter(strata[film] for film in audited.films)
    weight = {name: 1 if even else size for name, size in sizes.items()}
    for hungry in {strata[film] for film in _left(audited)}:
        claim = weight[hungry] / (2 * given[hungry] + 1)
        for fed, films in given.items():
            if weight[fed] / (2 * films - 1) < claim:
                raise SelectionError(
                    f"the stratum {fed!r} was given {films} films and {hungry!r}, which has more,"
                    f" {given[hungry]}"
                )


def _left(audited: Audited) -> list[int]:
    """The films that could have been chosen as well."""
    pool, chosen = audited.pool, set(audited.films)
    taken = {pool.patients[film] for film in chosen} if audited.params.one_per_patient else set()
    return [
        film for film in range(len(pool)) if film not in chosen and pool.patients[film] not in taken
    ]


def _check_lots(audited: Audited, strata: list[str]) -> None:
    pool, alone = audited.pool, audited.params.one_per_patient
    lot = lots(pool, seed=audited.params.seed, number=audited.number)
    turn = {pool.patients[film]: place for place, film in enumerate(audited.films)}
    drawn: dict[str, list[tuple[int, int]]] = defaultdict(list)  # stratum to (place, lot)
    for place, film in enumerate(audited.films):
        drawn[strata[film]].append((place, lot[film]))
    chosen = set(audited.films)
    for film in range(len(pool)):
        # A film gives way to earlier lots of its stratum, and once its patient has had a turn.
        until = turn.get(pool.patients[film], len(chosen)) if alone else len(chosen)
        if film in chosen:
            until = audited.films.index(film)
        late = [place for place, other in drawn[strata[film]] if other > lot[film]]
        if late and late[0] < until:
            raise SelectionError(
                f"film {pool.image_ids[film]} was passed over for one whose lot came later"
            )
