import pytest

from lungal.detectors.tfod.progress import Progress
from lungal.errors import DetectorError
from lungal.params import ModelParams, TrainParams


@pytest.fixture
def progress(tmp_path):
    return Progress(tmp_path, ModelParams(), TrainParams(patience=2), "key")


def ap(value, loose=0.0, behind=0.0):
    return {"val/weighted_ap": value, "val/macro_ap40": loose, "val/behind_leader": behind}


def test_the_leader_has_the_highest_ap_then_the_looser_then_is_the_earliest(progress):
    for step, value, loose, leader in (
        (10, 0.1, 0.0, 10),
        (20, 0.2, 0.3, 20),
        (30, 0.2, 0.2, 20),
        (40, 0.2, 0.4, 40),
        (50, 0.2, 0.4, 40),
    ):
        progress.record(step, ap(value, loose))
        assert progress.leader == leader


def test_a_later_checkpoint_is_kept_unless_it_is_surely_worse(progress):
    assert progress.record(10, ap(0.3))
    assert progress.record(20, ap(0.2, behind=-0.01)), "worse by luck, for all that is known"
    assert not progress.record(30, ap(0.1, behind=0.02))
    assert progress.best == {**ap(0.2, behind=-0.01), "best_step": 20.0}
    assert progress.record(40, ap(0.25))
    assert progress.record(50, ap(0.4))
    assert not progress.record(60, ap(0.1, behind=0.1))
    assert progress.best_step == 50


def test_what_the_leader_saw_has_a_file_and_former_leaders_have_none(progress, tmp_path):
    for step, value in ((10, 0.1), (20, 0.3), (30, 0.2)):
        progress.record(step, ap(value))
        if progress.leader == step:
            progress.leader_file.write_bytes(b"")
        progress.save()
    assert [path.name for path in tmp_path.glob("leader-*")] == ["leader-20.parquet"]


def test_training_stops_after_patience_validations_without_a_better_one(progress):
    for step, value in ((10, 0.1), (20, 0.3), (30, 0.2)):
        progress.record(step, ap(value))
        assert not progress.exhausted
    progress.record(40, ap(0.3))
    assert progress.exhausted


def test_a_detector_that_finds_nothing_yet_is_not_given_up(progress):
    for step in range(10, 100, 10):
        progress.record(step, ap(0.0))
    assert not progress.exhausted


def test_a_repeated_validation_counts_once(progress):
    progress.record(10, ap(0.3))
    for _ in range(5):
        progress.record(20, ap(0.2))
    assert not progress.exhausted


def test_what_was_saved_is_loaded(progress, tmp_path):
    progress.record(10, ap(0.3))
    progress.save(finished=True)
    loaded = Progress.load(tmp_path)
    assert loaded.finished
    assert loaded.best == {**ap(0.3), "best_step": 10.0}
    assert loaded.leader_file == progress.leader_file
    assert loaded.params == progress.params


def test_a_worker_joins_what_the_chief_opened_and_never_clears_it(tmp_path):
    given = (tmp_path / "work", tmp_path, tmp_path, ModelParams())
    with pytest.raises(DetectorError, match="holds no training: all workers must share"):
        Progress.join(*given, TrainParams())
    opened = Progress.open(*given, TrainParams())
    opened.record(5, {"val/weighted_ap": 0.1})
    opened.save()
    assert Progress.join(*given, TrainParams()).validations == opened.validations
    with pytest.raises(DetectorError, match="other parameters or records"):
        Progress.join(*given, TrainParams(learning_rate=0.5))
    assert Progress.load(given[0]).validations == opened.validations
