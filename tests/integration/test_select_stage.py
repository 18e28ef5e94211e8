"""The stage select on files: what it writes, and what it refuses."""

import json
import logging
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from examined_project import MODEL, SIDES, examine, make_project, write_calibration
from plugins.changed_params import change_params

from lungal.acquisition import composition, selection
from lungal.acquisition.selection import SELECTORS
from lungal.data.annotations import append_log
from lungal.data.detections import read_detections
from lungal.data.labels import films, ground_truth, pool, write_labels
from lungal.data.looks import INDEX, write_looks
from lungal.data.manifest import read_manifest, write_manifest
from lungal.evaluation.calibration import Calibration, ScoreCurve
from lungal.params import SelectParams
from lungal.records import CLASSES, Annotation, Detections
from pipelines import detect, select
from pipelines.stage import PATHS


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = make_project()
    embed()
    return made


def set_select(**values):
    change_params(select=values)


@pytest.fixture
def by_scores(labels):
    """Let scores alone decide, and the simplest ones."""
    set_select(strategy="least_confidence", selector="topk", aggregate="mean")


def read_selection():
    return pd.read_csv(PATHS.selection, dtype={"patient_id": str})


@pytest.mark.usefixtures("by_scores")
def test_it_writes_the_surest_doubts_with_reasons(labels):
    set_select(budget=4)  # too small for a known case
    assert select.main() == 0
    rows = read_selection()
    assert rows.columns.tolist() == select.COLUMNS
    assert rows["rank"].tolist() == [1, 2, 3, 4]
    assert rows["score"].is_monotonic_decreasing
    assert rows["patient_id"].is_unique
    assert set(rows["image_id"]) <= set(pool(labels))
    assert set(rows["round"]) == {MODEL.round}
    assert set(rows["model_version"]) == {MODEL.model_version}
    assert set(rows["strategy"]) == {"least_confidence"}
    seen = {film.image_id: film for film in read_detections(PATHS.detections / "pool.parquet")}
    for row in rows.itertuples():
        doubts = 1 - seen[row.image_id].above(0.05).scores
        assert row.score == pytest.approx(doubts.mean(), abs=1e-5)
        assert row.detections == len(doubts)
        assert row.reason.startswith(f"rank {row.rank} of 4: ")
        assert f"mean of 1 - p over {row.detections} detection" in row.reason


BEFORE_THERE_WERE_SELECTORS = Path(__file__).with_name("selection_before_selectors.csv")
"""What the stage wrote from the very same project when scores alone decided."""


@pytest.mark.usefixtures("by_scores")
def test_least_confidence_and_topk_choose_as_they_always_did(labels):
    set_select(calibrate=False)
    assert select.main() == 0
    before = pd.read_csv(BEFORE_THERE_WERE_SELECTORS, dtype=str)
    rows = pd.read_csv(PATHS.selection, dtype=str)
    assert rows[before.columns].to_csv(index=False) == before.to_csv(index=False)


def test_every_film_of_the_pool_has_a_receipt(labels, caplog):
    set_select(seed=4)
    with caplog.at_level(logging.INFO):
        assert select.main() == 0
    assert re.search(r"dealt out: \d \w+, .*; none for ", caplog.text)
    rows = read_selection()
    pool_rows = rows[rows["role"] == "label"]
    assert sorted(pool_rows["choice"]) == list(range(1, len(pool_rows) + 1))
    for components in map(json.loads, pool_rows["components"]):
        assert {"score", "stratum", "worth", "noised", "distance"} == set(components)
    assert set(rows["strategy"]) == {"entropy"}  # as params.yaml says
    assert set(rows["selector"]) == {"claspd"}
    assert set(rows["seed"]) == {4}
    assert rows["data_hash"].str.fullmatch("[0-9a-f]{16}").all()
    assert rows["data_hash"].nunique() == 1
    others = rows[rows["role"] != "label"]
    assert others[["choice", "components"]].isna().all(axis=None)
    assert rows["reason"].str.endswith("; batch by claspd").all()  # of known cases, too


