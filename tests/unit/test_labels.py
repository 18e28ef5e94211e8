"""Who is labelled, who waits in the pool, and what must never be in the table."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungal.data.initial import choose_initial
from lungal.data.labelling import make_labels
from lungal.data.labels import (
    disputed,
    films,
    ground_truth,
    pool,
    read_labels,
    read_round,
    write_labels,
)
from lungal.errors import AnnotationError, LeakError, ParamsError, StageOrderError, UnknownNameError
from lungal.params import LabelParams, ReadingParams
from lungal.records import CLASSES, Annotation, LabelledBox

SPLITS = ["train"] * 12 + ["val"] * 3 + ["test"] * 3
IDS = [f"{number:08d}_000" for number in range(len(SPLITS))]
UNKNOWN = {IDS[10], IDS[11], IDS[14], IDS[17]}
"""Two training films, one validation and one test film whose truth nobody knows."""
FOUR = LabelParams(initial=4, seed=0)
READING = ReadingParams()


def box(label="Mass", offset=0.0):
    return LabelledBox(label, 10.0 + offset, 20.0, 50.0, 61.5)


def film_truth(number):
    # Every third film is without finding; coordinates tell whose truth a box is.
    return () if number % 3 == 2 else (box(CLASSES[number % 8], offset=number / 16),)


FOUND = (box(),)
TRUTH = {image_id: film_truth(n) for n, image_id in enumerate(IDS) if image_id not in UNKNOWN}


@pytest.fixture
def manifest():
    return pd.DataFrame({"image_id": IDS, "width": 100, "height": 80})


@pytest.fixture
def splits():
    return pd.DataFrame({"image_id": IDS, "patient_id": [i[:8] for i in IDS], "split": SPLITS})


def reading(
    image_id, verdict="finding", boxes=FOUND, number=1, at="2026-11-23T10:00:00Z", **changes
):
    kept = boxes if verdict == "finding" else ()
    plain = Annotation(f"ls-{image_id}-{number}", image_id, 1, "r1", verdict, kept, at)
    return replace(plain, **changes)


def row(labels, image_id):
    return labels.set_index("image_id").loc[image_id]


def test_training_films_are_labelled_or_in_the_pool(manifest, splits):
    labels = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    assert labels["image_id"].tolist() == IDS
    initial = films(labels, "train", "labelled")
    assert len(initial) == 4
    assert pool(labels) == sorted(set(films(labels, "train")) - set(initial))
    assert set(labels.loc[labels["image_id"].isin(initial), "origin"]) == {"initial"}


def test_held_out_films_are_labelled_or_excluded_but_never_in_the_pool(manifest, splits):
    labels = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    for split, unknown in (("val", IDS[14]), ("test", IDS[17])):
        assert films(labels, split, "excluded") == [unknown]
        assert films(labels, split, "pool") == []
        known = labels[(labels["split"] == split) & (labels["state"] == "labelled")]
        assert set(known["origin"]) == {"truth"}


def test_the_truth_of_the_pool_is_nowhere_in_the_file(manifest, splits, tmp_path):
    write_labels(
        tmp_path / "labels.parquet",
        make_labels(manifest, splits, TRUTH, [], FOUR, READING),
        number=1,
    )
    labels = read_labels(tmp_path / "labels.parquet")
    waiting = labels[labels["state"] == "pool"]
    assert len(waiting) == 8
    assert all(boxes is None for boxes in waiting["boxes"])
    assert all(origin is None for origin in waiting["origin"])
    hidden = {b.x1 for image_id in waiting["image_id"] for b in TRUTH.get(image_id, ())}
    told = {b["x1"] for boxes in labels["boxes"].dropna() for b in boxes}
    assert hidden
    assert told
    assert not hidden & told


def test_where_the_findings_of_the_pool_are_changes_no_byte(manifest, splits, tmp_path):
    labels = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    moved = TRUTH | {
        image_id: tuple(LabelledBox(b.label, 1.0, 1.0, 9.0, 9.0) for b in TRUTH[image_id])
        for image_id in pool(labels)
        if image_id in TRUTH
    }
    assert moved != TRUTH
    write_labels(tmp_path / "true.parquet", labels, number=1)
    write_labels(
        tmp_path / "moved.parquet",
        make_labels(manifest, splits, moved, [], FOUR, READING),
        number=1,
    )
    assert (tmp_path / "true.parquet").read_bytes() == (tmp_path / "moved.parquet").read_bytes()


def test_a_reading_takes_a_film_out_of_the_pool(manifest, splits):
    waiting = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    log = [reading(waiting[0]), reading(waiting[1], "no_finding")]
    labels = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    assert pool(labels) == waiting[2:]
    assert row(labels, waiting[0])["origin"] == "reader"
    assert [b["label"] for b in row(labels, waiting[0])["boxes"]] == ["Mass"]
    assert row(labels, waiting[1])["boxes"] == []


@pytest.mark.parametrize("verdict", ["unreadable", "skipped"])
def test_a_film_that_could_not_be_read_is_excluded(manifest, splits, verdict):
    waiting = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    labels = make_labels(manifest, splits, TRUTH, [reading(waiting[0], verdict)], FOUR, READING)
    out = row(labels, waiting[0])
    assert (out["state"], out["origin"], out["boxes"]) == ("excluded", None, None)


def test_the_latest_reading_counts_and_outweighs_the_initial_truth(manifest, splits):
    initial = films(make_labels(manifest, splits, TRUTH, [], FOUR, READING), "train", "labelled")[0]
    log = [
        reading(initial, "no_finding", number=2, at="2026-11-23T12:00:00Z"),
        reading(initial, number=1),
    ]
    labels = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    assert row(labels, initial)["boxes"] == []
    assert row(labels, initial)["origin"] == "reader"


@pytest.mark.parametrize("role", ["reread", "label", "adjudicate"])
def test_an_initial_film_that_its_readers_skip_keeps_its_truth(manifest, splits, role):
    before = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    initial = films(before, "train", "labelled")
    log = [reading(initial[0], "skipped", number=2, round=2, role=role)]
    log += [reading(initial[0], role="control"), reading(initial[1], "skipped", role="control")]
    after = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    pd.testing.assert_frame_equal(after, before)


def test_an_initial_film_that_a_reader_has_spoken_of_is_the_readers(manifest, splits):
    unreadable, quarrel, *_ = films(
        make_labels(manifest, splits, TRUTH, [], FOUR, READING), "train", "labelled"
    )
    log = [
        reading(unreadable, "unreadable", role="reread"),
        reading(quarrel, role="reread"),
        reading(quarrel, "no_finding", number=2, reader="r2", role="reread"),
        reading(quarrel, "skipped", number=3, reader="r3", role="adjudicate", round=2),
    ]
    labels = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    assert [row(labels, film)["state"] for film in (unreadable, quarrel)] == ["excluded"] * 2


def test_a_dispute_is_neither_labelled_nor_in_the_pool(manifest, splits):
    film, *_ = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    log = [reading(film), reading(film, "no_finding", number=2, reader="r2")]
    labels = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    assert disputed(labels) == [film]
    assert film not in pool(labels) + films(labels, "train", "labelled")
    held = row(labels, film)
    assert (held["origin"], held["boxes"], held["readers"], held["agreement"]) == (None, None, 2, 0)


def test_an_adjudication_labels_a_disputed_film(manifest, splits):
    film, *_ = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    dispute = [reading(film), reading(film, "no_finding", number=2, reader="r2")]
    judged = reading(film, number=3, reader="r3", round=2, role="adjudicate")
    labels = make_labels(manifest, splits, TRUTH, [*dispute, judged], FOUR, READING)
    assert disputed(labels) == []
    assert (row(labels, film)["origin"], row(labels, film)["readers"]) == ("reader", 1)
    assert np.isnan(row(labels, film)["agreement"])


def test_readers_who_agree_are_averaged(manifest, splits):
    film, *_ = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    log = [reading(film), reading(film, boxes=(box(offset=2.0),), number=2, reader="r2")]
    labels = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    assert row(labels, film)["boxes"] == [
        {"label": "Mass", "x1": 11.0, "y1": 20.0, "x2": 50.0, "y2": 61.5}
    ]
    assert (row(labels, film)["readers"], row(labels, film)["agreement"]) == (2, 1)
    any_box = make_labels(manifest, splits, TRUTH, log, FOUR, ReadingParams(policy="any"))
    assert row(any_box, film)["boxes"][0]["x1"] == 10.0


def test_a_film_that_nobody_reads_has_no_readers(manifest, splits):
    labels = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    assert set(labels["readers"]) == {0}
    assert labels["agreement"].isna().all()


def test_controls_change_no_byte(manifest, splits, tmp_path):
    before = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    log = [
        reading(film, verdict, role="control")
        for films_of in (films(before, "train", "labelled"), pool(before)[:2])
        for film, verdict in zip(films_of, ["finding", "unreadable"], strict=False)
    ]
    assert len(log) == 4
    write_labels(tmp_path / "before.parquet", before, number=1)
    after = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    write_labels(tmp_path / "after.parquet", after, number=1)
    assert (tmp_path / "before.parquet").read_bytes() == (tmp_path / "after.parquet").read_bytes()


def test_a_deleted_reading_gives_the_film_back_to_the_pool(manifest, splits):
    film, *_ = waiting = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    said = reading(film, source_id="ls-1-7@a")
    gone = reading(film, "deleted", source_id="ls-1-7@deleted-b", at="2026-11-23T11:00:00Z")
    assert film not in pool(make_labels(manifest, splits, TRUTH, [said], FOUR, READING))
    labels = make_labels(manifest, splits, TRUTH, [gone, said], FOUR, READING)
    assert pool(labels) == waiting


def test_a_deleted_reading_leaves_what_others_said(manifest, splits):
    film, *_ = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    said = [reading(film, source_id="ls-1-7@a"), reading(film, "no_finding", 8, reader="r2")]
    gone = reading(film, "deleted", source_id="ls-1-7@deleted-b", at="2026-11-23T11:00:00Z")
    labels = make_labels(manifest, splits, TRUTH, [*said, gone], FOUR, READING)
    assert row(labels, film)["boxes"] == []
    assert row(labels, film)["readers"] == 1


def test_a_refused_reading_changes_nothing(manifest, splits):
    film, *_ = pool(make_labels(manifest, splits, TRUTH, [], FOUR, READING))
    said = reading(film, source_id="ls-1-7@a")
    refused = reading(film, "refused", source_id="ls-1-7@refused-b", at="2026-11-23T11:00:00Z")
    stranger = reading("77777777_000", "refused", number=9)
    one = make_labels(manifest, splits, TRUTH, [said], FOUR, READING)
    other = make_labels(manifest, splits, TRUTH, [said, refused, stranger], FOUR, READING)
    pd.testing.assert_frame_equal(one, other)


def test_readings_do_not_move_the_initial_set(manifest, splits):
    before = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    log = [reading(image_id) for image_id in pool(before)]
    after = make_labels(manifest, splits, TRUTH, log, FOUR, READING)
    chosen = [f.loc[f["origin"] == "initial", "image_id"].tolist() for f in (before, after)]
    assert chosen[0] == chosen[1]


def test_a_reading_of_an_unknown_film_is_refused(manifest, splits):
    with pytest.raises(AnnotationError, match=r"'ls-99999999_000-1'.*not in the manifest"):
        make_labels(manifest, splits, TRUTH, [reading("99999999_000")], FOUR, READING)


def test_a_reading_of_a_film_in_no_split_is_refused(manifest, splits):
    with pytest.raises(AnnotationError, match=f"{IDS[0]}.*in no split"):
        make_labels(manifest, splits[1:], TRUTH, [reading(IDS[0])], FOUR, READING)


@pytest.mark.parametrize(("image_id", "split"), [(IDS[12], "val"), (IDS[16], "test")])
def test_a_reading_of_a_held_out_film_is_a_leak(manifest, splits, image_id, split):
    with pytest.raises(LeakError, match=f"{image_id}.*held out, in {split}"):
        make_labels(manifest, splits, TRUTH, [reading(image_id)], FOUR, READING)


def test_a_patient_in_two_splits_is_a_leak(manifest, splits):
    splits.loc[0, "patient_id"] = splits.loc[13, "patient_id"]
    with pytest.raises(LeakError, match="patient 00000013 is in train and val"):
        make_labels(manifest, splits, TRUTH, [], FOUR, READING)


def test_a_box_beyond_the_film_is_refused_and_a_rounding_pixel_is_cut(manifest, splits):
    outside = reading(IDS[10], boxes=(LabelledBox("Mass", 10, 10, 102, 50),))
    with pytest.raises(AnnotationError, match="outside the 100x80 film"):
        make_labels(manifest, splits, TRUTH, [outside], FOUR, READING)
    rounded = reading(IDS[10], boxes=(LabelledBox("Mass", -0.5, 10, 100.5, 50),))
    labels = make_labels(manifest, splits, TRUTH, [rounded], FOUR, READING)
    (kept,) = row(labels, IDS[10])["boxes"]
    assert (kept["x1"], kept["x2"]) == (0, 100)
    nothing_left = reading(IDS[10], boxes=(LabelledBox("Mass", 100, 10, 101, 50),))
    with pytest.raises(AnnotationError, match="no area on the 100x80 film"):
        make_labels(manifest, splits, TRUTH, [nothing_left], FOUR, READING)


def test_splits_of_another_manifest_are_refused(manifest, splits):
    with pytest.raises(StageOrderError, match=f"{IDS[3]}.*`split`"):
        make_labels(manifest.drop(3), splits, TRUTH, [], FOUR, READING)


def test_an_initial_set_beyond_what_is_known_names_both_numbers(manifest, splits):
    with pytest.raises(ParamsError, match=r"label\.initial is 11, but only 10 training films"):
        make_labels(manifest, splits, TRUTH, [], LabelParams(initial=11), READING)


def test_all_leaves_only_films_of_unknown_truth_in_the_pool(manifest, splits):
    labels = make_labels(manifest, splits, TRUTH, [], LabelParams(initial="all"), READING)
    assert pool(labels) == [IDS[10], IDS[11]]


def test_the_order_of_rows_means_nothing(manifest, splits):
    one = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    other = make_labels(manifest[::-1], splits[::-1], TRUTH, [], FOUR, READING)
    pd.testing.assert_frame_equal(one, other)


truths = st.dictionaries(
    st.integers(0, 999).map("{:08d}_000".format),
    st.lists(st.sampled_from(CLASSES), max_size=3).map(lambda names: tuple(map(box, names))),
    min_size=1,
    max_size=40,
)


@settings(max_examples=60, deadline=None)
@given(truths, st.integers(0, 50), st.integers(8, 40))
def test_the_initial_set_has_every_class_that_is_there(truth, seed, size):
    chosen = choose_initial(truth, truth, LabelParams(initial=min(size, len(truth)), seed=seed))
    assert len(chosen) == min(size, len(truth))
    there = {b.label for boxes in truth.values() for b in boxes}
    assert {b.label for film in chosen for b in truth[film]} == there


@settings(max_examples=60, deadline=None)
@given(truths, st.integers(0, 50), st.randoms())
def test_the_initial_set_is_a_function_of_the_seed(truth, seed, random):
    params = LabelParams(initial=max(1, len(truth) // 2), seed=seed)
    shuffled = random.sample(sorted(truth), len(truth))
    assert choose_initial(shuffled, truth, params) == choose_initial(truth, truth, params)


def test_another_seed_chooses_another_initial_set():
    truth = {f"{n:08d}_000": () for n in range(100)}
    sets = [choose_initial(truth, truth, LabelParams(initial=10, seed=s)) for s in (0, 1)]
    assert sets[0] != sets[1]


def test_ground_truth_is_of_labelled_films_only_and_survives_the_file(manifest, splits, tmp_path):
    made = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    write_labels(tmp_path / "labels.parquet", made, number=1)
    read = read_labels(tmp_path / "labels.parquet")
    pd.testing.assert_frame_equal(read, made, check_dtype=False)
    for labels in (made, read):
        truths = ground_truth(labels, "val")
        assert [truth.image_id for truth in truths] == IDS[12:14]
        for truth in truths:
            assert truth.boxes.dtype == np.float32
            expected = [b.xyxy for b in TRUTH[truth.image_id]]
            np.testing.assert_array_equal(truth.boxes, np.reshape(expected, (-1, 4)))


def test_a_class_that_nobody_knows_is_named(manifest, splits):
    odd = TRUTH | {IDS[12]: (box("Hernia"),)}
    labels = make_labels(manifest, splits, odd, [], FOUR, READING)
    with pytest.raises(UnknownNameError, match="'Hernia'; known: Atelectasis"):
        ground_truth(labels, "val")


def test_labels_know_their_round(manifest, splits, tmp_path):
    path = tmp_path / "labels.parquet"
    with pytest.raises(StageOrderError, match="label"):
        read_round(path)
    labels = make_labels(manifest, splits, TRUTH, [], FOUR, READING)
    write_labels(path, labels, number=3)
    assert read_round(path) == 3
    assert read_labels(path).equals(labels.sort_values("image_id", ignore_index=True))
    labels.to_parquet(path)  # as an earlier version wrote them
    with pytest.raises(StageOrderError, match="does not say its round; run: dvc repro -f label"):
        read_round(path)
    path.write_bytes(b"PAR1")
    with pytest.raises(StageOrderError, match="is damaged"):
        read_round(path)
