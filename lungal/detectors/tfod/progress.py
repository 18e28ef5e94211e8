"""What a training remembers on disk, so that a killed one goes on."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungal.data.digests import sha256_of
from lungal.data.files import whole_file
from lungal.errors import DetectorError
from lungal.params import ModelParams, TrainParams

RANK_BY = ("val/weighted_ap", "val/macro_ap40")
"""What validations are ranked by: the first, and where that ties the second.

Not by the macro AP at one overlap: on 52 validation films it once chose a checkpoint of a third of
the way, by luck with a class of two boxes, that was a quarter worse on the test films."""
BEHIND = "val/behind_leader"
"""How far at least a validation is behind the leader so far: the low end of a paired bootstrap's
interval. Above 0 it is surely worse."""


@dataclass
class Progress:
    """The validations of one training, in the folder where its checkpoints lie."""

    work: Path
    model: ModelParams
    params: TrainParams
    key: str
    validations: dict[int, dict[str, float]] = field(default_factory=dict)
    finished: bool = False

    @property
    def leader_file(self) -> Path:
        """What the leader saw on the validation films."""
        return self.work / f"leader-{self.leader}.parquet"

    @classmethod
    def open(
        cls, work: Path, train: Path, val: Path, model: ModelParams, params: TrainParams
    ) -> "Progress":
        """Return the unfinished training in `work` if it is this very one, else start afresh."""
        key = training_key(train, val, model, params)
        file = work / "progress.json"
        if file.exists():
            saved = json.loads(file.read_text(encoding="utf-8"))
            if saved["key"] == key:
                seen = {int(step): metrics for step, metrics in saved["validations"].items()}
                return cls(work, model, params, key, seen, saved["finished"])
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        afresh = cls(work, model, params, key)
        afresh.save()
        return afresh

    @classmethod
    def join(
        cls, work: Path, train: Path, val: Path, model: ModelParams, params: TrainParams
    ) -> "Progress":
        """Return the training that another worker opened in `work`.

        Raises:
            DetectorError: if there is none, or this worker has other parameters or records.
        """
        if not (work / "progress.json").exists():
            raise DetectorError(f"{work} holds no training: all workers must share the folder")
        opened = cls.load(work)
        key = training_key(train, val, model, params)
        if opened.key != key:
            raise DetectorError(
                f"this worker would train with other parameters or records ({key}) than the chief "
                f"({opened.key}); give both the same params.yaml, tuning/best.yaml and records"
            )
        return opened

    @classmethod
    def load(cls, work: Path) -> "Progress":
        """Return the training in `work` as it stands."""
        saved = json.loads((work / "progress.json").read_text(encoding="utf-8"))
        return cls(
            work,
            ModelParams.model_validate(saved["model"]),
            TrainParams.model_validate(saved["train"]),
            saved["key"],
            {int(step): metrics for step, metrics in saved["validations"].items()},
            saved["finished"],
        )

    @property
    def leader(self) -> int | None:
        """The step that ranks highest; the earliest of equals; None before the first validation."""
        if not self.validations:
            return None
        return min(self.validations, key=lambda step: ([-v for v in self._rank(step)], step))

    @property
    def best_step(self) -> int | None:
        """The step whose checkpoint is kept: the latest that is not surely worse than the leader.

        A validation of few films ranks by luck: on 52 films the leader of six came after a sixth
        of the steps, and was a quarter worse on the test films than the last. The schedule ends
        where the learning rate is zero, and only evidence speaks against its end.
        """
        leader = self.leader
        if leader is None:
            return None
        later = [step for step in self.validations if step >= leader]
        return max(step for step in later if step == leader or not self._surely_worse(step))

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the kept checkpoint's validation, and its step."""
        if self.best_step is None:
            return {}
        return {**self.validations[self.best_step], "best_step": float(self.best_step)}

    @property
    def exhausted(self) -> bool:
        """Whether `patience` validations have passed without a better one.

        Validations before the detector finds anything at all do not count.
        """
        leader = self.leader
        if leader is None or not any(self._rank(leader)):
            return False
        return sum(step > leader for step in self.validations) >= self.params.patience

    def record(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Remember a validation; return whether its checkpoint is the one to keep."""
        self.validations[step] = dict(metrics)
        return self.best_step == step

    def save(self, *, finished: bool = False) -> None:
        """Write everything down, whole or not at all."""
        self.finished = self.finished or finished
        state: dict[str, Any] = {
            "key": self.key,
            "finished": self.finished,
            "validations": self.validations,
            "model": self.model.model_dump(mode="json"),
            "train": self.params.model_dump(mode="json"),
        }
        with whole_file(self.work / "progress.json") as part:
            part.write_text(json.dumps(state, indent=1), encoding="utf-8")
        for former in set(self.work.glob("leader-*.parquet")) - {self.leader_file}:
            former.unlink()

    def _rank(self, step: int) -> list[float]:
        return [self.validations[step].get(name, 0.0) for name in RANK_BY]

    def _surely_worse(self, step: int) -> bool:
        return self.validations[step].get(BEHIND, 0.0) > 0


def training_key(train: Path, val: Path, model: ModelParams, params: TrainParams) -> str:
    """Return a hash of all that a training is a function of: parameters and record bytes."""
    digest = hashlib.sha256()
    digest.update(model.model_dump_json().encode() + params.model_dump_json().encode())
    for folder in (train, val):
        for shard in sorted(folder.glob("*.tfrecord")):
            digest.update(shard.name.encode())
            digest.update(bytes.fromhex(sha256_of(shard)))
    return digest.hexdigest()[:16]
