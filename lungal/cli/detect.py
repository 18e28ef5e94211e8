"""`lungal detect`: a trained model on files and folders."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from lungal.data.files import whole_file
from lungal.data.images import draw_boxes, encode_jpeg, read_pixels
from lungal.errors import ImageError, SourceError
from lungal.params import DetectParams
from lungal.records import CLASS_COLOURS, Detections, Image

SUFFIXES = {".png", ".jpg", ".jpeg"}


def detect(
    paths: Annotated[list[Path], typer.Argument(help="Films (PNG, JPEG) or folders of films.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder for detections.json and the pictures.")
    ] = Path("detections"),
    model: Annotated[Path, typer.Option(help="Model folder, as `dvc repro train` writes it.")] = (
        Path("models/detector")
    ),
    threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Score from which a box is drawn on a picture.")
    ] = 0.3,
    keep: Annotated[
        float, typer.Option(min=0, max=1, help="Score from which a box is written to the JSON.")
    ] = 0.01,
    *,
    pictures: Annotated[
        bool, typer.Option("--pictures/--no-pictures", help="Whether to draw pictures.")
    ] = True,
    once: Annotated[
        bool, typer.Option("--once", help="Look at each film once instead of twice.")
    ] = False,
) -> None:
    """Find findings on films: writes OUT/detections.json and a drawn picture of each film.

    Boxes are xyxy in pixels of the film. A file that is no readable film is reported and skipped.
    """
    films = find_films(paths)
    from lungal.detectors.tfod.infer import load_detector

    params = DetectParams(score_threshold=keep)
    detector = load_detector(model, params.model_copy(update={"fused": ()}) if once else params)
    console = Console(stderr=True)
    sources: dict[str, Path] = {}
    rows: list[dict[str, Any]] = []
    refused: list[str] = []
    images = _read(films, sources, refused)
    for found in track(detector.detect(images), "Reading films", len(films), console=console):
        path = sources[found.image_id]
        rows.append({"path": str(path), **as_json(found, detector.classes)})
        if pictures:
            _write_picture(out, path, found.above(threshold), detector.classes)
    with whole_file(out / "detections.json") as part:
        document = {"model_version": detector.model_version, "films": rows, "refused": refused}
        part.write_text(json.dumps(document, indent=1), encoding="utf-8")
    for line in refused:
        console.print(f"[yellow]skipped[/] {escape(line)}", highlight=False)
    said = f"{len(rows)} films read, {len(refused)} skipped; see {out}"
    console.print(said, highlight=False, markup=False)
    if not rows:
        raise SourceError(f"none of {len(films)} files is a readable film")


def find_films(paths: list[Path]) -> list[Path]:
    """Return the film files named by, or lying anywhere below, the given paths, sorted.

    Raises:
        SourceError: if a path does not exist or there is no film at all.
    """
    films: set[Path] = set()
    for path in paths:
        if path.is_dir():
            films |= {file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES}
        elif path.exists():
            films.add(path)
        else:
            raise SourceError(f"{path} does not exist")
    if not films:
        raise SourceError(f"no {', '.join(sorted(SUFFIXES))} file in {', '.join(map(str, paths))}")
    return sorted(films)


def as_json(found: Detections, classes: tuple[str, ...]) -> dict[str, Any]:
    """Return detections as plain values, boxes in pixels, xyxy."""
    boxes = [
        {
            "label": classes[label],
            "score": _short(score),
            "box": [_short(edge) for edge in box],
        }
        for box, score, label in zip(found.boxes, found.scores, found.labels, strict=True)
    ]
    return {"image_id": found.image_id, "detections": boxes}


def _short(value: np.float32) -> float:
    return float(str(value))  # the fewest digits that give the same float32 back


def _read(films: list[Path], sources: dict[str, Path], refused: list[str]) -> Iterator[Image]:
    for path in films:
        try:
            pixels = read_pixels(path)
        except ImageError as error:
            refused.append(str(error))
            continue
        name = path.stem if path.stem not in sources else str(path.with_suffix(""))
        sources[name] = path
        yield Image(name, pixels)


def _write_picture(out: Path, path: Path, found: Detections, classes: tuple[str, ...]) -> None:
    captions = [f"{classes[k]} {s:.2f}" for k, s in zip(found.labels, found.scores, strict=True)]
    colours = [_bgr(CLASS_COLOURS[label]) for label in found.labels]
    drawn = draw_boxes(read_pixels(path), found.boxes, captions, colours)
    name = "_".join(Path(found.image_id).parts).lstrip("/_")
    with whole_file(out / "pictures" / f"{name}.jpg") as part:
        part.write_bytes(encode_jpeg(drawn))


def _bgr(colour: str) -> tuple[int, int, int]:
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return blue, green, red
