"""What the model sees on the film of a task, as Label Studio's predictions. Knows no HTTP."""

import logging
import math
from collections.abc import Iterable, Iterator, Sequence
from threading import Lock
from typing import Protocol

import numpy as np

from lungal.acquisition.evidence import Evidence
from lungal.acquisition.protocol import Acquisition
from lungal.annotation.prediction_films import Films
from lungal.annotation.prediction_requests import DrawnRegion, SentTask
from lungal.annotation.tasks import IMAGE, Json, box_regions
from lungal.boxes import FloatArray, clip, from_percent, iou
from lungal.errors import BoxError, DetectorError, LungalError
from lungal.params import QueueParams
from lungal.records import CLASSES, Detections, Image

logger = logging.getLogger(__name__)

OVERLAP = 0.1
"""IoU from which a detection has a say about a region."""
MARGIN = 0.25
"""What is left around a region that is looked at alone, as a share of its sides."""


class LooksAtFilms(Protocol):
    """A lungal Detector; that module is beside this layer, not below it."""

    classes: tuple[str, ...]

    def detect(self, images: Iterable[Image]) -> Iterator[Detections]:
        """Yield one Detections for each image."""
        ...


class PredictionService:
    """Answers for one model. Films are looked at one by one, whoever asks at the same time.

    Args:
        detector: the model.
        model_version: what its predictions are called.
        films: finds the film of a task.
        acquisition: the uncertainty of a film, as the stage `select` has it.
        queue: which detections are drawn.

    Raises:
        DetectorError: if the model was made for other findings.
    """

    def __init__(
        self,
        detector: LooksAtFilms,
        model_version: str,
        films: Films,
        acquisition: Acquisition,
        queue: QueueParams,
    ) -> None:
        if tuple(detector.classes) != CLASSES:
            raise DetectorError(
                f"the model {model_version} finds {', '.join(detector.classes)}; "
                f"it must find {', '.join(CLASSES)}"
            )
        self.model_version = model_version
        self._detector, self._films = detector, films
        self._acquisition, self._queue = acquisition, queue
        self._turn = Lock()

    def predict(self, tasks: Sequence[SentTask]) -> list[list[Json]]:
        """Return for each task its prediction, or none: a task without one never fails the others.

        A task of the queue has none: its boxes came with it, or were left out on purpose. Nor has
        a task whose film is not ours to read. The log says which, and why.
        """
        return [self._prediction(task) for task in tasks]

    def label(self, task: SentTask, drawn: Sequence[DrawnRegion]) -> Json:
        """Return a prediction that holds the drawn regions, each with its likeliest finding.

        A region about which the model has nothing to say is left out. On a film whose boxes are
        hidden from its readers, or that is adjudicated, nothing is said of any.
        """
        regions: list[Json] = []
        try:
            asked = self._films.asked(task.data)
            if asked is None or not (asked.blind or asked.role == "adjudicate"):
                regions = self._labelled(self._films.read(task.data), drawn)
            else:
                _say_why_not(task, "it is to be read without the model")
        except Exception as error:  # noqa: BLE001  a reader goes on drawing whatever happens here
            _log(task, error)
        score = min((region["score"] for region in regions), default=0.0)
        return {"result": regions, "score": score, "model_version": self.model_version}

    def _prediction(self, task: SentTask) -> list[Json]:
        try:
            if self._films.asked(task.data) is None:
                return [self._seen_on(self._films.read(task.data))]
            _say_why_not(task, "it is in the queue, and has the boxes that it shall have")
        except Exception as error:  # noqa: BLE001  the other tasks of the request go on
            _log(task, error)
        return []

    def _seen_on(self, film: Image) -> Json:
        found = self._look(film)
        drawn = found.pre_drawn(self._queue.draw_threshold, self._queue.max_boxes)
        return {
            "result": box_regions(drawn.boxes, drawn.labels, film.width, film.height, drawn.scores),
            "score": 1.0 - self._acquisition(Evidence(found)),
            "model_version": self.model_version,
        }

    def _labelled(self, film: Image, drawn: Sequence[DrawnRegion]) -> list[Json]:
        found, regions = self._look(film), []
        for region in drawn:
            try:
                box = _box_of(region, film)
            except BoxError as error:
                logger.info("a drawn region gets no finding: %s", error)
                continue
            said = finding_at(found, box) or top_finding(self._look(cut_out(film, box)))
            if said is not None:
                regions.append(_answer(region, film, *said))
        return regions

    def _look(self, film: Image) -> Detections:
        with self._turn:
            return next(iter(self._detector.detect([film])))


