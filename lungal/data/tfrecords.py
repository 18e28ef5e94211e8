"""Labelled films as TFRecord shards with the TF Object Detection API's keys.

The only module of the data layer that knows TensorFlow, which it imports when it is used: that
takes seconds. Nothing here runs a TensorFlow op, since a distribution strategy must be the first
thing that a process creates.

Format: https://github.com/tensorflow/models/blob/master/research/object_detection/g3doc/using_your_own_dataset.md
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from lungal.boxes import clip, from_normalised, to_normalised
from lungal.data.files import damaged, require, whole_folder
from lungal.data.images import decode, encode_png, prepare
from lungal.data.threads import map_in_order
from lungal.errors import SourceError
from lungal.records import CLASSES, GroundTruth, Image

LABEL_MAP = "label_map.pbtxt"


def shuffled(truths: Iterable[GroundTruth]) -> list[GroundTruth]:
    """Return the films in the order in which to write them: by hash, so no two neighbours are kin.

    The place of a film relative to another's does not depend on what other films there are.
    """
    return sorted(truths, key=lambda truth: hashlib.sha256(truth.image_id.encode()).digest())


def write_records(
    folder: Path,
    films: Iterable[tuple[Image, GroundTruth]],
    *,
    input_size: int,
    shards: int,
    detail: float = 1.0,
) -> None:
    """Write films round-robin into shards `NNNNN-of-NNNNN.tfrecord`, and the label map.

    The same films in the same order give the same bytes; order them by `shuffled`. No shard is
    empty: fewer films than shards make fewer shards. Films pass through, a few at a time.

    Args:
        folder: replaced as a whole, or not at all.
        films: taken once, in order.
        input_size: side in pixels of the square that the network sees.
        shards: how many; training needs at least as many as it has workers.
        detail: see `stored_side`.

    Raises:
        SourceError: if there is no film at all.
    """

    def serialize(film: tuple[Image, GroundTruth]) -> bytes:
        side = stored_side(film[0], input_size, detail)
        record: bytes = example(*film, side).SerializeToString(deterministic=True)
        return record

    records = map_in_order(serialize, films)
    with whole_folder(folder) as temporary:
        written = _write_shards(temporary, records, shards)
        if not written:
            raise SourceError(f"there is no labelled film to write into {folder}")
        for shard in written:
            shard.rename(shard.with_name(f"{shard.name}-of-{len(written):05d}.tfrecord"))
        write_label_map(temporary / LABEL_MAP)


def read_records(folder: Path) -> Iterator[tuple[Image, GroundTruth]]:
    """Yield what was written: prepared pixels, and boxes in pixels of the prepared square.

    Raises:
        StageOrderError: if the folder is missing, has no whole set of shards, or one is damaged.
    """
    for record in _records(folder):
        yield _parse(record)


def shard_paths(folder: Path) -> list[Path]:
    """Return the shards of a folder in order.

    Raises:
        StageOrderError: if the folder is missing or has no whole set of shards.
    """
    shards = sorted(require(folder, _stage(folder)).glob("*-of-*.tfrecord"))
    expected = [f"{number:05d}-of-{len(shards):05d}.tfrecord" for number in range(len(shards))]
    if not shards or [shard.name for shard in shards] != expected:
        raise damaged(folder, _stage(folder), f"{len(shards)} shards that are no whole set")
    return shards


def write_label_map(path: Path) -> None:
    """Write the label map in the OD API's text format; ids count from 1, 0 is background."""
    items = (
        f"item {{\n  id: {number}\n  name: '{name}'\n}}\n"
        for number, name in enumerate(CLASSES, start=1)
    )
    path.write_text("".join(items), encoding="utf-8")


