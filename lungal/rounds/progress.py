"""How far the readers of a round are."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import mean, median

from lungal.data.asked import latest_asked
from lungal.params import ReadingParams
from lungal.reading.agreement import film_agreement
from lungal.reading.effort import seconds_of
from lungal.reading.standing import standing
from lungal.reading.verdicts import opinions
from lungal.records import Annotation, Asked


@dataclass(frozen=True, slots=True)
class RoundProgress:
    """How far a round is that is being read.

    A film is read when it has as many readings as it wants; skipping it, or calling it unreadable,
    is one. What cannot be said yet is None.
    """

    round: int
    films: int  # asked
    read: int  # of these
    missing: int  # readings that are still wanted
    readings: dict[str, int]  # reader to how many, most first
    seconds: float | None  # a reading's, median, idle time cut off
    agreement: float | None  # of films that several have read, mean, in [0, 1]

    @property
    def is_done(self) -> bool:
        """Whether every film is read."""
        return self.read == self.films

    @property
    def left(self) -> float | None:
        """Return the seconds until all is read, if those who read go on side by side."""
        if self.seconds is None:
            return 0.0 if self.is_done else None
        return self.missing * self.seconds / max(len(self.readings), 1)


def round_progress(
    asked: Iterable[Asked], log: Iterable[Annotation], params: ReadingParams
) -> RoundProgress | None:
    """Return how far the last round that was asked is; None if none ever was."""
    questions = latest_asked(asked)
    if not questions:
        return None
    number = max(round_ for round_, _ in questions)
    wanted = {film: line.readers for (round_, film), line in questions.items() if round_ == number}
    films: dict[str, list[Annotation]] = defaultdict(list)
    for reading in standing(log):
        if reading.round == number and reading.image_id in wanted:
            films[reading.image_id].append(reading)
    readings = [reading for read in films.values() for reading in read]
    said = [[r.boxes for r in opinions(read)] for read in films.values()]
    agreements = [film_agreement(boxes, params.iou) for boxes in said if len(boxes) > 1]
    seconds = seconds_of(readings, params.idle_seconds)
    return RoundProgress(
        round=number,
        films=len(wanted),
        read=sum(len(films[film]) >= readers for film, readers in wanted.items()),
        missing=sum(max(readers - len(films[film]), 0) for film, readers in wanted.items()),
        readings=dict(Counter(reading.reader for reading in readings).most_common()),
        seconds=median(seconds) if seconds else None,
        agreement=mean(agreements) if agreements else None,
    )
