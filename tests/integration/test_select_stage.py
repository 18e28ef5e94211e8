"""The stage select on files: what it writes, and what it refuses."""

import logging
from pathlib import Path

import pandas as pd
import pytest
import yaml
from examined_project import MODEL, examine, make_project

from lungal.data.detections import read_detections
from lungal.data.labels import pool, write_labels
from pipelines import select
from pipelines.stage import PATHS


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_project()


def set_select(**values):
    path = Path("params.yaml")
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    params["select"] |= values
    path.write_text(yaml.safe_dump(params), encoding="utf-8")


def read_selection():
    return pd.read_csv(PATHS.selection, dtype={"patient_id": str})


def test_it_writes_the_surest_doubts_with_reasons(labels):
    set_select(budget=4)
    assert select.main() == 0
    rows = read_selection()
    assert rows.columns.tolist() == select.COLUMNS
    assert rows["rank"].tolist() == [1, 2, 3, 4]
    assert rows["score"].is_monotonic_decreasing
    assert rows["patient_id"].is_unique
    assert set(rows["image_id"]) <= set(pool(labels))
    assert set(rows["round"]) == {MODEL["round"]}
    assert set(rows["model_version"]) == {MODEL["model_version"]}
    assert set(rows["strategy"]) == {"least_confidence"}
    seen = {film.image_id: film for film in read_detections(PATHS.detections / "pool.parquet")}
    for row in rows.itertuples():
        doubts = 1 - seen[row.image_id].above(0.05).scores
        assert row.score == pytest.approx(doubts.mean(), abs=1e-5)
        assert row.detections == len(doubts)
        assert row.reason.startswith(f"rank {row.rank} of 12")
        assert f"mean of 1 - p over {row.detections} detection" in row.reason


def test_the_same_bytes_again_whatever_the_order_of_the_pool(labels):
    assert select.main() == 0
    first = PATHS.selection.read_bytes()
    assert b"\r" not in first
    assert select.main() == 0
    assert PATHS.selection.read_bytes() == first


def test_a_budget_beyond_the_pool_takes_all_and_says_so(labels, caplog):
    set_select(budget=50, one_per_patient=False)
    with caplog.at_level(logging.INFO):
        assert select.main() == 0
    assert sorted(read_selection()["image_id"]) == pool(labels)
    assert "budget 50, pool 12" in caplog.text


def test_an_empty_pool_gives_a_header(labels, caplog):
    write_labels(PATHS.labels, labels[labels["state"] != "pool"])
    examine("pool", [])
    with caplog.at_level(logging.INFO):
        assert select.main() == 0
    assert PATHS.selection.read_text() == ",".join(select.COLUMNS) + "\n"
    assert "the pool is empty" in caplog.text


@pytest.mark.parametrize(
    ("split", "state", "says"),
    [("test", "labelled", "labelled in test"), ("train", "labelled", "labelled in train")],
)
def test_a_film_that_must_not_be_chosen_stops_the_stage(labels, capsys, split, state, says):
    leaked = labels[(labels["split"] == split) & (labels["state"] == state)].iloc[0]["image_id"]
    good = read_detections(PATHS.detections / "pool.parquet")
    examine("pool", [*good, type(good[0])(leaked, good[0].boxes, good[0].scores, good[0].labels)])
    assert select.main() == 1
    assert f"film {leaked} is in the pool's detections and is {says}" in capsys.readouterr().err
    assert not PATHS.selection.exists()


def test_a_pool_that_was_not_examined_stops_the_stage(labels, capsys):
    examine("pool", read_detections(PATHS.detections / "pool.parquet")[1:])
    assert select.main() == 2
    assert "1 pool films" in (told := capsys.readouterr().err)
    assert "detect@pool" in told


def test_a_selector_that_does_not_follow_the_scores_stops_the_stage(labels, capsys, monkeypatch):
    def backwards(scores, *rest, **options):
        inverted = {image_id: -score for image_id, score in scores.items()}
        return real(inverted, *rest, **options)

    real = select.choose
    monkeypatch.setattr(select, "choose", backwards)
    assert select.main() == 1
    assert capsys.readouterr().err.startswith("lungal select: film ")
    assert not PATHS.selection.exists()


def test_an_unknown_strategy_is_named_with_the_known(labels, capsys):
    set_select(strategy="entropy")
    assert select.main() == 2
    told = capsys.readouterr().err
    assert told == "lungal select: unknown strategy 'entropy'; known: least_confidence, random\n"
