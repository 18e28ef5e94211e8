"""The stage crossfit: every labelled film is seen by a detector that never saw its patient."""

import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from examined_project import make_project
from plugins.changed_params import change_params

from lungal.data.detections import read_detections
from lungal.data.labels import films, ground_truth, pool, write_labels
from lungal.data.tfrecords import read_records, write_records
from lungal.detectors.tfod.infer import load_detector
from lungal.errors import StageOrderError
from lungal.params import AugmentParams, TrainParams
from lungal.records import Detections, Image
from lungal.tuning.winner import Winner
from pipelines import crossfit
from pipelines.examined import read_committee
from pipelines.stage import PATHS, PIPELINE

OUT = PATHS.detections / "crossfit.parquet"
SIZE = 96


@pytest.fixture
def labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    labels = make_project()
    OUT.unlink()
    change_params(
        model={"architecture": "ssd_mobilenet_v2", "input_size": SIZE, "depth_multiplier": 0.35},
        crossfit={"folds": 3, "steps": 4},
    )
    write_best()
    for split in ("train", "val"):
        truths = ground_truth(labels, split)
        rng = np.random.default_rng(0)
        films = [Image(t.image_id, rng.integers(0, 255, (256, 256), np.uint8)) for t in truths]
        pairs = zip(films, truths, strict=True)
        detail = 2.0 if split == "train" else 1.0
        write_records(PATHS.records / split, pairs, input_size=SIZE, shards=2, detail=detail)
    return labels


def write_best(**changes):
    tuned = TrainParams(batch_size=4, steps=99, warmup_steps=2, augment=AugmentParams(crop=False))
    Winner(tuned.model_copy(update=changes)).write(PATHS.best)


@dataclass
class Workshop:
    """Trainings and detectors that remember what they were given; `stop_in` ends one early."""

    trained: list[set[str]] = field(default_factory=list)  # image_ids of each training
    params: list[TrainParams] = field(default_factory=list)
    stop_in: int | None = None  # number of the training that is interrupted

    def fit(self, train, val, model, params, *, work, on_step):
        assert {image.image_id[:1] for image, _ in read_records(val)} == {"2"}
        assert {image.pixels.shape for image, _ in read_records(train)} == {(2 * SIZE, 2 * SIZE)}
        self.trained.append({image.image_id for image, _ in read_records(train)})
        self.params.append(params)
        work.mkdir(parents=True, exist_ok=True)
        (work / "seen.json").write_text(json.dumps(sorted(self.trained[-1])))
        if len(self.trained) == self.stop_in:
            raise KeyboardInterrupt
        on_step(params.steps, {})
        return {}

    def export(self, work, out):
        out.mkdir()
        (out / "seen.json").write_bytes((work / "seen.json").read_bytes())
        return "0123456789abcdef"


class Eyes:
    """Reports as many boxes as its training had films of other patients."""

    def __init__(self, folder, params):
        self.seen = json.loads((folder / "seen.json").read_text())
        self.run = json.loads((folder / "run.json").read_text())

    def detect(self, images):
        for image in images:
            assert image.image_id[:8] not in {film[:8] for film in self.seen}
            count = len(self.seen)
            boxes = np.tile(np.array([[1, 2, 3, 4]], np.float32), (count, 1))
            yield Detections(
                image.image_id, boxes, np.ones(count, np.float32), np.zeros(count, np.int32)
            )


@pytest.fixture
def workshop(labels, monkeypatch):
    workshop = Workshop()
    monkeypatch.setattr(crossfit, "TfodTrainer", lambda: workshop)
    monkeypatch.setattr(crossfit, "load_detector", Eyes)
    return workshop


def leftovers():
    return list(crossfit.WORK.rglob("*"))


