"""Each finding by itself: whether a way of choosing that is better on average gives one up."""

import math
from collections.abc import Sequence
from dataclasses import replace

from lungal.records import CLASSES
from lungal.simulation.comparison import Comparison, compare
from lungal.simulation.curves import learning_curves
from lungal.simulation.results import Point


def compare_findings(
    points: Sequence[Point], reference: str | None, *, level: float
) -> dict[str, list[Comparison]]:
    """Compare all arms with a reference by each finding's own AUBC in films.

    Nothing is corrected: it is one comparison for each finding and arm, and of so many some leave
    zero out by chance. It decides nothing.

    Args:
        points: of the campaign.
        reference: an arm; None, or one that was not played: nothing is compared.
        level: of the intervals.

    Returns:
        Each of CLASSES; those without true boxes on the test films have no comparison.
    """
    found = {}
    for label, name in enumerate(CLASSES):
        known = [
            replace(point, score=point.classes[label])
            for point in points
            if not math.isnan(point.classes[label])
        ]
        found[name] = compare(learning_curves(known, "films"), reference or "", (), level=level)
    return found
