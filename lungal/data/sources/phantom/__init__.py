"""Synthetic chest films in NIH's own layout, so that they go through the same reader as real ones.

No film stems from a person. Organs and findings are drawn as opacity that adds up as on a real
film, with a truth that is known exactly: enough to try the whole loop without any download.
"""

import json
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from lungal.data.files import whole_folder
from lungal.data.images import encode_png
from lungal.data.sources.phantom.film import draw
from lungal.data.sources.phantom.layout import BOXES, IMAGES, file_name, write_tables
from lungal.data.sources.phantom.population import Case, plan
from lungal.errors import SourceError
from lungal.params import PhantomParams
from lungal.records import LabelledBox, OnProgress

__all__ = ["DRAWING", "generate", "origin"]

DRAWING = 1
"""Counted up with every change of the code that changes films, boxes or labels.

Two kinds of processor draw the same film with other bits: a grey value in 80,000 is off by one, a
side of a box in some thousands by two pixels. So a campaign that was kept knows its phantoms by
this number and their parameters.
"""

_CHUNK = 4  # films that a worker fetches at once
_WORTH_A_WORKER = 16  # films; below, starting a process takes longer than drawing

Boxes = tuple[LabelledBox, ...]


def generate(
    folder: Path,
    params: PhantomParams,
    progress: OnProgress | None = None,
    *,
    workers: int | None = None,
) -> None:
    """Write a folder of synthetic films in the layout of NIH's ChestX-ray14.

    Afterwards `folder` holds images/, BBox_List_2017.csv, Data_Entry_2017_v2020.csv,
    train_val_list.txt, test_list.txt, and truth_no_finding.txt (`layout.KNOWN_NEGATIVE`). The same
    params give the same bytes, with any number of workers, on processors of one kind; a film
    depends on nothing but the seed, the shares, its patient and its follow-up number. A killed run
    leaves no folder behind.

    Args:
        folder: to be made; an older phantom folder there is replaced.
        params: how many films, which share of them healthy, how bad the image-level labels are.
        progress: called with (films done, films in all) after each film.
        workers: processes that draw; None: as many as there are processors and films to draw.

    Raises:
        SourceError: if something else than a phantom folder is in the way.
    """
    _refuse_to_overwrite(folder)
    cases = plan(params)
    truth: dict[str, Boxes] = {}
    with whole_folder(folder) as temporary:
        (temporary / IMAGES).mkdir()
        for case, boxes in zip(cases, _draw_all(temporary / IMAGES, cases, workers), strict=True):
            truth[case.image_id] = boxes
            if progress is not None:
                progress(len(truth), len(cases))
        write_tables(temporary, cases, truth)


def origin(params: PhantomParams) -> str:
    """Return, as JSON, all that a phantom is drawn from but its patient and follow-up number."""
    parts = params.model_dump(mode="json", exclude={"films"})  # more only add to the others
    return json.dumps({"drawing": DRAWING, **parts}, sort_keys=True)


def _draw_all(images: Path, cases: list[Case], workers: int | None) -> Iterator[Boxes]:
    if workers is None:
        workers = min(os.cpu_count() or 1, 1 + len(cases) // _WORTH_A_WORKER)
    if workers == 1:
        yield from map(partial(_write_film, images), cases)
        return
    # Spawned, not forked: a fork inherits the locked locks of OpenCV's and TensorFlow's threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        yield from pool.map(partial(_write_film, images), cases, chunksize=_CHUNK)


def _write_film(images: Path, case: Case) -> Boxes:
    film, boxes = draw(case)
    (images / file_name(case)).write_bytes(encode_png(film.pixels))
    return boxes


def _refuse_to_overwrite(folder: Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise SourceError(f"{folder} is a file; the phantom films need a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / BOXES).exists():
        raise SourceError(f"{folder} holds something else than phantom films; name another folder")
