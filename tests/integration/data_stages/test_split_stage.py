"""The stage split, from the shell's point of view."""

import pandas as pd

from lungal.data.splits import read_splits
from pipelines import split
from pipelines.stage import PATHS


def test_every_film_is_dealt_out_with_its_patient(project):
    assert split.main([]) == 0
    splits = read_splits(PATHS.splits)
    assert splits["image_id"].tolist() == pd.read_parquet(PATHS.manifest)["image_id"].tolist()
    assert (splits.groupby("patient_id")["split"].nunique() == 1).all()
    assert set(splits["split"]) == {"train", "val", "test"}


def test_running_again_changes_no_byte(project):
    split.main([])
    before = PATHS.splits.read_bytes()
    split.main([])
    assert PATHS.splits.read_bytes() == before


def test_without_ingest_it_says_what_is_missing(project, capsys):
    PATHS.manifest.unlink()
    assert split.main([]) == 2
    message = capsys.readouterr().err.strip()
    assert message.startswith("lungal split: ")
    assert "`ingest`" in message
    assert "\n" not in message


def test_official_lists_that_know_no_film_are_refused(project, change_params, capsys):
    change_params("method: patient_hash #", "method: official #")
    assert split.main([]) == 2
    assert "none of the 40 films" in capsys.readouterr().err
    assert not PATHS.splits.exists()
