"""What a detector saw on many films, as one Parquet table: a row per film, none left out.

Boxes go from numpy to Arrow and back as whole buffers: a pool of 100,000 films with a hundred
boxes each would be forty million Python numbers otherwise.
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lungal.boxes import as_boxes
from lungal.data.files import whole_file
from lungal.data.tables import read_arrow
from lungal.errors import DetectorError
from lungal.records import CLASSES, Detections

DETECTIONS = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("boxes", pa.list_(pa.list_(pa.float32()))),  # (N, 4) pixels of the film, xyxy
        pa.field("scores", pa.list_(pa.float32())),  # (N,) in [0, 1]
        pa.field("labels", pa.list_(pa.int32())),  # (N,) index into CLASSES
        pa.field("class_scores", pa.list_(pa.list_(pa.float32()))),  # (N, C) or null
        pa.field("embedding", pa.list_(pa.float32())),  # (E,) or null
    ]
)


GROUP = 2000
"""Films that are written together; with a hundred boxes each they are some eighty megabytes."""


def write_detections(path: Path, detections: Iterable[Detections]) -> None:
    """Write detections, sorted by image_id; the same films in any order give the same bytes.

    Films that come sorted are written as they pass. Others are all in memory at once.

    Raises:
        DetectorError: if a film is there twice, its arrays are not equally long, or two films'
            embeddings are not.
    """
    coming = iter(detections)
    with whole_file(path) as temporary:
        if unsorted := _write_sorted(temporary, coming):
            films = [*read_detections(temporary), *unsorted, *coming]
            _write_sorted(temporary, iter(sorted(films, key=lambda film: film.image_id)))


def _write_sorted(path: Path, films: Iterator[Detections]) -> list[Detections]:
    """Write films group by group; stop at the first group that is not sorted, and return it."""
    last: list[Detections] = []
    shapes: set[tuple[int, ...]] = set()
    with pq.ParquetWriter(path, DETECTIONS, compression="zstd") as writer:
        group = list(islice(films, GROUP))
        while True:
            following = [*last, *group]
            if any(one.image_id > next_one.image_id for one, next_one in pairwise(following)):
                return group
            _check(following, shapes)
            writer.write_table(_tabulate(group))
            last, group = group[-1:], list(islice(films, GROUP))
            if not group:
                return []


def _tabulate(films: Sequence[Detections]) -> pa.Table:
    columns = [
        pa.array([film.image_id for film in films], pa.string()),
        _matrices([as_boxes(film.boxes) for film in films]),
        _vectors([film.scores for film in films], np.float32),
        _vectors([film.labels for film in films], np.int32),
        _matrices([film.class_scores for film in films]),
        _vectors([film.embedding for film in films], np.float32),
    ]
    return pa.table(columns, schema=DETECTIONS)


def read_detections(path: Path, made_by: str = "detect") -> list[Detections]:
    """Read what write_detections wrote, sorted by image_id. The arrays are read-only views.

    A file without the column `embedding`, as older models left it, has films without embedding.

    Raises:
        StageOrderError: if the file is missing or damaged, naming the stage that makes it.
    """
    table = read_arrow(path, made_by)
    if "embedding" not in table.column_names:
        table = table.append_column("embedding", pa.nulls(len(table), pa.list_(pa.float32())))
    columns = {name: table[name].combine_chunks() for name in DETECTIONS.names}
    return [
        Detections(*film)
        for film in zip(
            columns["image_id"].to_pylist(),
            _split_rows(columns["boxes"], width=4),
            _split(columns["scores"], columns["scores"].values.to_numpy()),
            _split(columns["labels"], columns["labels"].values.to_numpy()),
            _split_rows(columns["class_scores"], width=len(CLASSES)),
            _split(columns["embedding"], columns["embedding"].values.to_numpy()),
            strict=True,
        )
    ]


def _check(films: Sequence[Detections], shapes: set[tuple[int, ...]]) -> None:
    """Check sorted films, and their embeddings against the shapes of those that came before."""
    for film, following in pairwise(films):
        if film.image_id == following.image_id:
            raise DetectorError(f"film {film.image_id} was examined twice")
    for film in films:
        per_box = [film.boxes, film.scores, film.labels]
        if film.class_scores is not None:
            per_box.append(film.class_scores)
        if len({len(values) for values in per_box}) != 1:
            raise DetectorError(
                f"film {film.image_id}: boxes, scores, labels and class scores are not equally"
                f" long: {[len(values) for values in per_box]}"
            )

    shapes.update(film.embedding.shape for film in films if film.embedding is not None)
    if len(shapes) > 1 or any(len(shape) != 1 for shape in shapes):
        raise DetectorError(
            f"embeddings of the shapes {sorted(shapes)} in one table; all must be (E,)"
        )


def _vectors(films: Sequence[NDArray[Any] | None], dtype: type[np.generic]) -> pa.ListArray:
    # An Arrow list column is all films' values in one buffer, and where each film's begin in it.
    known = [np.asarray(film, dtype) for film in films if film is not None]
    return pa.ListArray.from_arrays(
        _offsets([0 if film is None else len(film) for film in films]),
        pa.array(np.concatenate(known) if known else np.zeros(0, dtype)),
        mask=pa.array([film is None for film in films], pa.bool_()),
    )


def _matrices(films: Sequence[NDArray[np.float32] | None]) -> pa.ListArray:
    known = [np.asarray(film, np.float32) for film in films if film is not None]
    rows = np.repeat([film.shape[1] for film in known], [len(film) for film in known])
    flat = np.concatenate([film.ravel() for film in known]) if known else np.zeros(0, np.float32)
    return pa.ListArray.from_arrays(
        _offsets([0 if film is None else len(film) for film in films]),
        pa.ListArray.from_arrays(_offsets(rows), pa.array(flat)),
        mask=pa.array([film is None for film in films], pa.bool_()),
    )


def _offsets(lengths: Sequence[int] | NDArray[Any]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))


def _split_rows(column: pa.ListArray, width: int) -> list[Any]:
    rows = column.values
    if len(rows):
        width = len(rows[0])
    return _split(column, rows.values.to_numpy().reshape(-1, width))


def _split(column: pa.ListArray, values: NDArray[Any]) -> list[Any]:
    ends = column.offsets.to_numpy()
    return [
        values[start:end] if there else None
        for (start, end), there in zip(pairwise(ends), column.is_valid().to_pylist(), strict=True)
    ]
