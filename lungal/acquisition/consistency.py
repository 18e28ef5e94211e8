"""Consistency: whether the detector sees the same when the same film is shown differently."""

import numpy as np

from lungal.acquisition.aggregation import Doubt
from lungal.acquisition.agreement import agreements, doubt
from lungal.acquisition.evidence import Evidence
from lungal.errors import SelectionError


def consistency(evidence: Evidence) -> list[Doubt]:
    """Return the doubt about each detection that its counterparts in the views leave.

    With m_v the agreement with view v (`lungal.acquisition.agreement`), the doubt is
    1 - |mean over v of m_v - BETA| / BETA. CALD takes the distance to BETA within each view, and
    the film's smallest; here the mean over views comes first, so that one poor view does not
    decide, and the film's score is aggregated like that of every other strategy.

    Raises:
        SelectionError: if the film was seen in one way only.
    """
    if not evidence.views:
        raise SelectionError(
            f"consistency compares views of a film, and film {evidence.image_id} has none;"
            " name some in detect.views, or choose another select.strategy"
        )
    found = evidence.detections
    mean = np.mean([agreements(found, view) for view in evidence.views], axis=0)
    return [
        Doubt(float(value), int(label))
        for value, label in zip(doubt(mean), found.labels, strict=True)
    ]
