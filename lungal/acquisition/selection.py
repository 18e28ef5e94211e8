"""Choosing films of the pool by their scores."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen film."""

    rank: int  # 1 has the highest score
    image_id: str
    patient_id: str
    score: float


def choose(
    scores: Mapping[str, float],
    patients: Mapping[str, str],
    budget: int,
    *,
    one_per_patient: bool,
) -> list[Choice]:
    """Choose the films with the highest scores; equal scores go by image_id.

    The order of the arguments does not matter. A budget beyond the pool takes all there is.

    Args:
        scores: image_id to a finite score, higher is read sooner.
        patients: image_id to patient_id, for at least the scored films.
        budget: how many films at most.
        one_per_patient: take no patient's second film; two films of one chest teach little more
            than one.

    Returns:
        The choices by rank.
    """
    chosen: list[Choice] = []
    taken: set[str] = set()
    for image_id in sorted(scores, key=lambda image_id: (-scores[image_id], image_id)):
        if len(chosen) == budget:
            break
        patient = patients[image_id]
        if one_per_patient and patient in taken:
            continue
        taken.add(patient)
        chosen.append(Choice(len(chosen) + 1, image_id, patient, scores[image_id]))
    return chosen
