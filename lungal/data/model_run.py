"""What a model's folder says of the model, in run.json: its name, how it looks, how it came."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import TypeAdapter, ValidationError

from lungal.data.files import write_json
from lungal.errors import DetectorError

FILE = "run.json"


@dataclass(frozen=True, slots=True)
class _Kept:
    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read it from a model's folder; what the file says beyond it does not matter.

        Raises:
            DetectorError: if the folder holds no model, or its file is damaged.
        """
        path = folder / FILE
        try:
            return TypeAdapter(cls).validate_json(path.read_bytes(), strict=True)
        except (FileNotFoundError, NotADirectoryError):
            raise DetectorError(
                f"{folder} is no model folder (no {FILE}); `dvc repro train` makes models/detector"
            ) from None
        except ValidationError as error:
            first = error.errors()[0]
            where = "".join(f"{part}: " for part in first["loc"])
            raise DetectorError(f"{path} is damaged: {where}{first['msg']}") from None

    def write(self, folder: Path) -> None:
        """Write it into a model's folder; equal ones give equal bytes."""
        write_json(folder / FILE, asdict(self), indent=1)


@dataclass(frozen=True, slots=True)
class ServedModel(_Kept):
    """What it takes to look with a model: all that is said of one that only looks and goes."""

    model_version: str
    classes: tuple[str, ...]
    input_size: int  # side of the square that it takes, pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelRun(_Kept):
    """What is said of the project's model, fields in the order of the file."""

    model_version: str  # e.g. r1-1a2b3c4d: the round, and the first digits of weights_sha256
    round: int
    classes: tuple[str, ...]
    architecture: str
    input_size: int  # side of the square that it takes, pixels
    labelled_films: int  # that it learnt from
    labelled_boxes: int
    best_step: int
    val: Mapping[str, float]  # of that step's validation, by the metric's name in the tracker
    weights_sha256: str
    run_key: str  # of the round's run, where its figures belong
