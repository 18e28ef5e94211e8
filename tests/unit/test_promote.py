"""Promotion over a registry in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from lungal.data.detections import write_detections
from lungal.data.manifest import write_truth
from lungal.errors import PromotionError
from lungal.records import Detections, LabelledBox, class_index
from lungal.rounds.promote import FORMER_DETECTIONS, TRUTH, promote
from lungal.tracking import ModelVersion
from lungal.tracking.registry import TEST_HASH, TEST_SCORE

FILMS = [f"{patient:08d}_000" for patient in range(12)]
BOX = (10.0, 10.0, 50.0, 50.0)


class Memory:
    """A registry of dictionaries."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.aliases: dict[str, ModelVersion] = {}
        self.metrics: dict[tuple[str, str], float] = {}
        self.files: dict[tuple[str, str], Path] = {}

    def add(
        self,
        alias: str,
        number: int,
        *,
        test: str | None = "h1",
        run: str = "",
        **scores: float | None,
    ) -> ModelVersion:
        tags = {} if test is None else {TEST_HASH: test}
        tags |= {f"{TEST_SCORE}{name}": str(score) for name, score in scores.items()}
        version = ModelVersion(str(number), f"r{number}-x", run or f"run-{number}", tags)
        self.aliases[alias] = version
        return version

    def keep(self, version: ModelVersion, found: int, place: str = "") -> None:
        """Keep the truth, and detections that find it on the first `found` films."""
        folder = self.folder / version.number
        folder.mkdir()
        truth = {film: (LabelledBox("Mass", *BOX),) for film in FILMS}
        write_truth(folder / "test.jsonl", truth)
        write_detections(
            folder / "test.parquet",
            [see(film, hit=number < found) for number, film in enumerate(FILMS)],
        )
        self.files[version.run_id, TRUTH] = folder / "test.jsonl"
        self.files[version.run_id, place or version.detections] = folder / "test.parquet"

    def version(self, alias: str) -> ModelVersion | None:
        return self.aliases.get(alias)

    def point(self, alias: str, version: ModelVersion) -> None:
        self.aliases[alias] = version

    def metric(self, version: ModelVersion, name: str) -> float | None:
        return self.metrics.get((version.run_id, name))

    @contextmanager
    def artifact(self, version: ModelVersion, path: str) -> Iterator[Path | None]:
        yield self.files.get((version.run_id, path))


def see(film: str, *, hit: bool) -> Detections:
    box = BOX if hit else (60.0, 60.0, 90.0, 90.0)
    label = class_index("Mass")
    return Detections(
        film, np.array([box], np.float32), np.array([0.9], np.float32), np.array([label], np.int32)
    )


@pytest.fixture
def registry(tmp_path: Path) -> Memory:
    return Memory(tmp_path)


def test_nothing_to_promote_says_what_makes_a_candidate(registry: Memory) -> None:
    with pytest.raises(PromotionError, match="dvc repro"):
        promote(registry)


def test_the_candidate_must_be_the_model_that_is_here(registry: Memory) -> None:
    candidate = registry.add("candidate", 1)
    with pytest.raises(PromotionError, match=r"candidate is r1-x.*model here is r1-y.*--force"):
        promote(registry, here="r1-y")
    assert "champion" not in registry.aliases
    assert promote(registry, here="r1-x").promoted
    assert registry.aliases.pop("champion") == candidate
    assert promote(registry, here="r1-y", force=True).promoted


def test_first_evaluated_candidate_is_champion(registry: Memory) -> None:
    candidate = registry.add("candidate", 1)
    report = promote(registry)
    assert report.promoted
    assert registry.aliases["champion"] == candidate


def test_candidate_that_was_not_evaluated_stays_where_it_is(registry: Memory) -> None:
    registry.add("candidate", 1, test=None)
    report = promote(registry)
    assert not report.promoted
    assert "r1-x has not been evaluated" in report.reason
    assert "champion" not in registry.aliases


@pytest.mark.parametrize(("ours", "theirs"), [(10, 4), (4, 10), (7, 7)])
def test_better_on_the_same_films_wins_with_an_interval(
    registry: Memory, ours: int, theirs: int
) -> None:
    champion, candidate = registry.add("champion", 1), registry.add("candidate", 2)
    registry.keep(champion, theirs)
    registry.keep(candidate, ours)
    report = promote(registry, draws=100)
    assert report.promoted == (ours > theirs)
    assert registry.aliases["champion"] == (candidate if ours > theirs else champion)
    assert report.difference is not None
    assert np.sign(report.difference) == np.sign(ours - theirs)
    assert report.interval is not None
    low, high = report.interval
    assert low <= report.difference <= high
    assert ("may be chance" in report.reason) == (low <= 0 <= high)
    assert "on 12 films" in report.reason


