"""The proxy as a `Learner` of simulated campaigns."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lungal.boxes import FloatArray, area, clip, iou
from lungal.data.digests import hash_json
from lungal.detectors.proxy.cells import boxes_of
from lungal.detectors.proxy.head import Head, fit_head, spread
from lungal.detectors.proxy.shelf import Shelf, fill_shelf, open_shelf, shelf_name
from lungal.detectors.tfod.architectures import SAME_FINDING_IOU
from lungal.detectors.tfod.backbone import Backbone
from lungal.detectors.tfod.loop import IOUS
from lungal.detectors.views import VIEWS
from lungal.evaluation.precision_recall import weighted_ap
from lungal.params import DetectParams, ProxyParams, ViewName
from lungal.records import CLASSES, Detections, GroundTruth, OnProgress


@dataclass(frozen=True, slots=True)
class ProxyLearner:
    """Learns a light head on features of a frozen backbone, in seconds.

    Args:
        films: image_id to the stored film, of all films of the campaign.
        content: of all films, a hash that changes when one of them does; it names the features.
        params: of features and head.
        detect: which detections are kept; it looks once, whatever `fused` says.
        folder: where the features lie.
    """

    films: Mapping[str, Path]
    content: str
    params: ProxyParams
    detect: DetectParams
    folder: Path

    name = "proxy"

    @property
    def key(self) -> str:
        """See `Learner.key`."""
        parts = [
            self.name,
            Backbone(self.params.initial_weights, self.params.input_size).key,
            self.params.model_dump(mode="json", exclude={"initial_weights"}),
            self.detect.model_dump(mode="json", exclude={"fused"}),
        ]
        return hash_json(parts)

    def prepare(self, views: Sequence[ViewName], on_film: OnProgress) -> None:
        """Compute the features of all films, and of views of them, that are not there yet.

        Raises:
            DetectorError: if the backbone's weights cannot be used.
        """
        wanted: list[ViewName | None] = [None, *views]
        missing = [view for view in wanted if not self._shelf(view).exists()]
        total, done = len(missing) * len(self.films), 0
        for view in missing:
            base = None if view is None else self._shelf(None)
            for _ in fill_shelf(self._shelf(view), self.films, self.params, view, base=base):
                done += 1
                on_film(done, total)

    def learn(
        self,
        labelled: Sequence[GroundTruth],
        val: Sequence[GroundTruth],
        *,
        seed: int,
        work: Path,  # noqa: ARG002  a training of seconds is not gone on with
    ) -> "Look":
        """See `lungal.simulation.learner.Learner.learn`; the features must be there."""
        shelf = open_shelf(self._shelf(None))
        rows = [shelf.rows[truth.image_id] for truth in labelled]
        features = [spread(shelf.cells[row], shelf.films[row]) for row in rows]
        sides = [float(shelf.sizes[row].max()) for row in rows]
        held_out = [truth.image_id for truth in val]
        best, leader = -1.0, None
        for _, head in fit_head(features, labelled, sides, self.params, seed):
            look = Look(self, head)
            reached = weighted_ap(val, list(look(held_out)), IOUS)
            if leader is None or reached >= best:  # of equals the last
                best, leader = reached, look
        assert leader is not None  # noqa: S101  the last step is always validated
        return leader

    def open(self, view: ViewName | None) -> Shelf:
        """Return the features of the films, or of a view of them."""
        return open_shelf(self._shelf(view))

    def _shelf(self, view: ViewName | None) -> Path:
        return self.folder / shelf_name(self.content, self.params, view)


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """A trained head looking at films by name."""

    learner: ProxyLearner
    head: Head

    def __call__(
        self, image_ids: Sequence[str], view: ViewName | None = None
    ) -> Iterator[Detections]:
        """Yield what it sees of each film, or of a view of it, in order."""
        shelf = self.learner.open(view)
        for image_id in image_ids:
            found = see(self.head, shelf, image_id, self.learner.detect)
            if view is not None:
                width, height = shelf.sizes[shelf.rows[image_id]].tolist()
                found = VIEWS[view].back(found, width, height)
            yield found


def see(head: Head, shelf: Shelf, image_id: str, params: DetectParams) -> Detections:
    """Return what a head sees on a film, in pixels of the film (of the view, if it is one).

    Each class keeps its surest cells; of boxes of a class that overlap, the surest.
    """
    row = shelf.rows[image_id]
    features = spread(shelf.cells[row], shelf.films[row])
    grid = round(len(features) ** 0.5)
    width, height = shelf.sizes[row].tolist()
    probabilities = 1 / (1 + np.exp(-head.logits(features)))  # (G * G, C)
    boxes, cells, labels = [], [], []
    for label in range(len(CLASSES)):
        order = np.argsort(-probabilities[:, label], kind="stable")[: params.max_detections]
        order = order[probabilities[order, label] >= params.score_threshold]
        reach = features[order] @ head.reach[:, label]
        square = boxes_of(order, reach, grid) * max(width, height)
        inside = clip(square.astype(np.float32), width, height)
        kept = _suppress(inside)
        boxes.append(inside[kept])
        cells.append(order[kept])
        labels.append(np.full(len(kept), label, np.int32))
    at, of = np.concatenate(cells), np.concatenate(labels)
    scores = probabilities[at, of]
    top = np.argsort(-scores, kind="stable")[: params.max_detections]
    return Detections(
        image_id,
        np.concatenate(boxes)[top],
        scores[top].astype(np.float32),
        of[top],
        probabilities[at[top]].astype(np.float32),
        shelf.films[row],
    )


def _suppress(boxes: FloatArray) -> list[int]:
    """Return the indices of boxes, surest first, that no surer one makes a second time."""
    kept: list[int] = []
    overlaps, alive = iou(boxes, boxes), area(boxes) > 0
    for number in range(len(boxes)):
        if alive[number]:
            kept.append(number)
            alive &= overlaps[number] < SAME_FINDING_IOU
    return kept
