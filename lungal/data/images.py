"""Films as arrays. The only module that imports cv2."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray
from lungal.data.encoded import ends_whole, why_damaged
from lungal.errors import ImageError

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

QUARTER = 2**14
"""Of the greys of 16 bits: films of 10, 12 and 14 bits end below."""


def read_pixels(path: Path) -> Pixels:
    """Decode a PNG or JPEG of any depth, palette or channel count to (H, W) uint8 grey.

    16-bit films are scaled by 255/65535, so that the same film stored in 8 or 16 bits looks alike.
    One whose greatest grey is below QUARTER was never stretched to 16 bits, and would be black.

    Raises:
        ImageError: if the file is missing, cut short, damaged, no image, or a film of fewer bits
            in 16.
    """
    try:
        encoded = path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from None
    return decode(encoded, str(path))


def decode(encoded: bytes, name: str) -> Pixels:
    """Decode PNG or JPEG bytes to (H, W) uint8 grey; see read_pixels.

    Raises:
        ImageError: naming `name`, if the bytes are no whole image, a damaged one, or a film of
            fewer bits in 16.
    """
    # OpenCV fills what is missing with grey and says nothing.
    if not ends_whole(encoded):
        raise ImageError(f"{name}: no whole PNG or JPEG image")
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        pixels = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags)
    except cv2.error:  # its header speaks of more pixels than OpenCV decodes
        pixels = None
    if pixels is None:
        raise ImageError(f"{name}: cannot be decoded")
    if damage := why_damaged(encoded):
        raise ImageError(f"{name}: {damage}")
    if pixels.dtype == np.uint16:
        pixels = cv2.convertScaleAbs(_filled(pixels, name), alpha=255 / 65535)
    if pixels.dtype != np.uint8:
        raise ImageError(f"{name}: pixels of type {pixels.dtype}; known: uint8, uint16")
    if pixels.ndim == 3:
        code = {3: cv2.COLOR_BGR2GRAY, 4: cv2.COLOR_BGRA2GRAY}[pixels.shape[2]]
        pixels = cv2.cvtColor(pixels, code)
    return np.ascontiguousarray(pixels)


def _filled(pixels: NDArray[Any], name: str) -> NDArray[Any]:
    colour = pixels if pixels.ndim == 2 else pixels[..., :3]  # a fourth channel is opacity
    greatest = int(colour.max())
    if greatest < QUARTER:
        raise ImageError(
            f"{name}: its greatest grey is {greatest} of 65535, as of a film of "
            f"{greatest.bit_length()} bits: stretch its greys to 16 bits, or write it with 8"
        )
    return pixels


def encode_png(pixels: Pixels) -> bytes:
    """Encode (H, W) or (H, W, 3 BGR) uint8 as PNG; the same pixels give the same bytes."""
    done, encoded = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 3])
    if not done:
        raise ImageError(f"cannot encode an image of shape {pixels.shape}")
    return encoded.tobytes()


def encode_jpeg(pixels: Pixels, quality: int = 90) -> bytes:
    """Encode (H, W) or (H, W, 3 BGR) uint8 as JPEG, for people to look at, never to train on."""
    done, encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError(f"cannot encode an image of shape {pixels.shape}")
    return encoded.tobytes()


def equalise(pixels: Pixels) -> Pixels:
    """Return a (H, W) uint8 film with its local contrast evened out. Never trained on.

    CLAHE (Zuiderveld 1994): clip limit 2, 8x8 tiles.
    """
    return np.asarray(cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(pixels), np.uint8)


def apply_gamma(pixels: Pixels, gamma: float) -> Pixels:
    """Return a (H, W) uint8 film with each grey g in [0, 1] as g ** gamma: above 1 it is darker."""
    greys = np.round(255 * (np.arange(256) / 255) ** gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(pixels, greys), np.uint8)


def warp(pixels: Pixels, matrix: NDArray[np.float64]) -> Pixels:
    """Return a (H, W) uint8 film moved by an affine map, in a frame of the same size.

    What leaves the frame is lost, what comes in is black. Greys are interpolated linearly.

    Args:
        pixels: the film.
        matrix: (2, 3), takes x and y of the film to those of the result, in pixels, the origin
            at the top left corner of the film, as boxes have it.
    """
    height, width = pixels.shape
    centred = matrix.copy()
    # OpenCV counts from the centre of the first pixel, half a pixel into the film.
    centred[:, 2] += matrix[:, :2] @ [0.5, 0.5] - 0.5
    moved = cv2.warpAffine(pixels, centred, (width, height), flags=cv2.INTER_LINEAR)
    return np.asarray(moved, np.uint8)


def prepare(pixels: Pixels, size: int) -> Pixels:
    """Return the (size, size) uint8 square that the network sees: in training and in serving.

    A film that is not square is padded with black at the right or the bottom, so that the box
    geometry is one scale factor (`prepared_scale`). Shrinking uses an area filter: the OD API's
    own resizer has no anti-aliasing, and a model trained on pictures of one size and served those
    of another through it loses AP (docs/results.md).
    """
    height, width = pixels.shape
    side = max(height, width)
    if height != width:
        pixels = np.pad(pixels, ((0, side - height), (0, side - width)))
    if side == size:
        return pixels
    shrink = cv2.INTER_AREA if side > size else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size, size), interpolation=shrink), np.uint8)


def brightness(pixels: Pixels, size: int) -> float:
    """Return the mean grey value, 0 to 255, of a film as `prepare` leaves it, without padding."""
    height, width = pixels.shape
    scale = prepared_scale(width, height, size)
    inside = prepare(pixels, size)[: max(1, round(height * scale)), : max(1, round(width * scale))]
    return float(inside.mean())


def prepared_scale(width: int, height: int, size: int) -> float:
    """Return what film pixels are multiplied with to become pixels of `prepare`'s square."""
    return size / max(width, height)


