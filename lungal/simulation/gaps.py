"""What a campaign leaves open: what was not played, and what its marks do not mean."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from lungal.simulation.curves import Curves, mean_curve


def notes(
    curves: Curves,
    reference: str | None,
    references: Sequence[str],
    full: Mapping[int, float],
    unchecked: Sequence[str],
) -> list[str]:
    """Say in sentences what cannot be told, or only with less ground.

    Args:
        curves: that were played.
        reference: what they are compared with; None: nothing.
        references: what they were to be compared with, the first of these that was played.
        full: seed to full-label score.
        unchecked: controls that were not played, or not with what they are held against.
    """
    return [
        *_unreferenced(reference, references, unchecked),
        *_unlabelled(curves, full),
        *_unequal_seeds(curves, reference),
        *_unequal_rounds(curves),
    ]


def _unreferenced(
    reference: str | None, references: Sequence[str], unchecked: Sequence[str]
) -> Iterator[str]:
    if reference is None:
        names = " nor ".join(references)
        yield f"Neither {names} was played: there is nothing to compare with."
    elif reference != references[0]:
        yield f"{references[0]} was not played: savings are against {reference}."
    if unchecked:
        yield (
            f"Controls that were not played, or not with their reference: {', '.join(unchecked)}. "
            "Whether this campaign can tell good choices from bad was not checked."
        )


def _unlabelled(curves: Curves, full: Mapping[int, float]) -> Iterator[str]:
    if not full:
        yield "No detector was trained on all labels: savings cannot be told."
        return
    if missing := [str(seed) for seed in _seeds(curves) if seed not in full]:
        which = ", ".join(missing)
        yield f"No full-label detector of seed {which}: the mean of the others stands in."
    if beyond := _beyond(curves, full):
        yield (
            f"Better than with all labels, mean of the seeds: {', '.join(beyond)}. All labels are "
            "learnt in as many steps as a few, so with far fewer passes over each film: their "
            "score is a mark, and no ceiling."
        )


def _unequal_seeds(curves: Curves, reference: str | None) -> Iterator[str]:
    if len(_seeds(curves)) == 1:
        yield "One seed: there is no interval and no p value, and nothing can be shown."
    if reference is None:
        return
    for arm, of_arm in curves.items():
        if set(of_arm) != set(curves[reference]):
            yield (
                f"{arm} was played for {len(of_arm)} seeds, {reference} for "
                f"{len(curves[reference])}: they are compared over the seeds that both have."
            )


def _unequal_rounds(curves: Curves) -> Iterator[str]:
    ends = {arm: min(len(one.budgets) for one in of.values()) for arm, of in curves.items()}
    if len(set(ends.values())) > 1:
        told = ", ".join(f"{arm} {rounds - 1}" for arm, rounds in ends.items())
        yield f"Arms were played for unequal numbers of rounds: {told}."
    for arm, of_arm in curves.items():
        lengths = {len(one.budgets) - 1 for one in of_arm.values()}
        if len(lengths) > 1:
            yield (
                f"{arm} was played for {min(lengths)} to {max(lengths)} rounds, by seed: only the "
                f"first {min(lengths)} are judged."
            )


def _seeds(curves: Curves) -> list[int]:
    return sorted({seed for of_arm in curves.values() for seed in of_arm})


def _beyond(curves: Curves, full: Mapping[int, float]) -> list[str]:
    """Return the arms whose mean curve passes the mean full-label score of the same seeds."""
    mean = float(np.mean(list(full.values())))
    return [
        arm
        for arm, of_arm in curves.items()
        if mean_curve(list(of_arm.values())).scores.max()
        > np.mean([full.get(seed, mean) for seed in of_arm])
    ]
