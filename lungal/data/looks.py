"""The same films looked at several times: a folder of tables of detections, and which there are.

`looks.json` lists them, so that a folder without any is not an empty one, and so that their order
is that of whoever looked.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from lungal.data.detections import read_detections, write_detections
from lungal.data.files import stage_output, whole_folder
from lungal.records import Detections

INDEX = "looks.json"


def write_looks(folder: Path, looks: Iterable[tuple[str, Iterable[Detections]]]) -> None:
    """Write `<name>.parquet` for each look, one look in memory at a time, all or none.

    Args:
        folder: replaced as a whole.
        looks: names and what was seen.

    Raises:
        DetectorError: as `write_detections`.
    """
    with whole_folder(folder) as part:
        names = []
        for name, detections in looks:
            write_detections(part / f"{name}.parquet", detections)
            names.append(name)
        (part / INDEX).write_text(json.dumps(names) + "\n", encoding="utf-8")


def read_looks(folder: Path, made_by: str) -> Iterator[tuple[str, list[Detections]]]:
    """Yield the name and the detections, sorted by image_id, of each look, in order.

    Raises:
        StageOrderError: if the folder or a file of it is missing or damaged, naming the stage
            that makes it.
    """
    with stage_output(folder / INDEX, made_by, ValueError) as index:
        names = json.loads(index.read_text(encoding="utf-8"))
    for name in names:
        yield name, read_detections(folder / f"{name}.parquet", made_by)
