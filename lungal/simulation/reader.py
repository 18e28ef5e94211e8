"""The reader of a campaign: says what is there, and takes as long as one who corrects boxes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lungal.reading.scripted import Reader
from lungal.records import CLASSES, Detections, GroundTruth, LabelledBox, Truth


@dataclass(frozen=True, slots=True)
class TrueReader:
    """Knows the truth of all films, and tells that of those that were chosen.

    The time is that of `lungal.reading.scripted.Reader`: seconds for the film, for each box that
    has to be drawn, and for each box drawn beforehand that is kept or deleted.

    Args:
        truth: image_id to boxes.
        sizes: image_id to width and height, pixels.
        draw_threshold: score from which a detection is drawn beforehand.
        max_boxes: at most so many are.
    """

    truth: Truth
    sizes: Mapping[str, tuple[int, int]]
    draw_threshold: float
    max_boxes: int

    def tell(self, image_ids: Sequence[str]) -> list[GroundTruth]:
        """Return the truth of films, sorted by image_id."""
        return [GroundTruth.of(name, self.truth[name]) for name in sorted(image_ids)]

    def seconds(self, found: Detections) -> float:
        """Return how long it takes to read a film on which these detections are shown."""
        drawn = found.pre_drawn(self.draw_threshold, self.max_boxes)
        shown = [
            LabelledBox(CLASSES[label], *box)
            for box, label in zip(drawn.boxes.tolist(), drawn.labels.tolist(), strict=True)
        ]
        reader = Reader(self.truth, miss_rate=0.0, jitter=0.0, accept_rate=1.0)
        size = self.sizes[found.image_id]
        return reader.read(found.image_id, *size, shown).seconds
