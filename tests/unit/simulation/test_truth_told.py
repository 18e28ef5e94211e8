"""What a campaign takes from the truth: who is dealt where, how long it is read, what is wrong."""

import numpy as np
import pandas as pd
import pytest

from lungal.errors import LeakError, ParamsError
from lungal.reading.scripted import BOX_SECONDS, GLANCE_SECONDS, LOOK_SECONDS
from lungal.records import CLASSES, Detections, GroundTruth, LabelledBox
from lungal.simulation.films import gather_films
from lungal.simulation.loss import film_loss
from lungal.simulation.reader import TrueReader

DEALT = {
    "00000001_000": "train",
    "00000001_001": "train",
    "00000002_000": "train",
    "00000003_000": "val",
    "00000004_000": "test",
    "00000004_001": "test",
}
KNOWN = {name: () for name in DEALT if name != "00000001_001"}


def splits(dealt):
    names = list(dealt)
    rows = {"image_id": names, "patient_id": [name[:8] for name in names]}
    return pd.DataFrame(rows | {"split": list(dealt.values())})


def films_of(films):
    return films.train, films.val, films.test


def manifest(dealt):
    rows = splits(dealt).drop(columns="split").assign(width=100, height=80)
    rows = rows.assign(source="nih", sha256=rows["image_id"], view="PA", sex=None, age=40)
    rows["age"] = rows["age"].astype("Int32")
    return rows.assign(findings=[["Mass"], None, [], ["Mass"], None, ["Nodule"]][: len(rows)])


def test_films_are_dealt_by_their_splits_and_only_those_whose_truth_is_known():
    films = gather_films(manifest(DEALT), splits(DEALT), KNOWN)
    assert films.train == ("00000001_000", "00000002_000")
    assert films.val == ("00000003_000",)
    assert films.test == ("00000004_000", "00000004_001")
    homes = [{films.patients[name] for name in part} for part in films_of(films)]
    assert sum(map(len, homes)) == len(set().union(*homes)), "nobody is in two of them"
    assert set(films.patients) == set(films.sizes) == set(KNOWN)
    assert films.reports["00000001_000"] == {"Mass"}
    assert films.reports["00000002_000"] == frozenset(), "a report that names nothing"
    assert "00000004_000" not in films.reports, "no report"


def test_a_patient_of_the_pool_who_is_tested_on_is_refused():
    straying = DEALT | {"00000002_000": "test", "00000002_001": "train"}
    with pytest.raises(LeakError, match="00000002 is in test and train"):
        gather_films(manifest(DEALT), splits(straying), KNOWN | {"00000002_001": ()})


def test_a_split_without_a_known_film_is_refused():
    truth = {name: () for name in KNOWN if DEALT[name] != "val"}
    with pytest.raises(ParamsError, match="no film of the split val has a known truth"):
        gather_films(manifest(DEALT), splits(DEALT), truth)


BOX, FAR = (10.0, 10.0, 30.0, 30.0), (50.0, 50.0, 70.0, 70.0)
MASS, NODULE = CLASSES.index("Mass"), CLASSES.index("Nodule")


def seen(*found):
    boxes, scores, labels = zip(*found, strict=True)
    return Detections(
        "00000001_000", np.array(boxes, np.float32), np.array(scores, np.float32), np.array(labels)
    )


def test_a_film_takes_a_look_a_glance_at_each_box_shown_and_the_drawing_of_what_is_missing():
    truth = {"00000001_000": (LabelledBox("Mass", *BOX), LabelledBox("Nodule", *FAR))}
    reader = TrueReader(truth, {"00000001_000": (100, 80)}, draw_threshold=0.3, max_boxes=2)
    right, wrong, faint = (BOX, 0.9, MASS), (FAR, 0.5, MASS), (FAR, 0.2, NODULE)
    pace = reader.seconds(seen(wrong)) / (LOOK_SECONDS + GLANCE_SECONDS + 2 * BOX_SECONDS)
    for shown, drawn, found in [
        (1, 1, [right]),
        (2, 1, [right, wrong]),
        (1, 1, [right, faint]),  # too faint to be drawn beforehand
        (2, 1, [right, wrong, (BOX, 0.4, NODULE)]),  # no more than two are
        (2, 1, [(BOX, 0.4, NODULE), (BOX, 0.4, MASS), wrong, right]),  # the surest two
        (2, 0, [right, (FAR, 0.5, NODULE)]),
    ]:
        expected = pace * (LOOK_SECONDS + shown * GLANCE_SECONDS + drawn * BOX_SECONDS)
        assert reader.seconds(seen(*found)) == pytest.approx(expected, abs=0.1), found


def test_the_loss_of_a_film_by_hand():
    truth = GroundTruth.of("a", [LabelledBox("Mass", *BOX), LabelledBox("Nodule", *FAR)])
    hit, weaker = (BOX, 0.8, MASS), (BOX, 0.3, MASS)
    misnamed = (FAR, 0.5, MASS)  # adds .5, and the nodule 1
    found = film_loss(truth, seen(hit, misnamed, weaker), 0.4)
    wrong = (1 - 0.8) + 1 + 0.5
    assert found == pytest.approx(wrong / (1 + wrong), abs=1e-6)
    assert film_loss(truth, seen((BOX, 1.0, MASS), (FAR, 1.0, NODULE)), 0.4) == 0
    nothing = GroundTruth.of("a", [])
    assert film_loss(nothing, seen(hit).above(0.9), 0.4) == 0
    assert film_loss(nothing, seen(hit), 0.4) == pytest.approx(0.8 / 1.8, abs=1e-6)
