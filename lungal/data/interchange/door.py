"""What may come in: the boxes of a file as boxes on a film of ours, or a reason why not.

One bad box refuses its film, never another one: with the rest of its boxes the film would teach
the detector that there is nothing where the bad one was.
"""

import re
from collections.abc import Container, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

from lungal.boxes import why_no_box
from lungal.data.interchange.film import XYXY, FoundBox, FoundFilm, Size
from lungal.data.sources.box_file import ALIASES
from lungal.errors import AnnotationError
from lungal.records import CLASSES, LabelledBox

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".dcm"}
UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that is uploaded to it."""
DIGITS = 3
"""Decimals of a pixel that are kept."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """The boxes of a film that may come in: pixels of our film."""

    boxes: tuple[LabelledBox, ...]
    cut: int  # how many of them lay beyond an edge by a pixel or more


def match_film(said: str, films: Container[str]) -> str | None:
    r"""Return the image_id that a file's name, path or URL stands for, or None if none does.

    Args:
        said: such as 00000013_005, images/00000013_005.png, C:\films\00000013_005.jpg,
            /data/upload/3/1a2b3c4d-00000013_005.png or /data/local-files/?d=queue/00000013_005.png.
        films: the image_ids that there are.
    """
    return next((name for name in _names(said) if name in films), None)


def admit(found: FoundFilm, size: Size, *, rescale: bool = False) -> Admitted:
    """Return a film's boxes in its pixels; what lies beyond its edges is cut off.

    Args:
        found: what a file says.
        size: of our film, pixels.
        rescale: take boxes that were drawn on a film of another size but the same shape.

    Raises:
        AnnotationError: if the film was labelled at another size, or one of its boxes has an
            unknown finding, a coordinate that is not finite, no area, or none of it on the film.
    """
    across, down = _scale(found, size, rescale=rescale)
    boxes, cut = [], 0
    for box in found.boxes:
        _check(box)
        x1, y1, x2, y2 = box.xyxy
        edges = (x1 * across, y1 * down, x2 * across, y2 * down)
        boxes.append(_fit(box, edges, size))
        moved = (abs(a - b) for a, b in zip(edges, boxes[-1].xyxy, strict=True))
        cut += max(moved) >= 1
    return Admitted(tuple(boxes), cut)


def _names(said: str) -> Iterator[str]:
    yield said
    for path in [*_url_paths(said), said]:
        base = PureWindowsPath(path).name  # it takes both kinds of slash
        for name in (base, UPLOADED.sub("", base, count=1)):
            yield name
            if PurePosixPath(name).suffix.lower() in IMAGE_SUFFIXES:
                yield PurePosixPath(name).stem


def _url_paths(said: str) -> list[str]:
    try:
        url = urlsplit(said)
    except ValueError:
        return []
    return [*parse_qs(url.query).get("d", ()), unquote(url.path)]


def _scale(found: FoundFilm, size: Size, *, rescale: bool) -> tuple[float, float]:
    was = found.size or size
    if was != size:
        _check_size(was, size, rescale=rescale)
    if found.unit == "shares":
        return size
    return size[0] / was[0], size[1] / was[1]


def _check_size(was: Size, size: Size, *, rescale: bool) -> None:
    labelled, ours = f"{was[0]}x{was[1]}", f"{size[0]}x{size[1]}"
    # Of the same shape, but for the pixel to which the smaller one was rounded.
    if abs(was[0] * size[1] - was[1] * size[0]) > max(*was, *size):
        raise AnnotationError(
            f"was labelled at {labelled} pixels; the film is {ours}, another shape"
        )
    if not rescale:
        raise AnnotationError(
            f"was labelled at {labelled} pixels; the film is {ours} (--rescale fits the boxes)"
        )


def _check(box: FoundBox) -> None:
    if _canonical(box) not in CLASSES:
        raise AnnotationError(f"unknown finding {box.label!r}; known: {', '.join(CLASSES)}")
    # What is no box is not mended by cutting it to the film.
    if reason := why_no_box(box.xyxy):
        raise AnnotationError(f"the {_canonical(box)} box {box.xyxy} {reason}")


def _fit(box: FoundBox, edges: XYXY, size: Size) -> LabelledBox:
    limits = (*size, *size)
    x1, y1, x2, y2 = (
        round(min(max(edge, 0.0), float(limit)), DIGITS)
        for edge, limit in zip(edges, limits, strict=True)
    )
    label = _canonical(box)
    if x2 <= x1 or y2 <= y1:
        reason = f"has no area on the {size[0]}x{size[1]} film"
        raise AnnotationError(f"the {label} box {box.xyxy} {reason}")
    return LabelledBox(label, x1, y1, x2, y2, confidence=box.confidence, comment=box.comment)


def _canonical(box: FoundBox) -> str:
    label = box.label.strip()
    return ALIASES.get(label, label)
