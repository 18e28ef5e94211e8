"""Features of films, computed once and read by many processes: cells of a grid, and whole films."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray
from lungal.data.digests import hash_json
from lungal.data.files import whole_folder
from lungal.data.films import read_films
from lungal.data.images import prepare
from lungal.detectors.tfod.backbone import Backbone, Maps
from lungal.detectors.views import VIEWS
from lungal.params import ProxyParams, ViewName
from lungal.records import Image

SAMPLE = 200
"""Films of which the principal components are learnt: no labels are needed for that."""

LEAST_VARIANCE = 1e-6
"""Of a component, over that of the first: below is rounding, not to be blown up."""


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The features of F films on a grid of G x G cells.

    Attributes:
        rows: image_id to row.
        cells: (F, G * G, D) float16, row by row of the grid, mapped from the disk.
        films: (F, E) float32, of length 1.
        sizes: (F, 2) width and height of the film, pixels.
    """

    rows: Mapping[str, int]
    cells: NDArray[np.float16]
    films: FloatArray
    sizes: NDArray[np.int32]


def shelf_name(content: str, params: ProxyParams, view: ViewName | None) -> str:
    """Return the name of a shelf: a hash of all that its features depend on."""
    backbone = Backbone(params.initial_weights, params.input_size)
    return hash_json([content, backbone.key, params.components, view])


def fill_shelf(
    folder: Path,
    films: Mapping[str, Path],
    params: ProxyParams,
    view: ViewName | None = None,
    *,
    base: Path | None = None,
) -> Iterator[str]:
    """Write a shelf, whole or not at all; yield the name of each film when it is done.

    A cell's features are the `components` strongest principal components of the fine map there,
    and as many of the coarse map's, which is four times as coarse; a film's are the mean of the
    latter. A view is seen through the components of the film itself.

    Args:
        folder: to be made.
        films: image_id to the stored film.
        params: which features.
        view: in which the films are seen; None: as they are.
        base: the shelf of the films as they are, for a view.

    Raises:
        DetectorError: if the backbone's weights cannot be used.
        ImageError: if a film cannot be read.
    """
    names = sorted(films)
    backbone = Backbone(params.initial_weights, params.input_size)
    grid = params.input_size // 16
    sizes = np.zeros((len(names), 2), np.int32)

    def squares() -> Iterator[NDArray[np.uint8]]:
        for row, image in enumerate(read_films(films, names)):
            sizes[row] = image.width, image.height
            yield prepare(_seen(image, view).pixels, params.input_size)

    with whole_folder(folder) as part:
        maps = backbone.look(squares())
        if base is None:
            sample = list(islice(maps, SAMPLE))
            fine, coarse = _learn_components(sample, params.components)
            maps = chain(sample, maps)
            np.savez(part / "components.npz", fine=fine, coarse=coarse)
        else:
            with np.load(base / "components.npz") as known:
                fine, coarse = known["fine"], known["coarse"]
        shape = (len(names), grid * grid, 2 * params.components)
        cells = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            part / "cells.npy", "w+", np.float16, shape
        )
        pooled = np.zeros((len(names), params.components), np.float32)
        for row, (name, of_film) in enumerate(zip(names, maps, strict=True)):
            cells[row], pooled[row] = _project(of_film, fine, coarse)
            yield name
        cells.flush()
        np.save(part / "films.npy", pooled / np.linalg.norm(pooled, axis=1, keepdims=True))
        np.save(part / "sizes.npy", sizes)
        (part / "names.json").write_text(json.dumps(names), encoding="utf-8")


def open_shelf(folder: Path) -> Shelf:
    """Return a shelf that fill_shelf wrote."""
    names = json.loads((folder / "names.json").read_text(encoding="utf-8"))
    return Shelf(
        {name: row for row, name in enumerate(names)},
        np.load(folder / "cells.npy", mmap_mode="r"),
        np.load(folder / "films.npy"),
        np.load(folder / "sizes.npy"),
    )


def _seen(image: Image, view: ViewName | None) -> Image:
    return image if view is None else VIEWS[view].see(image)


def _learn_components(sample: Sequence[Maps], count: int) -> tuple[FloatArray, FloatArray]:
    return tuple(_principal([maps[which] for maps in sample], count) for which in (0, 1))  # type: ignore[return-value]


def _principal(maps: Iterable[FloatArray], count: int) -> FloatArray:
    """Return a (D + 1, count) map: whitening by the strongest principal components, mean last."""
    rows = np.concatenate([each.reshape(-1, each.shape[-1]) for each in maps]).astype(np.float64)
    mean = rows.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(rows - mean, rowvar=False))
    # Relative, as features of random weights are tiny and no less telling for that.
    least = values[-1] * LEAST_VARIANCE
    strongest = vectors[:, ::-1][:, :count] / np.sqrt(np.maximum(values[::-1][:count], least))
    # A component's sign is chance; the largest of its loadings is made positive.
    strongest *= np.sign(strongest[np.abs(strongest).argmax(axis=0), np.arange(strongest.shape[1])])
    return np.vstack([strongest, -mean @ strongest]).astype(np.float32)


def _project(maps: Maps, fine: FloatArray, coarse: FloatArray) -> tuple[FloatArray, FloatArray]:
    near = maps[0] @ fine[:-1] + fine[-1]
    far = maps[1] @ coarse[:-1] + coarse[-1]
    wide = far.repeat(2, axis=0).repeat(2, axis=1)
    cells = np.concatenate([near, wide], axis=2).reshape(-1, near.shape[2] + wide.shape[2])
    return cells, far.mean(axis=(0, 1))
