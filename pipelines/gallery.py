"""The contact sheet: test films with their truth as whole boxes and detections as corners."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from lungal.data.images import Colour, Pixels, draw_boxes, prepare, prepared_scale
from lungal.evaluation import figures
from lungal.params import EvaluateParams
from lungal.records import CLASS_COLOURS, CLASSES, Detections, GroundTruth, Image

TILE = 512
"""Side of a film on the sheet, pixels."""


def choose_films(truths: Sequence[GroundTruth], params: EvaluateParams) -> list[str]:
    """Return the image_ids of the films to show: a seeded draw, the same for every model."""
    films = sorted(truth.image_id for truth in truths)
    drawn = np.random.default_rng(params.seed).permutation(len(films))[: params.gallery]
    return [films[number] for number in sorted(drawn)]


def draw_gallery(
    images: Iterable[Image],
    truths: Mapping[str, GroundTruth],
    detections: Mapping[str, Detections],
    working_score: float,
) -> bytes:
    """Return the sheet as PNG; detections below the working score are not drawn."""
    tiles, titles = [], []
    for image in images:
        seen = detections[image.image_id].above(working_score)
        tiles.append(draw_tile(image, truths[image.image_id], seen))
        named = [CLASSES[label] for label in truths[image.image_id].labels]
        titles.append(f"{image.image_id}    {', '.join(named) or 'no finding'}")
    return figures.encode_png(figures.contact_sheet(tiles, titles))


def draw_tile(image: Image, truth: GroundTruth, seen: Detections, side: int = TILE) -> Pixels:
    """Return a film as (side, side, 3) uint8 RGB with truth and detections drawn on it."""
    scale = np.float32(prepared_scale(image.width, image.height, side))
    rising = np.argsort(seen.scores, kind="stable")  # the surest is drawn over the others
    canvas = draw_boxes(
        prepare(image.pixels, side),
        seen.boxes[rising] * scale,
        [f"{CLASSES[seen.labels[box]]} {seen.scores[box]:.2f}" for box in rising],
        [colour_of(label) for label in seen.labels[rising]],
        dashed=True,
    )
    canvas = draw_boxes(
        canvas,
        truth.boxes * scale,
        [CLASSES[label] for label in truth.labels],
        [colour_of(label) for label in truth.labels],
    )
    return canvas[:, :, ::-1]


def colour_of(label: int) -> Colour:
    """Return a class's colour as BGR."""
    red, green, blue = bytes.fromhex(CLASS_COLOURS[label].removeprefix("#"))
    return (blue, green, red)
