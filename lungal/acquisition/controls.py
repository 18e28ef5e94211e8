"""Known cases: films whose truth is known, slipped in unmarked to see how well a reader reads.

A reader who can tell a known case from another film reads it differently. So a known case has to
look like the rest of its batch, above all in its uncertainty, which readers are told and which
decides about the order of reading; and it should not be one that they have just seen.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lungal.acquisition.lots import by_lot
from lungal.records import Annotation

ENOUGH = 10
"""Films to choose from, per control, before one that was used more often comes into question."""


def times_used(log: Iterable[Annotation], before: int) -> Counter[str]:
    """Count in how many rounds before a round each film was read as a control.

    The round's own readings do not count: selecting it once more, while it is being read, must
    not replace its controls.
    """
    rounds = {(event.image_id, event.round) for event in log if event.role == "control"}
    return Counter(image_id for image_id, number in rounds if number < before)


def draw_controls(
    known: Mapping[str, float],
    used: Mapping[str, int],
    batch: Sequence[float],
    count: int,
    *,
    seed: int,
    number: int,
) -> list[str]:
    """Draw known cases whose scores are like those of a batch.

    For each control a score of the batch is drawn, and the film of nearest score is taken, of
    equally near ones the least used. Films that were used less often come first: those used more
    come into question only when there are fewer than ENOUGH of the others for each control.

    Args:
        known: image_id to score, of the films whose truth is known.
        used: image_id to how often the film has served as a control.
        batch: scores of the films among which the controls are to hide; none: chance decides.
        count: how many, at most as many as there are films.
        seed: of the draw.
        number: of the round.
    """
    lots = {"seed": seed, "number": number}
    left = by_lot(_least_used(known, used, count * ENOUGH), purpose="control", **lots)
    left.sort(key=lambda film: used.get(film, 0))  # stable: what ties stays as the lots fell
    scores = sorted(batch)
    targets = by_lot(map(str, range(len(scores))), purpose="target", **lots)
    drawn = []
    for slot in range(min(count, len(left))):
        film = left[0]
        if targets:
            target = scores[int(targets[slot % len(targets)])]
            film = min(left, key=lambda film: abs(known[film] - target))
        left.remove(film)
        drawn.append(film)
    return drawn


def _least_used(known: Iterable[str], used: Mapping[str, int], enough: int) -> list[str]:
    films = sorted(known, key=lambda film: used.get(film, 0))
    if len(films) <= enough:
        return films
    most = used.get(films[enough - 1], 0) if enough else 0
    return [film for film in films if used.get(film, 0) <= most]
