"""What a reader did to the boxes that were pre-drawn: accepted, moved, deleted, or drew others."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from lungal.boxes import FloatArray, IntArray
from lungal.reading.pairing import SAME_PIXELS, pair
from lungal.records import BoxOrigin, LabelledBox, SeenBox, to_arrays

MOVED_IOU = 0.5
"""Overlap from which a changed box is the pre-drawn one, moved."""

Boxes = tuple[LabelledBox, ...]
Pairs = list[tuple[int, int]]


def trace(seen: Sequence[SeenBox], said: Sequence[LabelledBox]) -> tuple[Boxes, Boxes]:
    """Tell what became of the boxes that a reader was shown.

    Each pre-drawn box goes with at most one of the reader's: first those left as they were, then
    those moved, then those that another finding was given to, which count as moved too.

    Args:
        seen: what was pre-drawn.
        said: what the reader handed in.

    Returns:
        The reader's boxes in their order, with `origin`; and the deleted boxes in the order in
        which they were pre-drawn.

    Raises:
        UnknownNameError: if a label is not one of the eight.
    """
    origins: dict[int, BoxOrigin] = {}
    left = list(range(len(seen)))
    steps: list[tuple[BoxOrigin, Callable[..., Pairs]]] = [
        ("accepted", _unchanged),
        ("moved", _moved),
        ("moved", _relabelled),
    ]
    for origin, find in steps:
        mine = [index for index in range(len(said)) if index not in origins]
        pairs = find(*to_arrays(said[i] for i in mine), *to_arrays(seen[j] for j in left))
        origins |= {mine[i]: origin for i, _ in pairs}
        used = {left[j] for _, j in pairs}
        left = [index for index in left if index not in used]
    traced = (replace(box, origin=origins.get(i, "drawn")) for i, box in enumerate(said))
    return tuple(traced), tuple(LabelledBox(seen[j].label, *seen[j].xyxy) for j in left)


def _unchanged(
    said: FloatArray, said_names: IntArray, seen: FloatArray, seen_names: IntArray
) -> Pairs:
    free = set(range(len(seen)))
    pairs = []
    for index, (box, name) in enumerate(zip(said, said_names, strict=True)):
        away = np.abs(seen - box).max(axis=1, initial=0)
        near = np.flatnonzero((away <= SAME_PIXELS) & (seen_names == name))
        if there := [
            int(other) for other in near[np.argsort(away[near], kind="stable")] if other in free
        ]:
            pairs.append((index, there[0]))
            free.remove(there[0])
    return pairs


def _moved(said: FloatArray, said_names: IntArray, seen: FloatArray, seen_names: IntArray) -> Pairs:
    return pair(said, said_names, seen, seen_names, MOVED_IOU)


def _relabelled(
    said: FloatArray, said_names: IntArray, seen: FloatArray, seen_names: IntArray
) -> Pairs:
    return pair(said, np.zeros_like(said_names), seen, np.zeros_like(seen_names), MOVED_IOU)