def finding_at(found: Detections, box: FloatArray) -> tuple[int, float] | None:
    """Return the finding at a place of a film, or None if nothing that was detected overlaps it.

    Each detection votes for each finding with IoU x score of that finding (of its own finding
    alone, where a detector does not tell the others' scores).

    Args:
        found: on the film.
        box: (4,) float32, pixels of the film, xyxy.

    Returns:
        The index into CLASSES with the most votes, and the highest score of it that votes.
    """
    overlaps = iou(found.boxes, box[None])[:, 0]
    near = overlaps >= OVERLAP
    scores = _scores_by_class(found)[near]
    if not scores.any():
        return None
    best = int((overlaps[near] @ scores).argmax())
    return best, float(scores[:, best].max())


def top_finding(found: Detections) -> tuple[int, float] | None:
    """Return class index and score of the surest detection, or None if there is none."""
    if not len(found):
        return None
    surest = int(found.scores.argmax())
    return int(found.labels[surest]), float(found.scores[surest])


def cut_out(film: Image, box: FloatArray) -> Image:
    """Return a box of a film and a margin around it as a film of its own.

    Args:
        film: the whole.
        box: (4,) float32, pixels, xyxy, with some area on the film.
    """
    x1, y1, x2, y2 = (float(edge) for edge in box)
    wide, high = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(0, math.floor(x1 - wide)), max(0, math.floor(y1 - high))
    right, bottom = math.ceil(x2 + wide), math.ceil(y2 + high)
    return Image(film.image_id, np.ascontiguousarray(film.pixels[top:bottom, left:right]))


def _scores_by_class(found: Detections) -> FloatArray:
    if found.class_scores is not None:
        return found.class_scores
    scores: FloatArray = np.zeros((len(found), len(CLASSES)), np.float32)
    scores[np.arange(len(found)), found.labels] = found.scores
    return scores


def _box_of(region: DrawnRegion, film: Image) -> FloatArray:
    if region.to_name != IMAGE:
        raise BoxError(f"it is drawn on {region.to_name!r}; known: {IMAGE}")
    if region.value.rotation:
        raise BoxError(f"it is rotated by {region.value.rotation:g} degrees")
    drawn = region.value
    percent = [[drawn.x, drawn.y, drawn.width, drawn.height]]
    boxes = from_percent(percent, film.width, film.height)
    box: FloatArray = clip(boxes, film.width, film.height)[0]
    if box[2] <= box[0] or box[3] <= box[1]:
        raise BoxError("it lies outside the film")
    return box


def _answer(region: DrawnRegion, film: Image, label: int, score: float) -> Json:
    box, scores = _box_of(region, film)[None], np.array([score], np.float32)
    answer = box_regions(box, np.array([label], np.int32), film.width, film.height, scores)[0]
    # The reader's own numbers and id: the region is theirs, only its finding is new.
    answer["value"] |= region.value.model_dump(include={"x", "y", "width", "height"})
    return answer | ({"id": region.id} if region.id else {}) | {"score": score}


def _say_why_not(task: SentTask, reason: object) -> None:
    logger.info("task %s gets no prediction: %s", task.id, reason)


def _log(task: SentTask, error: Exception) -> None:
    if isinstance(error, LungalError):
        _say_why_not(task, error)
    else:
        logger.error("task %s gets no prediction", task.id, exc_info=error)
