"""Patients dealt out to train, val and test. A film follows its patient, always.

`patient_hash` asks nobody: a salted hash of the patient's number says where he goes, so a patient
stays where he is when others come or leave, and two machines agree without a shared file.

`official` keeps NIH's test list as the test split and deals the patients of the train_val list
out to train and val by the same hash. Films in neither list are in no split. Mind that all 880
films with boxes are in NIH's test list: with `data.subset.rule: boxed` there is hardly anything
to train on, so that method is for work with image-level labels or readings of your own.
"""

import hashlib
from pathlib import Path

import pandas as pd
import pyarrow as pa

from lungal.data.tables import read_table, write_table
from lungal.errors import LeakError, ParamsError
from lungal.params import SplitParams
from lungal.records import Split

SPLITS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("patient_id", pa.string(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train, val or test
    ]
)


def split_patients(manifest: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Deal all films out by patient.

    Args:
        manifest: image_id, patient_id and, for the official method, official_split.
        params: method, salt, and the shares of patients (not of films) in val and test.

    Returns:
        image_id, patient_id, split; sorted by image_id, whatever the manifest's order.

    Raises:
        ParamsError: if the method is official and none of the films is in NIH's lists, or none
            of them is in the train_val list.
        LeakError: if a patient ends up in two splits, which only a wrong list can do.
    """
    films = manifest.sort_values("image_id", ignore_index=True)
    if params.method == "official":
        films = _listed(films)
        in_test = (films["official_split"] == "test").tolist()
        val, test = params.val / (1 - params.test), 0.0
    else:
        in_test = [False] * len(films)
        val, test = params.val, params.test
    films["split"] = [
        "test" if listed else split_of(patient, params.salt, val=val, test=test)
        for patient, listed in zip(films["patient_id"], in_test, strict=True)
    ]
    splits: pd.DataFrame = films[SPLITS.names]
    check_leaks(splits)
    return splits


def split_of(patient_id: str, salt: str, *, val: float, test: float) -> Split:
    """Return the split of one patient, from the patient's number and the salt alone."""
    u = position(patient_id, salt)
    if u < test:
        return "test"
    return "val" if u < test + val else "train"


def position(patient_id: str, salt: str) -> float:
    """Return where in [0, 1] a patient stands: evenly spread, and another salt deals anew."""
    digest = hashlib.sha256(f"{salt}:{patient_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def check_leaks(splits: pd.DataFrame) -> None:
    """Make sure that no patient is in two splits and no film is there twice.

    Raises:
        LeakError: naming a patient or a film, and where else it is.
    """
    twice = splits.loc[splits["image_id"].duplicated(), "image_id"]
    if len(twice):
        raise LeakError(f"film {min(twice)} is in the splits more than once")
    homes = splits[["patient_id", "split"]].drop_duplicates()
    straying = homes.loc[homes["patient_id"].duplicated(), "patient_id"]
    if len(straying):
        patient = min(straying)
        names = sorted(homes.loc[homes["patient_id"] == patient, "split"])
        raise LeakError(
            f"patient {patient} is in {' and '.join(names)}"
            f" ({straying.nunique()} such patient(s) in all); split by patient, not by film"
        )


def write_splits(path: Path, splits: pd.DataFrame) -> None:
    """Write splits, sorted by image_id; equal rows give equal bytes."""
    write_table(path, splits, SPLITS)


def read_splits(path: Path) -> pd.DataFrame:
    """Read what write_splits wrote.

    Raises:
        StageOrderError: if the stage `split` has not run.
    """
    return read_table(path, "split")


def _listed(films: pd.DataFrame) -> pd.DataFrame:
    listed = films[films["official_split"].isin(["train_val", "test"])].reset_index(drop=True)
    if listed.empty:
        raise ParamsError(
            f"split.method is 'official', but none of the {len(films)} films is in NIH's"
            " train_val_list.txt or test_list.txt; use patient_hash"
        )
    if (listed["official_split"] == "test").all():
        raise ParamsError(
            f"split.method is 'official', but all {len(listed)} listed films are in NIH's"
            " test_list.txt (as all films with boxes are), so none is left to train on;"
            " use patient_hash"
        )
    return listed
