"""The split is a function of the patient and the salt, and of nothing else."""

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungal.data.splits import check_leaks, position, read_splits, split_patients, write_splits
from lungal.errors import LeakError, ParamsError, StageOrderError
from lungal.params import SplitParams

PARAMS = SplitParams(salt="lungal", val=0.1, test=0.2)
OFFICIAL = SplitParams(method="official", salt="lungal", val=0.1, test=0.2)

quick = settings(max_examples=40, deadline=None)  # other tests share the cores
patients = st.integers(0, 99_999_999).map("{:08d}".format)
films = st.sets(st.tuples(patients, st.integers(0, 3)), min_size=1, max_size=60)


def manifest(films, official=None):
    rows = [
        {"image_id": f"{patient}_{number:03d}", "patient_id": patient, "official_split": official}
        for patient, number in films
    ]
    return pd.DataFrame(rows)


def as_dict(splits):
    return dict(zip(splits["image_id"], splits["split"], strict=True))


@quick
@given(films)
def test_every_film_is_in_one_split_with_its_patient(films):
    splits = split_patients(manifest(films), PARAMS)
    assert splits["image_id"].tolist() == sorted(f"{p}_{n:03d}" for p, n in films)
    assert set(splits["split"]) <= {"train", "val", "test"}
    assert (splits.groupby("patient_id")["split"].nunique() == 1).all()


@quick
@given(films, st.randoms())
def test_the_order_of_the_manifest_means_nothing(films, random):
    rows = sorted(films)
    shuffled = random.sample(rows, len(rows))
    pd.testing.assert_frame_equal(
        split_patients(manifest(rows), PARAMS), split_patients(manifest(shuffled), PARAMS)
    )


@quick
@given(films, films)
def test_patients_stay_where_they_are_when_others_come(some, more):
    before = as_dict(split_patients(manifest(some), PARAMS))
    after = as_dict(split_patients(manifest(some | more), PARAMS))
    assert before.items() <= after.items()


@quick
@given(films)
def test_the_manifest_is_left_as_it_was(films):
    given_frame = manifest(sorted(films, reverse=True))
    untouched = given_frame.copy(deep=True)
    split_patients(given_frame, PARAMS)
    pd.testing.assert_frame_equal(given_frame, untouched)


def test_shares_converge_to_the_parameters():
    many = manifest({(f"{number:08d}", 0) for number in range(20_000)})
    shares = split_patients(many, PARAMS)["split"].value_counts(normalize=True)
    assert shares["test"] == pytest.approx(0.2, abs=0.01)
    assert shares["val"] == pytest.approx(0.1, abs=0.01)


def test_another_salt_deals_anew():
    rows = manifest({(f"{number:08d}", 0) for number in range(200)})
    other = PARAMS.model_copy(update={"salt": "other"})
    assert as_dict(split_patients(rows, PARAMS)) != as_dict(split_patients(rows, other))


def test_the_position_of_a_patient_never_changes():
    # A different value would move patients between the splits of projects that already exist.
    assert position("00000013", "lungal") == 0.4971997223481862


def test_official_lists_decide_who_is_in_test():
    listed = {(f"{number:08d}", 0) for number in range(4000)}
    test = {(f"{number:08d}", 0) for number in range(4000, 5000)}
    rows = pd.concat([manifest(listed, "train_val"), manifest(test, "test")])
    splits = as_dict(split_patients(rows, OFFICIAL))
    in_test = {image_id for image_id, split in splits.items() if split == "test"}
    assert in_test == {f"{patient}_000" for patient, _ in test}
    val = sum(split == "val" for split in splits.values())
    assert val / len(listed) == pytest.approx(0.1 / 0.8, abs=0.02)


def test_films_in_neither_official_list_are_in_no_split():
    rows = pd.concat([manifest({("00000001", 0)}, "train_val"), manifest({("00000002", 0)}, None)])
    assert set(as_dict(split_patients(rows, OFFICIAL))) == {"00000001_000"}


def test_official_without_any_listed_film_says_so():
    with pytest.raises(ParamsError, match=r"none of the 2 films.*patient_hash"):
        split_patients(manifest({("00000001", 0), ("00000002", 0)}), OFFICIAL)


def test_official_with_test_films_only_says_why_nothing_is_left():
    with pytest.raises(ParamsError, match=r"all 1 listed films.*boxes.*patient_hash"):
        split_patients(manifest({("00000001", 0)}, "test"), OFFICIAL)


def test_a_patient_in_both_official_lists_is_a_leak():
    rows = pd.concat(
        [manifest({("00000007", 0)}, "train_val"), manifest({("00000007", 1)}, "test")]
    )
    with pytest.raises(LeakError, match="00000007"):
        split_patients(rows, OFFICIAL)


def test_a_leak_names_the_patient_and_both_splits():
    splits = split_patients(manifest({("00000001", 0), ("00000001", 1)}), PARAMS)
    splits["split"] = ["train", "test"]
    with pytest.raises(LeakError, match="patient 00000001 is in test and train"):
        check_leaks(splits)


def test_a_film_that_is_there_twice_is_a_leak():
    splits = split_patients(manifest({("00000001", 0)}), PARAMS)
    with pytest.raises(LeakError, match="00000001_000"):
        check_leaks(pd.concat([splits, splits]))


def test_written_splits_come_back_and_their_bytes_ignore_the_order(tmp_path):
    splits = split_patients(manifest({(f"{n:08d}", 0) for n in range(30)}), PARAMS)
    write_splits(tmp_path / "a.parquet", splits)
    write_splits(tmp_path / "b.parquet", splits[::-1])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()
    assert as_dict(read_splits(tmp_path / "a.parquet")) == as_dict(splits)


def test_missing_splits_name_the_stage_that_makes_them(tmp_path):
    with pytest.raises(StageOrderError, match="`split`"):
        read_splits(tmp_path / "splits.parquet")