def test_the_hash_of_the_data_changes_with_what_was_seen(labels):
    assert select.main() == 0
    (before,) = set(read_selection()["data_hash"])
    seen = read_detections(PATHS.detections / "pool.parquet")
    examine("pool", [replace(seen[0], scores=seen[0].scores / 2), *seen[1:]])
    assert select.main() == 0
    assert set(read_selection()["data_hash"]) != {before}


def test_the_hash_is_of_what_the_strategy_asks_and_of_nothing_else(labels):
    crossfit, val = (PATHS.detections / f"{part}.parquet" for part in ("crossfit", "val"))
    view = PATHS.views / INDEX

    def counts(path, **changes):
        params = SelectParams(**changes)
        before = select.hash_files(*select.chosen_from(params))
        path.write_bytes(path.read_bytes() + b" ")
        return before != select.hash_files(*select.chosen_from(params))

    assert counts(crossfit)
    assert not counts(val)
    assert counts(val, difficulty="validation")
    assert not counts(view)
    assert counts(view, strategy="consistency")
    assert not counts(view, strategy="committee")


@pytest.mark.parametrize("selector", SELECTORS)
def test_every_selector_runs_in_the_stage(labels, selector):
    set_select(selector=selector, budget=5)
    assert select.main() == 0
    rows = read_selection()
    assert len(rows) == 5
    assert set(rows.loc[rows["role"] == "label", "image_id"]) <= set(pool(labels))
    first = PATHS.selection.read_bytes()
    assert select.main() == 0
    assert PATHS.selection.read_bytes() == first


@pytest.mark.usefixtures("by_scores")
@pytest.mark.parametrize("strategy", ["entropy", "margin", "contradiction", "random"])
def test_strategies_of_detections_and_reports_run_in_the_stage(labels, strategy):
    report(labels, {pool(labels)[0]: ["Mass"], pool(labels)[1]: []})
    set_select(strategy=strategy, budget=4)
    assert select.main() == 0
    assert read_selection()["score"].is_monotonic_decreasing


@pytest.mark.usefixtures("by_scores")
@pytest.mark.parametrize(
    ("strategy", "folder"), [("consistency", PATHS.views), ("committee", PATHS.committee)]
)
def test_other_looks_decide_where_they_are_asked_for(labels, capsys, strategy, folder):
    set_select(strategy=strategy, budget=10)
    assert select.main() == 1
    assert "has none" in (told := capsys.readouterr().err) or "nobody else looked" in told
    seen = read_detections(PATHS.detections / "pool.parquet")
    shaken = [replace(film, boxes=film.boxes + 9, scores=film.scores * 0.8) for film in seen]
    write_looks(folder, [("one", shaken), ("other", seen)])
    assert select.main() == 0
    rows = read_selection()
    assert rows["reason"].str.endswith(f"; batch by {strategy} and topk").all()
    assert rows["reason"].str.contains("of 1 - p over").all()  # of films of every role
    assert (rows["role"] == "control").any()
    chosen = rows[rows["role"] == "label"].sort_values("choice")
    scores = [json.loads(components)["score"] for components in chosen["components"]]
    assert scores == sorted(scores, reverse=True)
    assert len(set(scores)) > 1
    write_looks(folder, [("one", shaken[1:])])
    assert select.main() == 2


@pytest.mark.usefixtures("by_scores")
def test_a_finding_that_was_overlooked_is_read_first(labels):
    image_id = pool(labels)[3]
    seen = read_detections(PATHS.detections / "pool.parquet")
    examine("pool", [film.above(2.0) if film.image_id == image_id else film for film in seen])
    report(labels, {image_id: ["Cardiomegaly"]})
    set_select(strategy="contradiction", budget=4)
    assert select.main() == 0
    first = read_selection().iloc[0]
    assert first["image_id"] == image_id
    assert "the report names Cardiomegaly, detected with 0.00" in first["reason"]


@pytest.mark.parametrize("selector", ["coreset", "ppal", "claspd", "typicality"])
def test_without_embeddings_the_stage_says_what_to_do(labels, capsys, selector):
    embed(None)
    set_select(selector=selector)
    assert select.main() == 1
    told = capsys.readouterr().err
    assert told.startswith(f"lungal select: the selector {selector} needs an embedding of every")
    assert not PATHS.selection.exists()