def stored_side(image: Image, input_size: int, detail: float) -> int:
    """Return the side in pixels of the square that is stored of a film, see `prepare`.

    Args:
        image: the film; it is not enlarged, unless to the input size.
        input_size: side of the square that the network sees, pixels.
        detail: the stored side in multiples of it, from 1. A random crop of three quarters of a
            square of the input size would be enlarged, and training see blurred films; one of
            a square twice as large is shrunk, and about as sharp as what serving sees.
    """
    return min(round(detail * input_size), max(input_size, image.width, image.height))


def example(image: Image, truth: GroundTruth, side: int) -> Any:
    """Return one film as a tf.train.Example: the prepared square as PNG, boxes normalised to it.

    Args:
        image: the film.
        truth: boxes in pixels of the film; none is a film without finding.
        side: of the square, pixels.
    """
    tf = _tensorflow()
    encoded = encode_png(prepare(image.pixels, side))
    longest = max(image.width, image.height)
    inside = clip(truth.boxes, image.width, image.height)
    ymin, xmin, ymax, xmax = to_normalised(inside, longest, longest).T
    name = f"{image.image_id}.png".encode()
    texts = [CLASSES[label].encode() for label in truth.labels]
    features = {
        "image/height": _ints([side]),
        "image/width": _ints([side]),
        "image/filename": _bytes([name]),
        "image/source_id": _bytes([image.image_id.encode()]),
        "image/key/sha256": _bytes([hashlib.sha256(encoded).hexdigest().encode()]),
        "image/encoded": _bytes([encoded]),
        "image/format": _bytes([b"png"]),
        "image/object/bbox/ymin": _floats(ymin),
        "image/object/bbox/xmin": _floats(xmin),
        "image/object/bbox/ymax": _floats(ymax),
        "image/object/bbox/xmax": _floats(xmax),
        "image/object/class/text": _bytes(texts),
        "image/object/class/label": _ints(truth.labels + 1),
    }
    return tf.train.Example(features=tf.train.Features(feature=features))


def _write_shards(folder: Path, records: Iterable[bytes], shards: int) -> list[Path]:
    paths: list[Path] = []
    writers: list[Any] = []
    with ExitStack() as stack:
        for number, record in enumerate(records):
            if number < shards:
                paths.append(folder / f"{number:05d}")
                writer = _tensorflow().io.TFRecordWriter(str(paths[-1]))
                writers.append(stack.enter_context(writer))
            writers[number % shards].write(record)
    return paths


def _records(folder: Path) -> Iterator[bytes]:
    tf = _tensorflow()
    for shard in shard_paths(folder):
        try:
            yield from tf.compat.v1.io.tf_record_iterator(str(shard))
        except tf.errors.DataLossError as error:
            raise damaged(folder, _stage(folder), f"{shard.name}: {error.message}") from None


def _parse(record: bytes) -> tuple[Image, GroundTruth]:
    feature = _tensorflow().train.Example.FromString(record).features.feature
    image_id = feature["image/source_id"].bytes_list.value[0].decode()
    pixels = decode(feature["image/encoded"].bytes_list.value[0], image_id)
    height, width = pixels.shape
    yxyx = [
        feature[f"image/object/bbox/{side}"].float_list.value
        for side in ("ymin", "xmin", "ymax", "xmax")
    ]
    boxes = from_normalised(np.array(yxyx, np.float32).T, width, height)
    labels = np.array(feature["image/object/class/label"].int64_list.value, np.int32) - 1
    return Image(image_id, pixels), GroundTruth(image_id, boxes, labels)


def _stage(folder: Path) -> str:
    return f"records@{folder.name}"


def _tensorflow() -> Any:
    # Both must be set before the first import in a process: no chatter, and Keras 2 for the OD API.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
    import tensorflow as tf

    tf.get_logger().setLevel("ERROR")  # tf_record_iterator is deprecated, but needs no TF op
    return tf


def _bytes(values: Iterable[bytes]) -> Any:
    tf = _tensorflow()
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _floats(values: Iterable[float]) -> Any:
    tf = _tensorflow()
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


def _ints(values: Iterable[int]) -> Any:
    tf = _tensorflow()
    return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
