"""The stage label: what the log, the truth and the splits add up to, and what it refuses."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from lungal.data.annotations import append_log, current_round, read_log, to_json
from lungal.data.labels import films, pool, read_labels, read_round
from lungal.data.splits import read_splits, write_splits
from lungal.records import Annotation, LabelledBox
from pipelines import label, split
from pipelines.stage import PATHS


@pytest.fixture
def dealt(project):
    assert split.main([]) == 0
    return project


def reading(image_id, verdict="finding"):
    boxes = (LabelledBox("Nodule", 4.0, 5.0, 30.0, 31.0),) if verdict == "finding" else ()
    return Annotation(f"ls-{image_id}", image_id, 1, "r1", verdict, boxes, "2026-11-23T10:00:00Z")


def refused(capsys):
    message = capsys.readouterr().err.strip()
    assert message.startswith("lungal label: ")
    assert "\n" not in message
    assert not PATHS.labels.exists()
    return message


def test_a_missing_log_and_an_empty_one_are_alike(dealt):
    assert label.main([]) == 0
    missing = PATHS.labels.read_bytes()
    PATHS.annotations.touch()
    assert label.main([]) == 0
    assert PATHS.labels.read_bytes() == missing


def test_readings_move_films_out_of_the_pool(dealt):
    label.main([])
    waiting = pool(read_labels(PATHS.labels))
    append_log(PATHS.annotations, [reading(waiting[0]), reading(waiting[1], "skipped")])
    assert label.main([]) == 0
    labels = read_labels(PATHS.labels)
    assert pool(labels) == waiting[2:]
    assert waiting[0] in films(labels, "train", "labelled")
    assert films(labels, "train", "excluded") == [waiting[1]]


def test_a_reading_that_comes_in_while_a_model_is_trained_does_not_make_it_another_rounds(dealt):
    label.main([])
    waiting = pool(read_labels(PATHS.labels))
    append_log(PATHS.annotations, [reading(waiting[0])])
    label.main([])
    assert read_round(PATHS.labels) == 2
    late = replace(reading(waiting[1]), source_id="late@1", round=2)
    append_log(PATHS.annotations, [late])
    assert current_round(read_log(PATHS.annotations)) == 3
    assert read_round(PATHS.labels) == 2


def test_the_order_of_the_log_changes_no_byte(dealt):
    label.main([])
    waiting = pool(read_labels(PATHS.labels))
    append_log(PATHS.annotations, [reading(image_id) for image_id in waiting[:3]])
    label.main([])
    before = PATHS.labels.read_bytes()
    lines = PATHS.annotations.read_text(encoding="utf-8").splitlines()
    PATHS.annotations.write_text("\n".join([*lines[::-1], lines[0]]), encoding="utf-8")
    label.main([])
    assert PATHS.labels.read_bytes() == before


def test_the_truth_of_the_pool_is_not_in_the_file(dealt):
    label.main([])
    labels = pd.read_parquet(PATHS.labels)
    waiting = labels[labels["state"] == "pool"]
    assert len(waiting) > 0
    assert waiting["boxes"].isna().all()
    assert not (labels.loc[labels["split"] != "train", "state"] == "pool").any()


def test_an_unknown_class_in_the_log_lists_the_known_ones(dealt, capsys):
    line = json.loads(to_json(reading("00000001_000")))
    line["boxes"][0]["label"] = "Infiltration"
    PATHS.annotations.write_text(json.dumps(line) + "\n", encoding="utf-8")
    assert label.main([]) == 1
    message = refused(capsys)
    assert "annotations.jsonl:1" in message
    assert "'Infiltration'; known: Atelectasis, Cardiomegaly" in message


def test_a_line_of_a_conflict_is_named(dealt, capsys):
    PATHS.annotations.write_text(
        to_json(reading("00000001_000")) + "\n<<<<<<< HEAD\n", encoding="utf-8"
    )
    assert label.main([]) == 1
    assert "annotations.jsonl:2: no JSON" in refused(capsys)


def test_a_reading_of_a_held_out_film_is_a_leak(dealt, capsys):
    splits = read_splits(PATHS.splits)
    held_out = splits.loc[splits["split"] == "test", "image_id"].iloc[0]
    append_log(PATHS.annotations, [reading(held_out)])
    assert label.main([]) == 1
    assert f"{held_out}: this film is held out, in test" in refused(capsys)


def test_a_reading_of_a_film_that_is_not_there_is_refused(dealt, capsys):
    append_log(PATHS.annotations, [reading("77777777_000")])
    assert label.main([]) == 1
    assert "77777777_000: this film is not in the manifest" in refused(capsys)


def test_a_patient_in_two_splits_fails_the_stage(dealt, capsys):
    splits = read_splits(PATHS.splits)
    splits.loc[0, "split"] = "val" if splits.loc[0, "split"] == "train" else "train"
    write_splits(PATHS.splits, splits)
    assert label.main([]) == 1
    assert "patient 00000000 is in" in refused(capsys)


def test_an_initial_set_that_is_too_large_names_both_numbers(dealt, change_params, capsys):
    change_params("  initial: 12 ", "  initial: 100 ")
    assert label.main([]) == 2
    splits = read_splits(PATHS.splits)
    there = (splits["split"] == "train").sum()
    assert f"label.initial is 100, but only {there} training films" in refused(capsys)


def test_without_split_it_says_what_is_missing(project, capsys):
    assert label.main([]) == 2
    assert "`split`" in refused(capsys)
