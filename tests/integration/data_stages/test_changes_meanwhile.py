"""DVC notes down parameters and readings as they are when a stage has ended."""

import itertools
import shutil

import pytest

from lungal.data.annotations import append_log
from lungal.data.labels import films, pool, read_labels, read_round
from lungal.errors import StageOrderError
from lungal.records import Annotation
from pipelines import label, records, split
from pipelines.stage import PATHS, PIPELINE, until_settled


@pytest.fixture
def meanwhile(monkeypatch):
    """A function that lets something happen, once, when a stage has written what it makes."""

    def arrange(stage, write, happen):
        written = getattr(stage, write)
        todo = [happen]

        def write_then_change(*args, **kwargs):
            written(*args, **kwargs)
            if todo:
                todo.pop()()

        monkeypatch.setattr(stage, write, write_then_change)

    return arrange


@pytest.fixture(autouse=True)
def locked(project):
    """DVC runs the stages here."""
    shutil.copy(PIPELINE, project)


def test_where_nothing_is_noted_down_nothing_is_refused(project, change_params, meanwhile):
    (project / PIPELINE.name).unlink()
    meanwhile(split, "write_splits", lambda: change_params("  test: 0.2", "  test: 0.3"))
    assert split.main([]) == 0


def test_readings_that_never_cease_end_the_stage():
    readings = itertools.count()
    with pytest.raises(StageOrderError, match="readings came in 5 times while the stage ran"):
        until_settled(lambda: next(readings), lambda _: None)


def test_a_parameter_that_changes_while_a_stage_runs_fails_it(
    project, change_params, meanwhile, capsys
):
    meanwhile(split, "write_splits", lambda: change_params("  test: 0.2", "  test: 0.3"))
    assert split.main([]) == 2
    said = "params.yaml: split was changed while the stage ran: run `dvc repro` again"
    assert capsys.readouterr().err.splitlines()[-1] == f"lungal split: {said}"
    assert split.main([]) == 0, "it is no longer changing"


@pytest.mark.parametrize(
    ("old", "new"),
    [("  initial: 12 ", "  initial: 13 "), ("  test: 0.2", "  test: 0.20"), ("demo #", "cpu #")],
)
def test_what_the_stage_does_not_read_may_change(project, change_params, meanwhile, old, new):
    meanwhile(split, "write_splits", lambda: change_params(old, new))
    assert split.main([]) == 0


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("  shards: 3 ", "  shards: 2 ", "records"),
        ("      input_size: 160", "      input_size: 96", "profiles.demo.model.input_size"),
        ("profile: demo ", "profile: cpu ", "profile"),
    ],
)
def test_so_does_one_of_the_profile_or_another_profile(
    project, change_params, meanwhile, capsys, old, new, name
):
    assert split.main([]) == 0
    assert label.main([]) == 0
    meanwhile(records, "write_records", lambda: change_params(old, new))
    assert records.main(["val"]) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith(f"lungal records: params.yaml: {name} was changed")


def test_parameters_that_can_no_longer_be_read_fail_it_too(project, meanwhile, capsys):
    meanwhile(split, "write_splits", (project / "params.yaml").unlink)
    assert split.main([]) == 2
    assert "params.yaml is missing" in capsys.readouterr().err


def test_a_reading_that_comes_in_while_labels_are_made_is_among_them(project, meanwhile):
    assert split.main([]) == 0
    assert label.main([]) == 0
    first, second = pool(read_labels(PATHS.labels))[:2]

    def pull(image_id, number):
        at = "2026-11-23T10:00:00Z"
        event = Annotation(f"ls-{image_id}", image_id, number, "r1", "no_finding", (), at)
        append_log(PATHS.annotations, [event])

    pull(first, 1)
    meanwhile(label, "write_labels", lambda: pull(second, 2))
    assert label.main([]) == 0
    assert {first, second} <= set(films(read_labels(PATHS.labels), "train", "labelled"))
    assert read_round(PATHS.labels) == 3
