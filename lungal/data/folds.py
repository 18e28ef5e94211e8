"""Films dealt into folds, all films of a patient into one."""

import hashlib
from collections.abc import Mapping


def deal(patients: Mapping[str, str], folds: int) -> list[list[str]]:
    """Deal films into folds by patient.

    Patients are dealt in turn, in the order of their hash, so that no fold has more than one
    patient more than another. Fewer patients than folds make fewer folds.

    Args:
        patients: image_id to patient_id of the films.
        folds: how many; 0 makes none.

    Returns:
        The image_ids of each fold, sorted.
    """
    in_turn = sorted(set(patients.values()), key=_lot)
    dealt: list[list[str]] = [[] for _ in range(min(folds, len(in_turn)))]
    if dealt:
        fold_of = {patient: dealt[place % folds] for place, patient in enumerate(in_turn)}
        for image_id, patient in patients.items():
            fold_of[patient].append(image_id)
    return [sorted(fold) for fold in dealt]


def _lot(patient: str) -> bytes:
    return hashlib.sha256(f"crossfit:{patient}".encode()).digest()
