"""The winner: the training parameters that the search ends with."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from lungal.data.files import stage_output, whole_file
from lungal.params import TrainParams


@dataclass(frozen=True, slots=True)
class Winner:
    """What training uses. Nothing in it depends on the clock."""

    train: TrainParams
    study: str | None = None  # None: no search was asked for
    trial: int | None = None
    value: float | None = None

    def write(self, path: Path) -> None:
        """Write as YAML: the same winner always gives the same bytes."""
        fields = {
            "study": self.study,
            "trial": self.trial,
            "value": self.value,
            "train": self.train.model_dump(mode="json"),
        }
        with whole_file(path) as temporary:
            temporary.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")


def read_best(path: Path) -> TrainParams:
    """Read the training parameters that `Winner.write` wrote.

    Raises:
        StageOrderError: if the file is missing or damaged.
    """
    # pydantic's and Unicode's errors are ValueErrors.
    with stage_output(path, "tune", yaml.YAMLError, ValueError, LookupError, TypeError):
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
        return TrainParams.model_validate(fields["train"])
