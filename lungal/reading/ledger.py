"""The ledger: what each round cost its readers, and what it brought."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import mean

from lungal.params import ReadingParams
from lungal.reading.effort import seconds_of
from lungal.reading.verdicts import opinions
from lungal.records import Annotation


@dataclass(frozen=True, slots=True)
class Entry:
    """A round.

    A *new box* stands in a reading that was asked for its label: accepted, moved or drawn. A film
    that several readers read brings the mean of their boxes, not the sum. Known cases, re-readings
    and adjudications bring none, but their seconds count: they are part of the price.

    Boxes are counted by what became of the model's. An adjudication shows what readers drew, so
    its boxes are in none of these four numbers.
    """

    round: int
    films: int  # of which somebody said what is on them
    readings: int  # that stand, passes included
    skipped: int
    unreadable: int
    accepted: int  # boxes that were pre-drawn and left as they were
    moved: int  # pre-drawn, and changed
    drawn: int  # by the reader; all boxes of a blind reading
    deleted: int  # pre-drawn, and removed
    controls: int  # readings of known cases
    rereads: int
    adjudications: int
    blind: int  # readings without pre-drawn boxes
    imported: int  # films whose boxes came in from a file; in none of the other numbers
    seconds: float  # of all readings, idle time cut off
    new_boxes: float
    seconds_per_new_box: float | None  # of readings whose time is known; None: no new box in them


def ledger(standing: Iterable[Annotation], params: ReadingParams) -> list[Entry]:
    """Return an entry per round, oldest first.

    Args:
        standing: the readings that count (`lungal.reading.standing`).
        params: the cap on seconds.
    """
    rounds: dict[int, list[Annotation]] = defaultdict(list)
    for reading in standing:
        rounds[reading.round].append(reading)
    return [_entry(number, rounds[number], params) for number in sorted(rounds)]


def new_boxes(readings: Iterable[Annotation]) -> float:
    """Return how many boxes readings have brought; see Entry."""
    films: dict[str, list[int]] = defaultdict(list)
    for reading in opinions(readings):
        if reading.role == "label":
            films[reading.image_id].append(len(reading.boxes))
    return float(sum(mean(counts) for counts in films.values()))


def _entry(number: int, standing: Sequence[Annotation], params: ReadingParams) -> Entry:
    read = [reading for reading in standing if reading.role != "import"]
    verdicts = Counter(reading.verdict for reading in read)
    roles = Counter(reading.role for reading in read)
    shown = [reading for reading in read if reading.role != "adjudicate"]
    origins = Counter(box.origin for reading in shown for box in reading.boxes)
    seconds = sum(seconds_of(read, params.idle_seconds))
    timed = new_boxes(reading for reading in read if reading.seconds is not None)
    return Entry(
        round=number,
        films=len({reading.image_id for reading in opinions(read)}),
        readings=len(read),
        skipped=verdicts["skipped"],
        unreadable=verdicts["unreadable"],
        accepted=origins["accepted"],
        moved=origins["moved"],
        drawn=origins["drawn"],
        deleted=sum(len(reading.deleted) for reading in shown),
        controls=roles["control"],
        rereads=roles["reread"],
        adjudications=roles["adjudicate"],
        blind=sum(reading.blind for reading in read),
        imported=len({reading.image_id for reading in standing if reading.role == "import"}),
        seconds=seconds,
        new_boxes=new_boxes(read),
        seconds_per_new_box=seconds / timed if timed and seconds else None,
    )