@pytest.mark.usefixtures("by_scores")
def test_scores_are_calibrated_first(labels):
    curve = ScoreCurve("isotonic", 100, 50, scores=(0.0, 1.0), values=(0.0, 0.5))
    write_calibration(Calibration((curve,) * len(CLASSES), 0.4))
    set_select(aggregate="min", score_threshold=0.0)
    assert select.main() == 0
    seen = {film.image_id: film for film in read_detections(PATHS.detections / "pool.parquet")}
    rows = read_selection()
    for row in rows[rows["role"] == "label"].itertuples():
        highest = float(seen[row.image_id].scores.max())
        assert row.score == pytest.approx(1 - (0.99 * 0.5 + 0.01) * highest, abs=1e-5)


@pytest.mark.usefixtures("by_scores")
def test_classes_are_weighed_by_how_difficult_they_are(labels):
    set_select(difficulty="validation", aggregate="max")
    assert select.main() == 0
    rows = read_selection()
    assert rows["reason"].str.contains("max of weighted 1 - p").all()
    (PATHS.detections / "val.parquet").unlink()
    assert select.main() == 2


def test_the_calibration_that_is_missing_is_asked_for(labels, capsys):
    PATHS.calibration.unlink()
    assert select.main() == 2
    assert "the stage `evaluate` makes it" in capsys.readouterr().err
    set_select(calibrate=False)
    assert select.main() == 0


def embed(width: int | None = 16):
    """Give every examined film an embedding of that many numbers; without: take them away."""
    random = np.random.default_rng(0)
    for part in ("pool", "train"):
        seen = read_detections(PATHS.detections / f"{part}.parquet")
        noise = [width and random.normal(0, 1, width).astype(np.float32) for _ in seen]
        pairs = zip(seen, noise, strict=True)
        examine(part, [replace(film, embedding=embedding) for film, embedding in pairs])


def report(labels, findings):
    """Let these films have a report."""
    manifest = read_manifest(PATHS.manifest)
    named = [findings.get(image_id) for image_id in manifest["image_id"]]
    write_manifest(PATHS.manifest, manifest.assign(findings=pd.Series(named, dtype=object)))


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
    rows = read_selection()
    assert sorted(rows.loc[rows["role"] == "label", "image_id"]) == pool(labels)
    assert (rows["role"] == "control").sum() == 5
    assert "budget 50, pool 12" in caplog.text


def test_an_empty_pool_gives_a_header(labels, caplog):
    write_labels(PATHS.labels, labels[labels["state"] != "pool"], number=1)
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
    assert "`detect`" in told


@pytest.mark.usefixtures("by_scores")
def test_a_selector_that_does_not_follow_the_scores_stops_the_stage(labels, capsys, monkeypatch):
    def backwards(params):
        def select(pool, budget, **lots):
            upside_down = real(params)(replace(pool, scores=-pool.scores), budget, **lots)
            return [replace(choice, score=-choice.score) for choice in upside_down]

        return select

    real = selection.SELECTORS["topk"]
    monkeypatch.setitem(selection.SELECTORS, "topk", backwards)
    assert select.main() == 1
    assert capsys.readouterr().err.startswith("lungal select: film ")
    assert not PATHS.selection.exists()


def test_an_unknown_strategy_or_selector_is_named_with_the_known(labels, capsys):
    set_select(strategy="boldness")
    assert select.main() == 2
    told = capsys.readouterr().err
    assert told.startswith("lungal select: params.yaml: select.strategy: ")
    assert "'least_confidence', 'entropy'" in told
    set_select(strategy="entropy", selector="best")
    assert select.main() == 2
    told = capsys.readouterr().err
    assert "'typicality', got 'best'" in told
    assert "'topk', 'random'" in told


PARTICULARS = r"\d+\.\d+|\d+|detections?|(?<=surest: )[A-Z][a-z]+"
"""What differs from reason to reason, whatever a film is read for."""
ROLES = {"label": "pool", "control": "labelled", "reread": "labelled", "adjudicate": "disputed"}


