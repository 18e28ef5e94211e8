"""Promotion: the candidate becomes the champion if it is better on the very same test films."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lungal.data.detections import read_detections
from lungal.data.manifest import read_truth
from lungal.data.sources.survey import patient_of
from lungal.errors import PromotionError
from lungal.evaluation.bootstrap import Interval, class_ap_at, paired_difference
from lungal.records import Detections, GroundTruth
from lungal.tracking.models import CANDIDATE, CHAMPION
from lungal.tracking.registry import ModelVersion

TRUTH = "truth/test.jsonl"
"""Artifact of a run, logged by `evaluate`, beside the detections of each of its models."""
FORMER_DETECTIONS = "detections/test.parquet"
"""Where these lay once: of two models of a run only the later one's."""


class Registry(Protocol):
    """Where versions and aliases are kept: MLflow, or memory."""

    def version(self, alias: str) -> ModelVersion | None:
        """Return the version that an alias names, or None."""
        ...

    def point(self, alias: str, version: ModelVersion) -> None:
        """Let an alias name this version and no other."""
        ...

    def metric(self, version: ModelVersion, name: str) -> float | None:
        """Return the last value of a metric of the version's run, or None."""
        ...

    def artifact(self, version: ModelVersion, path: str) -> AbstractContextManager[Path | None]:
        """Yield a local copy of an artifact of the version's run, or None."""
        ...


@dataclass(frozen=True, slots=True)
class PromotionReport:
    """What was decided, and on what grounds.

    metric: name of the metric that decided; difference: candidate minus champion, with the paired
    bootstrap's interval where both runs have kept their detections.
    """

    promoted: bool
    reason: str
    candidate: ModelVersion
    champion: ModelVersion | None
    metric: str
    difference: float | None = None
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class _Verdict:
    reason: str
    better: bool = False
    difference: float | None = None
    interval: tuple[float, float] | None = None


def promote(
    registry: Registry,
    *,
    iou: float = 0.4,
    force: bool = False,
    here: str | None = None,
    seed: int = 0,
    draws: int = 500,
) -> PromotionReport:
    """Move the alias `champion` to the candidate if it has the higher macro AP.

    Without a champion the candidate becomes it, once it was evaluated. The alias moves if and only
    if the report says promoted.

    Args:
        registry: where both are looked up.
        iou: overlap of the macro AP that decides.
        force: promote whatever the comparison says, and even without one.
        here: name of the model in this workspace, which the candidate should be; None: there is
            none. The alias names what was registered last, by whoever trained last.
        seed: of the bootstrap.
        draws: of the bootstrap.

    Raises:
        PromotionError: if there is no candidate, or it is another model than the one here.
        ServerError: if the registry does not answer.
    """
    candidate, champion = registry.version(CANDIDATE), registry.version(CHAMPION)
    if candidate is None:
        raise PromotionError("there is no candidate to promote; dvc repro trains one")
    if here not in {None, candidate.name} and not force:
        raise PromotionError(
            f"the candidate is {candidate.name}, which was registered last, and the model here is "
            f"{here}; go to the commit that trained it, or say --force"
        )
    judge = _Judge(registry, iou, seed, draws)
    verdict = judge.first(candidate) if champion is None else judge.compare(candidate, champion)
    known = champion is not None and champion.number == candidate.number
    promoted = verdict.better or (force and not known)
    if promoted:
        registry.point(CHAMPION, candidate)
    return PromotionReport(
        promoted,
        f"forced, although {verdict.reason}" if promoted > verdict.better else verdict.reason,
        candidate,
        champion,
        judge.metric,
        verdict.difference,
        verdict.interval,
    )


class _Judge:
    """Compares two versions by one metric on one test set."""

    def __init__(self, registry: Registry, iou: float, seed: int, draws: int) -> None:
        self._registry, self._iou, self._seed, self._draws = registry, iou, seed, draws
        self.metric = f"macro_ap{round(100 * iou)}"

    def first(self, candidate: ModelVersion) -> _Verdict:
        if candidate.test_hash is None:
            return _Verdict(_not_evaluated(candidate))
        return _Verdict(f"{candidate.name} is the first champion", better=True)

    def compare(self, candidate: ModelVersion, champion: ModelVersion) -> _Verdict:
        if champion.number == candidate.number:
            return _Verdict(f"{candidate.name} is the champion already")
        for version in (candidate, champion):
            if version.test_hash is None:
                return _Verdict(_not_evaluated(version))
        if candidate.test_hash != champion.test_hash:
            return _Verdict(
                f"{candidate.name} and {champion.name} were judged on different test sets"
                f" ({str(candidate.test_hash)[:8]} and {str(champion.test_hash)[:8]}),"
                " so that their figures cannot be compared",
            )
        return self._by_films(candidate, champion) or self._by_metric(candidate, champion)

    def _by_films(self, candidate: ModelVersion, champion: ModelVersion) -> _Verdict | None:
        """Compare film by film; None if a run has not kept what that takes."""
        truths = self._truths(candidate)
        former = candidate.run_id != champion.run_id  # else it is one file, of one of the two
        ours = self._detections(candidate, former=former)
        theirs = self._detections(champion, former=former)
        if truths is None or ours is None or theirs is None:
            return None
        known = {truth.image_id for truth in truths}
        found = paired_difference(
            truths,
            [film for film in ours if film.image_id in known],
            [film for film in theirs if film.image_id in known],
            class_ap_at(self._iou),
            seed=self._seed,
            draws=self._draws,
            groups={image_id: patient_of(image_id) for image_id in known},
        )
        return _Verdict(
            f"{candidate.name} against {champion.name}: {self.metric} {found.value:+.3f}"
            f" {_how_sure(found, len(truths))}",
            found.value > 0,
            found.value,
            None if math.isnan(found.low) else (found.low, found.high),
        )

    def _by_metric(self, candidate: ModelVersion, champion: ModelVersion) -> _Verdict:
        values = []
        for version in (candidate, champion):
            # The version's own first: the run's figure is that of the last of its models.
            value = version.test_score(self.metric)
            if value is None:
                value = self._registry.metric(version, f"test/{self.metric}")
            if value is None or math.isnan(value):
                return _Verdict(f"{version.name} has no test/{self.metric} in its run")
            values.append(value)
        after, before = values
        return _Verdict(
            f"{candidate.name} against {champion.name}: {self.metric} {after - before:+.3f}"
            f" ({after:.3f} against {before:.3f}); no interval, as detections were not kept",
            after > before,
            after - before,
        )

    def _truths(self, version: ModelVersion) -> list[GroundTruth] | None:
        with self._registry.artifact(version, TRUTH) as path:
            if path is None:
                return None
            return [GroundTruth.of(image_id, boxes) for image_id, boxes in read_truth(path).items()]

    def _detections(self, version: ModelVersion, *, former: bool) -> list[Detections] | None:
        """Return what a model saw; `former`: look where that lay once, too."""
        for place in (version.detections, *([FORMER_DETECTIONS] if former else [])):
            with self._registry.artifact(version, place) as path:
                if path is not None:
                    return read_detections(path)
        return None


def _how_sure(found: Interval, films: int) -> str:
    if math.isnan(found.low):
        return f"on {films} films; no interval, as they are of one patient"
    doubt = "; the interval holds 0: it may be chance" if found.low <= 0 <= found.high else ""
    return f"[{found.low:+.3f}, {found.high:+.3f}] on {films} films{doubt}"


def _not_evaluated(version: ModelVersion) -> str:
    return f"{version.name} has not been evaluated; dvc repro evaluate"
