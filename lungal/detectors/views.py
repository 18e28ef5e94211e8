"""The same film seen differently: what a detector says only of one view, it is not sure of.

There is no flipped view: it would move the heart to the right. Nothing is learnt from views, and
no view leaves its mark on a film.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lungal.boxes import FloatArray, area, as_boxes, clip
from lungal.data.images import Pixels, apply_gamma, equalise, warp
from lungal.data.threads import map_in_order
from lungal.detectors.protocol import Detector
from lungal.params import ViewName
from lungal.records import Detections, Image


@dataclass(frozen=True, slots=True)
class View:
    """A way to look at a film, and the way back from what is seen to the film's own pixels.

    `tone` changes its greys. It is then turned about its centre by `degrees`, clockwise as one
    looks at it, and enlarged by `scale`, in a frame of its own size: what leaves the frame is not
    seen, what comes in is black.
    """

    tone: Callable[[Pixels], Pixels] | None = None
    degrees: float = 0.0
    scale: float = 1.0

    def see(self, image: Image) -> Image:
        """Return the film as this view shows it; the film is left as it was."""
        pixels = image.pixels if self.tone is None else self.tone(image.pixels)
        if self._moves:
            pixels = warp(pixels, self.matrix(image.width, image.height))
        return Image(image.image_id, pixels)

    def back(self, found: Detections, width: int, height: int) -> Detections:
        """Return what was seen in this view, in pixels of the film.

        The way back is the exact inverse. A box that was turned becomes the smallest upright box
        that holds it, which is larger: a square by 5 % of its side at 3 degrees. Boxes are cut to
        the film, and those that have nothing left are dropped. The embedding is dropped too: it
        is that of another picture. The view that changes nothing gives back what was found.

        Args:
            found: detections in pixels of the view.
            width: of the film, pixels.
            height: of the film, pixels.
        """
        if self == View():
            return found
        boxes = as_boxes(found.boxes)
        if self._moves:
            boxes = clip(_hulls(boxes, _invert(self.matrix(width, height))), width, height)
        return replace(found, boxes=boxes, embedding=None).take(area(boxes) > 0)

    def frame(self, width: int, height: int) -> FloatArray:
        """Return the part of the film that the view shows: (4,) pixels, xyxy.

        The corners that turning takes away are not left out.
        """
        middle = np.array([width / 2, height / 2])
        reach = middle / max(self.scale, 1)
        return np.concatenate([middle - reach, middle + reach]).astype(np.float32)

    def matrix(self, width: int, height: int) -> NDArray[np.float64]:
        """Return the (2, 3) affine map from the film's pixels, x and y, to the view's."""
        angle = np.deg2rad(self.degrees)
        cosine, sine = self.scale * np.cos(angle), self.scale * np.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])  # y points down: clockwise
        centre = np.array([width / 2, height / 2])
        return np.column_stack([turn, centre - turn @ centre])

    @property
    def _moves(self) -> bool:
        return self.degrees != 0 or self.scale != 1


VIEWS: Mapping[ViewName, View] = {
    "gamma_up": View(tone=partial(apply_gamma, gamma=1.25)),
    "gamma_down": View(tone=partial(apply_gamma, gamma=0.8)),
    "clahe": View(tone=equalise),
    "turn_left": View(degrees=-3),
    "turn_right": View(degrees=3),
    "shrink": View(scale=0.9),
    "enlarge": View(scale=1.05),
    "zoom": View(scale=1.15),
}
"""The views by name, all so small that a reader would say the same of them. `enlarge` is the
smallest step, as it loses a rim of the film. `zoom` loses 7 % at each edge, and is for looking a
second time besides the first (`fused`): it shows things as large as training's crops do, three
quarters of a film, which are enlarged by 1 / sqrt(.75)."""


def detect_views(
    detector: Detector, images: Iterable[Image], views: Sequence[View]
) -> Iterator[tuple[Detections, ...]]:
    """Yield for each film, in order, what a detector sees in each view, in the film's own pixels.

    Each film is read once, and the detector gets films of all views in its batches.

    Args:
        detector: any.
        images: the films.
        views: in the order of each tuple; none makes empty tuples and asks the detector nothing.
    """
    sizes: deque[tuple[int, int]] = deque()

    def show(image: Image) -> tuple[Image, list[Image]]:
        return image, [view.see(image) for view in views]

    def shown() -> Iterator[Image]:
        for image, seen in map_in_order(show, images):
            sizes.append((image.width, image.height))
            yield from seen

    if not views:
        yield from (() for _ in images)
        return
    found = iter(detector.detect(shown()))
    while of_a_film := list(islice(found, len(views))):
        size = sizes.popleft()
        yield tuple(view.back(seen, *size) for view, seen in zip(views, of_a_film, strict=True))


def _invert(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    turn = np.linalg.inv(matrix[:, :2])
    return np.column_stack([turn, -turn @ matrix[:, 2]])


def _hulls(boxes: FloatArray, matrix: NDArray[np.float64]) -> FloatArray:
    """Return the smallest upright boxes that hold boxes (N, 4) after an affine map (2, 3)."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float64)  # (N, 4, 2)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return as_boxes(np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1))