def test_each_film_is_seen_by_a_detector_without_its_patient(labels, workshop):
    assert crossfit.main() == 0
    known = films(labels, "train", "labelled")
    found = read_detections(OUT)
    assert [film.image_id for film in found] == known
    assert len(workshop.trained) == 3
    for film in found:
        others = [trained for trained in workshop.trained if film.image_id not in trained]
        assert [len(trained) for trained in others] == [len(film)]
    # Twelve films of six patients in three folds.
    assert [len(trained) for trained in workshop.trained] == [8, 8, 8]
    assert not leftovers()


def test_it_trains_as_tuned_but_for_the_steps(workshop):
    assert crossfit.main() == 0
    assert {params.steps for params in workshop.params} == {4}
    assert {params.batch_size for params in workshop.params} == {4}


@pytest.mark.parametrize("folds", [0, 2, 4, 6, 50])
def test_folds_are_even_and_keep_patients_together(labels, folds):
    dealt = crossfit.deal(labels, folds)
    assert sorted(film for fold in dealt for film in fold) == (
        films(labels, "train", "labelled") if folds else []
    )
    patients = [{film[:8] for film in fold} for fold in dealt]
    assert sum(map(len, patients)) == len(set().union(*patients))
    assert max(map(len, patients), default=0) - min(map(len, patients), default=0) <= 1
    assert len(dealt) == min(folds, 6)
    assert crossfit.deal(labels.iloc[::-1], folds) == dealt


def test_no_folds_make_an_empty_table_and_need_nothing(labels, workshop):
    change_params(crossfit={"folds": 0})
    PATHS.best.unlink()
    assert crossfit.main() == 0
    assert read_detections(OUT) == []
    assert not workshop.trained


def test_one_patient_is_not_enough(labels, workshop, caplog):
    only = labels["patient_id"] == labels.loc[labels["split"] == "train", "patient_id"].max()
    write_labels(PATHS.labels, labels[(labels["split"] != "train") | only], number=1)
    assert crossfit.main() == 0
    assert read_detections(OUT) == []
    assert not workshop.trained


def test_stopped_it_goes_on_with_the_fold_where_it_was(labels, workshop):
    assert crossfit.main() == 0
    undisturbed, whole = OUT.read_bytes(), list(workshop.trained)
    OUT.unlink()
    workshop.trained.clear()

    workshop.stop_in = 2
    assert crossfit.main() == 130
    assert not OUT.exists()
    training = next(crossfit.WORK.glob("*/2/training"))
    workshop.stop_in = None
    assert crossfit.main() == 0
    assert not training.exists()
    # The first fold once, the second in the folder of its first attempt, the third.
    assert workshop.trained == [whole[0], whole[1], whole[1], whole[2]]
    assert OUT.read_bytes() == undisturbed
    assert not leftovers()


def members(image_id):
    return [len(found) for found in read_committee([image_id])[image_id]]


def test_without_a_committee_nobody_looks_at_the_pool(labels, workshop):
    assert crossfit.main() == 0
    assert read_committee(pool(labels)) == dict.fromkeys(pool(labels), ())
    change_params(crossfit={"folds": 0})
    assert crossfit.main() == 0
    assert read_committee(pool(labels)) == dict.fromkeys(pool(labels), ())


def test_each_member_of_the_committee_looks_at_the_whole_pool(labels, workshop):
    write_labels(
        PATHS.labels, labels[labels["image_id"] != "40000000_000"], number=1
    )  # uneven folds
    change_params(crossfit={"committee": True})
    assert crossfit.main() == 0
    trained = [len(films) for films in workshop.trained]
    assert len(set(trained)) > 1
    for image_id in pool(labels):
        assert members(image_id) == trained
    found = read_detections(OUT)
    assert len(found) == 11
    assert not leftovers()


