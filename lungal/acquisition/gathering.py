"""Evidence on films, put together: what detectors saw, as probabilities, and what reports say."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice

from lungal.acquisition.evidence import Evidence
from lungal.records import Detections

Looks = Mapping[str, Sequence[Detections]]
"""image_id to other looks at the film."""
Calibrate = Callable[[Iterable[Detections]], Sequence[Detections]]
"""Makes probabilities of the scores of films, in their order."""
Reports = Mapping[str, frozenset[str]]
"""image_id to the findings that its report names, of films that have a report."""


def gather(
    seen: Iterable[Detections],
    calibrate: Calibrate,
    reports: Reports,
    *,
    views: Looks | None = None,
    committee: Looks | None = None,
) -> dict[str, Evidence]:
    """Return image_id to what is known of each film, in the order of `seen`.

    Other looks are calibrated as the model's own: views are seen by the same detector, and the
    members of a committee have learnt from nearly its films.

    Args:
        seen: what the model found on each film, not calibrated.
        calibrate: what its scores mean.
        reports: of films that have one.
        views: of films that were looked at differently; boxes in the films' own pixels.
        committee: of films that others looked at.
    """
    differently, others = (_calibrate(looks or {}, calibrate) for looks in (views, committee))
    return {
        film.image_id: Evidence(
            film,
            differently.get(film.image_id, ()),
            others.get(film.image_id, ()),
            findings=reports.get(film.image_id),
        )
        for film in calibrate(seen)
    }


def _calibrate(looks: Looks, calibrate: Calibrate) -> dict[str, tuple[Detections, ...]]:
    rest = iter(calibrate(film for films in looks.values() for film in films))
    return {image_id: tuple(islice(rest, len(films))) for image_id, films in looks.items()}