@pytest.fixture
def mixed(labels):
    """A project with three disputed films and out-of-fold detections that doubt two labels.

    Returns the labels, and the two films that look wrong.
    """
    held = films(labels, "train", "labelled")
    disputed = labels["image_id"].isin(held[-3:])
    labels.loc[disputed, ["state", "origin", "boxes", "readers", "agreement"]] = [
        "disputed",
        None,
        None,
        2,
        0.25,
    ]
    write_labels(PATHS.labels, labels, number=1)
    truths = [truth for truth in ground_truth(labels, "train") if len(truth.boxes)]
    doubted = [truths[0].image_id, truths[2].image_id]
    examine("crossfit", [doubt(t, t.image_id in doubted) for t in ground_truth(labels, "train")])
    set_select(budget=20, reread_fraction=0.1)
    return labels, doubted


def doubt(truth, wrong):
    """Out-of-fold detections: the very boxes, of another class where the label is to look wrong."""
    kinds = (truth.labels + 4) % len(CLASSES) if wrong else truth.labels
    scores = np.full(len(truth.boxes), 0.9, np.float32)
    return Detections(truth.image_id, truth.boxes, scores, kinds.astype(np.int32))


def read_again(image_id, *, role="reread", round=1):  # noqa: A002  the field's name
    return Annotation(
        source_id=f"ls-{image_id}-{round}",
        image_id=image_id,
        round=round,
        reader="reader-1",
        verdict="no_finding",
        boxes=(),
        at="2026-11-20T10:00:00+00:00",
        role=role,
    )


def test_a_batch_of_all_roles(mixed):
    labels, doubted = mixed
    assert select.main() == 0
    rows = read_selection()
    # six patients wait in the pool; 2 known cases and at most 2 re-readings of a budget of 20
    assert Counter(rows["role"]) == {"label": 6, "control": 2, "reread": 2, "adjudicate": 3}
    assert rows["image_id"].is_unique
    assert rows.loc[rows["role"] == "label", "patient_id"].is_unique
    assert rows["rank"].tolist() == list(range(1, 14))
    assert rows["score"].is_monotonic_decreasing
    assert sorted(rows.loc[rows["role"] == "reread", "image_id"]) == sorted(doubted)
    state = labels.set_index("image_id")
    for row in rows.itertuples():
        assert state.loc[row.image_id, "split"] == "train"
        assert state.loc[row.image_id, "state"] == ROLES[row.role]
    assert set(state.loc[rows.loc[rows["role"] == "control", "image_id"], "origin"]) == {"initial"}
    shown = rows[rows["role"] != "adjudicate"]
    assert shown["blind"].sum() == 2  # a fifth of ten
    assert sorted(shown["readers"]) == [1] * 7 + [2] * 3  # a quarter of ten, rounded
    assert not rows.loc[rows["role"] == "adjudicate", "blind"].any()


def test_the_truth_of_a_known_case_is_nowhere_in_the_selection(mixed):
    labels, _ = mixed
    examine("crossfit", [])
    assert select.main() == 0
    before = PATHS.selection.read_bytes()
    known = labels["origin"] == "initial"
    other = [{"label": "Pneumothorax"} | dict.fromkeys(SIDES, 1.0)]
    labels.loc[known, "boxes"] = pd.Series([other] * len(labels), dtype=object)[known]
    write_labels(PATHS.labels, labels, number=1)
    assert select.main() == 0
    assert PATHS.selection.read_bytes() == before


def test_a_reason_has_one_form_for_all_but_adjudications(mixed):
    assert select.main() == 0
    rows = read_selection()
    forms = {
        role: {
            re.sub(PARTICULARS, "#", reason) for reason in rows.loc[rows["role"] == role, "reason"]
        }
        for role in ROLES
    }
    assert forms["label"] == forms["control"] == forms["reread"]
    assert len(forms["label"]) == 1
    assert all(
        "its readings agree by 0.25 only" in reason
        for reason in rows.loc[rows["role"] == "adjudicate", "reason"]
    )


