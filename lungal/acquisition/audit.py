"""A second look at a selection, which knows what must be true of it and not how it was made.

A queue that does not follow its scores looks like any other queue: nobody sees it, and the labels
are spent. So the stage checks each selection and writes none that fails.
"""

from collections.abc import Callable, Mapping, Sequence

from lungal.acquisition.audits.audited import Audited
from lungal.acquisition.audits.classes import audit_claspd
from lungal.acquisition.audits.clusters import audit_ppal, audit_typicality
from lungal.acquisition.audits.coverage import audit_coreset
from lungal.acquisition.audits.order import audit_random, audit_topk
from lungal.acquisition.audits.picked import check_picked
from lungal.acquisition.audits.strata import audit_stratified_random
from lungal.acquisition.pool import Choice, Pool
from lungal.params import SelectParams

AUDITS: Mapping[str, Callable[[Audited], None]] = {
    "topk": audit_topk,
    "random": audit_random,
    "stratified_random": audit_stratified_random,
    "coreset": audit_coreset,
    "ppal": audit_ppal,
    "claspd": audit_claspd,
    "typicality": audit_typicality,
}
"""By the name of the selector whose choice they check."""


def audit(
    choices: Sequence[Choice], pool: Pool, budget: int, params: SelectParams, *, number: int
) -> None:
    """Check a selection against the pool that it is of.

    Args:
        choices: by rank.
        pool: all that could be chosen.
        budget: how many films were asked for.
        params: how they should have been chosen.
        number: of the round.

    Raises:
        SelectionError: if it is no choice of the pool, or not the one that the selector should
            have made.
    """
    films = check_picked(choices, pool, budget, one_per_patient=params.one_per_patient)
    AUDITS[params.selector](Audited(choices, films, pool, budget, params, number))
