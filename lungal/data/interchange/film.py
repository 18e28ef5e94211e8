"""A film's labels on their way out, and what a file says of a film on its way in."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

from lungal.errors import AnnotationError, SourceError
from lungal.records import Confidence, LabelledBox, Verdict


class Format(StrEnum):
    """Whose files."""

    COCO = "coco"
    VOC = "voc"
    YOLO = "yolo"
    LABEL_STUDIO = "label-studio"


Size = tuple[int, int]
"""Width and height, pixels."""
XYXY = tuple[float, float, float, float]
Unit = Literal["pixels", "shares"]


@dataclass(frozen=True, slots=True)
class LabelledFilm:
    """A film whose labels are known. No boxes: it is known to hold no finding."""

    name: str  # of its file, such as "00000013_005.png"
    width: int  # pixels
    height: int  # pixels
    boxes: tuple[LabelledBox, ...]

    @property
    def size(self) -> Size:
        """Width and height, pixels."""
        return self.width, self.height


@dataclass(frozen=True, slots=True)
class FoundBox:
    """A box as a file has it: any label, any four numbers, in the unit of its film."""

    label: str
    xyxy: XYXY
    confidence: Confidence | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class FoundFilm:
    """What a file says of one film. Nothing here has been checked."""

    where: str  # the file, and the place in it
    film: str  # an image_id, or the name, path or URL of the film's file
    boxes: tuple[FoundBox, ...]
    unit: Unit = "pixels"  # shares: of the film's width and height
    size: Size | None = None  # of the film that was labelled, as far as the file says it
    verdict: Verdict | None = None  # None: what follows from the boxes
    reader: str | None = None  # an address, or another name
    at: str | None = None  # when this was said, ISO 8601; None: the file does not know
    seconds: float | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Unfit:
    """Something in a file that cannot be used: where it stands, and what is wrong with it."""

    where: str
    reason: str


Found = FoundFilm | Unfit


def label_files(path: Path, suffix: str) -> list[Path]:
    """Return the file that is named, or all files with a suffix anywhere below a folder, sorted.

    Raises:
        SourceError: if there is no such file.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise SourceError(f"{path} does not exist")
    found = sorted(file for file in path.rglob(f"*{suffix}") if file.is_file())
    if not found:
        raise SourceError(f"no {suffix} file in {path}")
    return found


def read_text(path: Path) -> str:
    """Return a file's text.

    Raises:
        AnnotationError: if it cannot be opened or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")  # Windows' editors begin with a mark
    except OSError as error:
        raise AnnotationError(f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise AnnotationError("is not UTF-8 text") from None


def number(value: Any, name: str) -> float:
    """Return a value as a float, which need not be finite.

    Raises:
        AnnotationError: if it is neither a number nor the text of one.
    """
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)
        except (ValueError, OverflowError):
            pass
    raise AnnotationError(f"{name} is {value!r}, not a number")


def numbers(values: Any, names: tuple[str, str, str, str]) -> XYXY:
    """Return four values as floats.

    Raises:
        AnnotationError: if they are not four numbers.
    """
    if not isinstance(values, list) or len(values) != len(names):
        raise AnnotationError(f"a box is {values!r}, not {', '.join(names)}")
    a, b, c, d = (number(value, name) for value, name in zip(values, names, strict=True))
    return a, b, c, d


def stated_size(width: Any, height: Any) -> Size | None:
    """Return a film's size if both sides are positive numbers; some tools write 0 for unknown.

    Raises:
        AnnotationError: if a side is there and is no whole number.
    """
    sides = [number(side or 0, "a side of the film") for side in (width, height)]
    if not all(side >= 0 and side.is_integer() for side in sides):
        raise AnnotationError(f"the film is {width!r} x {height!r} pixels")
    return (int(sides[0]), int(sides[1])) if all(sides) else None


def unfit_if_broken(where: str, films: Iterator[Found]) -> Iterator[Found]:
    """Yield from a reader; if it gives up with an AnnotationError, yield that as unfit."""
    try:
        yield from films
    except AnnotationError as error:
        yield Unfit(where, str(error))