def rereads():
    assert select.main() == 0
    rows = read_selection()
    return set(rows.loc[rows["role"] == "reread", "image_id"])


def test_a_film_is_not_read_again_twice(mixed):
    _, doubted = mixed
    append_log(PATHS.annotations, [read_again(doubted[0])])
    assert rereads() == {doubted[1]}
    append_log(PATHS.annotations, [read_again(doubted[1], role="adjudicate")])
    assert rereads() == set()


def test_neither_is_one_on_which_two_readers_agree(mixed):
    labels, doubted = mixed
    agreed = labels["image_id"] == doubted[0]
    labels.loc[agreed, ["origin", "readers", "agreement"]] = ["reader", 2, 0.75]
    write_labels(PATHS.labels, labels, number=1)
    assert rereads() == {doubted[1]}
    labels.loc[agreed, "agreement"] = 0.4  # they did not
    write_labels(PATHS.labels, labels, number=1)
    assert rereads() == set(doubted)


def test_a_reading_that_comes_in_while_films_are_chosen_counts(mixed, monkeypatch):
    _, doubted = mixed
    composed = select.compose

    def pull_then_compose(*given, **how):
        append_log(PATHS.annotations, [read_again(doubted[0])])
        return composed(*given, **how)

    monkeypatch.setattr(select, "compose", pull_then_compose)
    assert rereads() == {doubted[1]}


def test_what_the_round_itself_brings_does_not_change_the_selection(mixed):
    _, doubted = mixed
    assert select.main() == 0
    before = PATHS.selection.read_bytes()
    rows = read_selection()
    control = rows.loc[rows["role"] == "control", "image_id"].iloc[0]
    now = MODEL.round
    append_log(
        PATHS.annotations,
        [read_again(control, role="control", round=now), read_again(doubted[0], round=now)],
    )
    assert select.main() == 0
    assert PATHS.selection.read_bytes() == before


def test_without_crossfit_nothing_is_read_again(mixed):
    examine("crossfit", [])
    assert rereads() == set()


def test_adjudications_take_at_most_half_of_the_budget(mixed):
    labels, _ = mixed
    set_select(budget=4)
    assert select.main() == 0
    rows = read_selection()
    oldest = sorted(labels.loc[labels["state"] == "disputed", "image_id"])[:2]
    assert sorted(rows.loc[rows["role"] == "adjudicate", "image_id"]) == oldest


@pytest.mark.parametrize(("part", "stage"), [("train", "detect"), ("crossfit", "crossfit")])
def test_training_films_that_were_not_examined_stop_the_stage(mixed, capsys, part, stage):
    examine(part, read_detections(PATHS.detections / f"{part}.parquet")[1:])
    assert select.main() == 2
    assert f"the stage `{stage}` must run again" in capsys.readouterr().err
    (PATHS.detections / f"{part}.parquet").unlink()
    assert select.main() == 2
    assert f"the stage `{stage}` makes it" in capsys.readouterr().err


def test_a_held_out_film_in_any_role_stops_the_stage(mixed, capsys, monkeypatch):
    labels, _ = mixed
    held_out = labels.loc[labels["split"] == "test", "image_id"].iloc[0]

    def smuggle(known, *rest, **options):
        return [held_out, *real(known, *rest, **options)[1:]]

    real = composition.draw_controls
    examine(
        "train",
        [
            *read_detections(PATHS.detections / "train.parquet"),
            *read_detections(PATHS.detections / "test.parquet"),
        ],
    )
    monkeypatch.setattr(composition, "draw_controls", smuggle)
    assert select.main() == 1
    told = capsys.readouterr().err
    assert f"film {held_out} was chosen as control and is labelled in test" in told
    assert not PATHS.selection.exists()


def test_all_that_can_be_a_control_reread_or_adjudicated_is_examined(mixed):
    labels, _ = mixed
    asked = detect.choose(labels)["train"]
    known = (labels["split"] == "train") & labels["state"].isin(["labelled", "disputed"])
    assert sorted(asked) == sorted(labels.loc[known, "image_id"])