def draw_boxes(
    pixels: Pixels,
    boxes: FloatArray,
    captions: Sequence[str],
    colours: Sequence[Colour],
    *,
    dashed: bool = False,
) -> Pixels:
    """Return a (H, W, 3) uint8 BGR copy of a film with captioned boxes drawn on it.

    Args:
        pixels: (H, W) uint8 grey or (H, W, 3) uint8 BGR.
        boxes: (N, 4) float32, pixels, xyxy.
        captions: N texts, drawn above their boxes (inside, at the film's top edge).
        colours: N BGR colours.
        dashed: draw corners only, to tell a second set of boxes from the first.
    """
    canvas = np.repeat(pixels[..., None], 3, axis=2) if pixels.ndim == 2 else pixels.copy()
    unit = max(canvas.shape[:2]) / 1024
    thickness = max(1, round(3 * unit))
    for box, caption, colour in zip(boxes, captions, colours, strict=True):
        x1, y1, x2, y2 = (round(float(v)) for v in box)
        if dashed:
            _draw_corners(canvas, (x1, y1, x2, y2), colour, thickness)
        else:
            cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)
        _write(canvas, caption, (x1, y1 if not dashed else y2), colour, unit, below=dashed)
    return canvas


def _draw_corners(
    canvas: Pixels, box: tuple[int, int, int, int], colour: Colour, thickness: int
) -> None:
    x1, y1, x2, y2 = box
    arm_x, arm_y = max(1, (x2 - x1) // 4), max(1, (y2 - y1) // 4)
    for x, dx in ((x1, arm_x), (x2, -arm_x)):
        for y, dy in ((y1, arm_y), (y2, -arm_y)):
            cv2.line(canvas, (x, y), (x + dx, y), colour, thickness)
            cv2.line(canvas, (x, y), (x, y + dy), colour, thickness)


def _write(
    canvas: Pixels, text: str, at: tuple[int, int], colour: Colour, unit: float, *, below: bool
) -> None:
    scale, thickness = max(0.35, 0.8 * unit), max(1, round(2 * unit))
    (width, height), base = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
    x = min(max(at[0], 0), max(0, canvas.shape[1] - width))
    y = at[1] + height + base if below else at[1] - base
    y = min(max(y, height + base), canvas.shape[0] - base)
    cv2.rectangle(canvas, (x, y - height - base), (x + width, y + base), (0, 0, 0), -1)
    cv2.putText(canvas, text, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, colour, thickness)


def enlarge(field: FloatArray, side: int) -> FloatArray:
    """Return a (H, W) float32 field as a larger (side, side) one: cubic, so that it is smooth."""
    grown = cv2.resize(field, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(grown, np.float32)


def shrink(field: FloatArray, side: int) -> FloatArray:
    """Return a (H, W) float32 field as a smaller (side, side) one: each pixel a mean."""
    return np.asarray(cv2.resize(field, (side, side), interpolation=cv2.INTER_AREA), np.float32)


def blur(field: FloatArray, sigma: float) -> FloatArray:
    """Return a (H, W) float32 field under a Gaussian of `sigma` pixels; the edges are repeated."""
    soft = cv2.GaussianBlur(field, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(soft, np.float32)


def fill_polygon(side: int, points: NDArray[np.float64]) -> Pixels:
    """Return a (side, side) uint8 mask, 255 inside a polygon, with smooth edges.

    Args:
        side: of the mask, pixels.
        points: (K, 2) corners, xy pixels, where whole numbers are pixel centres.
    """
    mask = np.zeros((side, side), np.uint8)
    cv2.fillPoly(mask, [_sixteenths(points)], 255, cv2.LINE_AA, shift=4)
    return mask


def draw_polyline(mask: Pixels, points: NDArray[np.float64], value: int, width: int) -> None:
    """Draw an open line on a (H, W) uint8 mask, in place.

    Args:
        mask: the mask, changed in place.
        points: (K, 2) corners, xy pixels, where whole numbers are pixel centres.
        value: of the line's pixels, 0 to 255.
        width: of the line, pixels, at least 1.
    """
    cv2.polylines(mask, [_sixteenths(points)], False, value, width, cv2.LINE_AA, shift=4)  # noqa: FBT003


def _sixteenths(points: NDArray[np.float64]) -> NDArray[np.int32]:
    # OpenCV draws between pixels only through fixed-point coordinates.
    return np.round(points * 16).astype(np.int32)