def test_a_committee_goes_on_where_it_was(labels, workshop, monkeypatch):
    change_params(crossfit={"committee": True})
    assert crossfit.main() == 0
    before = {path.name: path.read_bytes() for path in PATHS.committee.iterdir()}
    undisturbed, whole = OUT.read_bytes(), list(workshop.trained)
    OUT.unlink()
    shutil.rmtree(PATHS.committee)
    workshop.trained.clear()

    looked = []

    class Interrupted(Eyes):
        """Is stopped when the second detector, which has seen the pool, is to see its fold."""

        def detect(self, images):
            looked.append(self.run["model_version"])
            if len(looked) == 4:
                raise KeyboardInterrupt
            return super().detect(images)

    monkeypatch.setattr(crossfit, "load_detector", Interrupted)
    assert crossfit.main() == 130
    assert not OUT.exists()
    assert not PATHS.committee.exists()
    kept = next(crossfit.WORK.glob("*/2.pool.parquet"))
    looked.clear()
    looked.extend("12345")
    assert crossfit.main() == 0
    assert len(looked) == 5 + 1 + 2, "the second's fold, and the third's pool and fold"
    assert not kept.exists()
    assert workshop.trained == whole, "no detector was trained twice"
    assert {path.name: path.read_bytes() for path in PATHS.committee.iterdir()} == before
    assert OUT.read_bytes() == undisturbed


def test_a_committee_sees_the_pool_as_it_is_now(labels, workshop):
    change_params(crossfit={"committee": True})
    workshop.stop_in = 3
    assert crossfit.main() == 130
    workshop.trained.clear()
    workshop.stop_in = None
    first, *rest = pool(labels)
    write_labels(PATHS.labels, labels[labels["image_id"] != first], number=1)
    assert crossfit.main() == 0
    assert len(workshop.trained) == 3
    assert len(read_committee(rest)) == len(rest)
    with pytest.raises(StageOrderError, match="`crossfit` must run again"):
        read_committee([first])


@pytest.mark.parametrize("change", ["tuned", "labels", "detect"])
def test_folds_of_other_inputs_are_not_kept(labels, workshop, change):
    workshop.stop_in = 3
    assert crossfit.main() == 130
    workshop.trained.clear()
    if change == "tuned":
        write_best(learning_rate=0.5)
    elif change == "labels":
        write_labels(PATHS.labels, labels[labels["image_id"] != labels["image_id"].max()], number=1)
    else:
        change_params(detect={"score_threshold": 0.2})
    workshop.stop_in = None
    assert crossfit.main() == 0
    assert len(workshop.trained) == 3


@pytest.mark.slow
def test_a_real_model_folder_is_all_that_the_real_detector_needs(
    labels, workshop, tiny_exported, monkeypatch
):
    def export(work, out):
        shutil.copytree(tiny_exported, out, ignore=shutil.ignore_patterns("run.json"))
        return "0123456789abcdef"

    monkeypatch.setattr(workshop, "export", export)
    monkeypatch.setattr(crossfit, "load_detector", load_detector)
    change_params(crossfit={"folds": 2})
    assert crossfit.main() == 0
    found = read_detections(OUT)
    assert [film.image_id for film in found] == films(labels, "train", "labelled")
    for film in found:
        assert film.embedding is not None
        assert np.isfinite(film.boxes).all()
        assert film.class_scores is not None
    assert sum(map(len, found)) > 0


def test_folds_are_kept_if_a_parameter_changes_meanwhile(labels, workshop, monkeypatch, capsys):
    text = Path("params.yaml").read_text()
    shutil.copy(PIPELINE, ".")

    def look_and_change(*seen):
        change_params(crossfit={"steps": 5})
        return Eyes(*seen)

    monkeypatch.setattr(crossfit, "load_detector", look_and_change)
    assert crossfit.main() == 2
    assert "profiles.demo.crossfit was changed" in capsys.readouterr().err
    assert len(workshop.trained) == 3
    Path("params.yaml").write_text(text)
    monkeypatch.setattr(crossfit, "load_detector", Eyes)
    assert crossfit.main() == 0
    assert len(workshop.trained) == 3, "put back, nothing is trained again"
    assert not leftovers()
