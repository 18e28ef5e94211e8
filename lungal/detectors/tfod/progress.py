"""What a training remembers on disk, so that a killed one goes on."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lungal.data.files import whole_file
from lungal.params import ModelParams, TrainParams

SELECT_BY = ("val/weighted_ap", "val/macro_ap40")
"""The best checkpoint has the highest first metric; the second settles a tie.

Not by the macro AP at one overlap: on 52 validation films it once chose a checkpoint of a third of
the way, by luck with a class of two boxes, that was a quarter worse on the test films."""


@dataclass
class Progress:
    """The validations of one training, in the folder where its checkpoints lie."""

    work: Path
    model: ModelParams
    params: TrainParams
    key: str
    validations: dict[int, dict[str, float]] = field(default_factory=dict)
    finished: bool = False

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
    def best_step(self) -> int | None:
        """The step of the best validation; the earliest of equals; None before the first."""
        if not self.validations:
            return None
        return min(self.validations, key=lambda step: ([-v for v in self._rank(step)], step))

    @property
    def best(self) -> dict[str, float]:
        """The metrics of the best validation, and its step."""
        if self.best_step is None:
            return {}
        return {**self.validations[self.best_step], "best_step": float(self.best_step)}

    @property
    def exhausted(self) -> bool:
        """Whether `patience` validations have passed without a better one.

        Validations before the detector finds anything at all do not count.
        """
        best = self.best_step
        if best is None or not any(self._rank(best)):
            return False
        return sum(step > best for step in self.validations) >= self.params.patience

    def record(self, step: int, metrics: Mapping[str, float]) -> bool:
        """Remember a validation; return whether it is the best so far."""
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

    def _rank(self, step: int) -> list[float]:
        return [self.validations[step].get(name, 0.0) for name in SELECT_BY]


def training_key(train: Path, val: Path, model: ModelParams, params: TrainParams) -> str:
    """Return a hash of all that a training is a function of: parameters and record bytes."""
    digest = hashlib.sha256()
    digest.update(model.model_dump_json().encode() + params.model_dump_json().encode())
    for folder in (train, val):
        for shard in sorted(folder.glob("*.tfrecord")):
            digest.update(shard.name.encode())
            with shard.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