def test_two_models_of_one_run_are_compared_each_by_its_own(registry: Memory) -> None:
    champion, candidate = (
        registry.add(alias, number, run="the same")
        for alias, number in (("champion", 1), ("candidate", 2))
    )
    registry.keep(champion, 4)
    registry.keep(candidate, 10)
    report = promote(registry, draws=100)
    assert report.promoted
    assert report.interval is not None


def test_detections_of_an_earlier_run_are_found_where_they_lay_then(registry: Memory) -> None:
    champion, candidate = registry.add("champion", 1), registry.add("candidate", 2)
    registry.keep(champion, 4, place=FORMER_DETECTIONS)
    registry.keep(candidate, 10)
    report = promote(registry, draws=100)
    assert report.promoted
    assert report.interval is not None


def test_what_two_models_of_an_earlier_run_both_left_is_neithers(registry: Memory) -> None:
    registry.add("champion", 1, run="the same", macro_ap40=0.3)
    candidate = registry.add("candidate", 2, run="the same", macro_ap40=0.4)
    registry.keep(candidate, 10, place=FORMER_DETECTIONS)
    registry.metrics["the same", "test/macro_ap40"] = 0.4
    report = promote(registry)
    assert report.promoted
    assert report.difference == pytest.approx(0.1)
    assert report.interval is None


def test_films_of_one_patient_have_no_interval(
    registry: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lungal.rounds.promote.patient_of", lambda _: "the only one")
    champion, candidate = registry.add("champion", 1), registry.add("candidate", 2)
    registry.keep(champion, 4)
    registry.keep(candidate, 10)
    report = promote(registry, draws=10)
    assert report.promoted
    assert report.interval is None
    assert "on 12 films; no interval, as they are of one patient" in report.reason


def test_overlap_decides_which_metric_counts(registry: Memory) -> None:
    champion, candidate = registry.add("champion", 1), registry.add("candidate", 2)
    for version, at_40, at_50 in ((champion, 0.3, 0.2), (candidate, 0.2, 0.3)):
        registry.metrics[version.run_id, "test/macro_ap40"] = at_40
        registry.metrics[version.run_id, "test/macro_ap50"] = at_50
    refused = promote(registry)
    assert (refused.promoted, refused.metric) == (False, "macro_ap40")
    assert refused.difference == pytest.approx(-0.1)
    assert refused.interval is None
    assert promote(registry, iou=0.5).promoted


@pytest.mark.parametrize("value", [None, float("nan")])
def test_missing_figure_is_named(registry: Memory, value: float | None) -> None:
    registry.add("champion", 1)
    candidate = registry.add("candidate", 2, macro_ap40=None)  # what cannot be measured is None
    registry.metrics["run-1", "test/macro_ap40"] = 0.1
    assert candidate.test_score("macro_ap40") is None
    if value is not None:
        registry.metrics[candidate.run_id, "test/macro_ap40"] = value
    report = promote(registry)
    assert not report.promoted
    assert "r2-x has no test/macro_ap40" in report.reason


def test_other_test_set_is_refused_whatever_the_figures(registry: Memory) -> None:
    champion = registry.add("champion", 1, test="h1")
    candidate = registry.add("candidate", 2, test="h2")
    registry.keep(champion, 1)
    registry.keep(candidate, 12)
    report = promote(registry)
    assert not report.promoted
    assert "different test sets (h2 and h1)" in report.reason
    assert registry.aliases["champion"] == champion


def test_force_promotes_and_says_that_it_was_forced(registry: Memory) -> None:
    registry.add("champion", 1, test="h1")
    candidate = registry.add("candidate", 2, test="h2")
    report = promote(registry, force=True)
    assert report.promoted
    assert report.reason.startswith("forced, although")
    assert registry.aliases["champion"] == candidate


@pytest.mark.parametrize("force", [False, True])
def test_champion_is_not_promoted_again(registry: Memory, force: bool) -> None:
    registry.aliases["champion"] = registry.add("candidate", 1)
    report = promote(registry, force=force)
    assert not report.promoted
    assert "champion already" in report.reason
