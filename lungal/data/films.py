"""Stored films by image_id: where each lies, and many of them read in threads."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path

from lungal.data.images import read_pixels
from lungal.data.manifest import read_manifest
from lungal.data.threads import map_in_order
from lungal.errors import StageOrderError
from lungal.records import Image


def film_paths(manifest: Path) -> dict[str, Path]:
    """Return image_id to the stored film of everything in a manifest file.

    Raises:
        StageOrderError: if ingest has not run.
    """
    rows = read_manifest(manifest)
    return {
        image_id: manifest.parent / path
        for image_id, path in zip(rows["image_id"], rows["path"], strict=True)
    }


def read_films(paths: Mapping[str, Path], image_ids: Iterable[str]) -> Iterator[Image]:
    """Yield films in the order of the ids, a few of them in memory at a time.

    Raises:
        StageOrderError: if a film is not among the paths.
        ImageError: if a film cannot be read.
    """
    return map_in_order(partial(read_film, paths), image_ids)


def read_film(paths: Mapping[str, Path], image_id: str) -> Image:
    """Read one film; see read_films."""
    if image_id not in paths:
        raise StageOrderError(f"film {image_id} is not in the manifest; dvc repro")
    return Image(image_id, read_pixels(paths[image_id]))
