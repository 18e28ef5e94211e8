"""The initial set: the training films that start with their boxes, before any reader is asked."""

import hashlib
from collections.abc import Callable, Iterable, Mapping

from lungal.errors import ParamsError
from lungal.params import LabelParams
from lungal.records import CLASSES, LabelledBox


def choose_initial(
    candidates: Iterable[str], truth: Mapping[str, tuple[LabelledBox, ...]], params: LabelParams
) -> set[str]:
    """Choose the initial set: seeded, and with every class that is there, if it is large enough.

    Films are ranked by a hash of seed and image_id, so their order in the manifest does not
    matter, and a film that is added displaces few others. The first film of each class is taken,
    then the first of all.

    Args:
        candidates: image_ids of the training films; those without truth are passed over.
        truth: image_id to boxes.
        params: size and seed.

    Raises:
        ParamsError: if fewer films have a truth than are asked for.
    """
    ranked = sorted((film for film in candidates if film in truth), key=_rank(params.seed))
    if params.initial == "all":
        return set(ranked)
    if params.initial > len(ranked):
        raise ParamsError(
            f"label.initial is {params.initial}, but only {len(ranked)} training films have a"
            " known truth"
        )
    by_class = _first_of_each_class(ranked, truth)
    return set(list(dict.fromkeys(by_class + ranked))[: params.initial])


def _first_of_each_class(
    ranked: list[str], truth: Mapping[str, tuple[LabelledBox, ...]]
) -> list[str]:
    first: dict[str, str] = {}
    for film in ranked:
        for box in truth[film]:
            first.setdefault(box.label, film)
    return [first[name] for name in CLASSES if name in first]


def _rank(seed: int) -> Callable[[str], bytes]:
    return lambda film: hashlib.sha256(f"{seed}:{film}".encode()).digest()
