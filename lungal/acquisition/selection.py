"""Choosing a batch of films by their scores."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Choice:
    """One chosen film."""

    rank: int  # 1 is read first
    standing: int  # place among all films by score, passed-over ones included
    image_id: str
    patient_id: str
    score: float

    def reason(self, pool: int, explanation: str) -> str:
        """Say in one line why this film, out of a pool of so many, has this rank."""
        passed = self.standing - self.rank
        place = f"rank {self.rank} of {pool}"
        if passed:
            films = "1 film" if passed == 1 else f"{passed} films"
            place += f" ({films} of patients already chosen passed over)"
        return f"{place}: {explanation}"


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
    by_score = sorted(scores, key=lambda image_id: (-scores[image_id], image_id))
    for standing, image_id in enumerate(by_score, start=1):
        if len(chosen) == budget:
            break
        patient = patients[image_id]
        if one_per_patient and patient in taken:
            continue
        taken.add(patient)
        rank = len(chosen) + 1
        chosen.append(Choice(rank, standing, image_id, patient, scores[image_id]))
    return chosen
