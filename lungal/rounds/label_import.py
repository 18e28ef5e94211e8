"""Labels that were made elsewhere become events of the annotation log, with the role "import"."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pandas as pd

from lungal.annotation.readings import utc
from lungal.data.annotations import checked, current_round, to_json
from lungal.data.interchange.door import admit, match_film
from lungal.data.interchange.film import Found, FoundFilm, Size, Unfit
from lungal.errors import AnnotationError
from lungal.reading.standing import by_film, standing
from lungal.records import Annotation, Split

NOBODY = "import"
"""The reader of labels of which nobody knows who drew them."""
HASH_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Target:
    """A film that labels may be for."""

    size: Size
    split: Split | None  # None: it is in no split


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What files bring."""

    new: tuple[Annotation, ...]  # what the log lacks
    known: int  # films of which the log's last word from such files says the same
    older: int  # films of which the log has a later word from such files
    cut: int  # boxes that reached beyond their film and were cut to it
    refused: tuple[Unfit, ...]


@dataclass(frozen=True)
class Importer:
    """Turns what files say into events.

    Args:
        films: image_id to film.
        form: of the files, as the log is to name it.
        now: when labels were made whose file does not say it: ISO 8601, UTC.
        reader: who drew all these labels, an address; None: whom the file names, if it does.
        name_reader: what a reader is called in the log.
        name_film: the image_id of a film's pseudonym, or None.
        rescale: see door.admit.
        skip_empty: leave films alone that have no boxes and no verdict of their own: in these
            files that means "not labelled".
        labelled: the round that data/labels.parquet is of; None: it has not been made yet.
    """

    films: Mapping[str, Target]
    form: str
    now: str
    reader: str | None = None
    name_reader: Callable[[str], str] = str
    name_film: Callable[[str], str | None] = lambda _pseudonym: None
    rescale: bool = False
    skip_empty: bool = False
    labelled: int | None = None

    def compare(self, found: Iterable[Found], log: Sequence[Annotation]) -> ImportReport:
        """Say what of it the log lacks; one bad film stops no other.

        What is new has been checked and may be appended. The same files once more bring nothing.
        Files that say something else of a film bring a later event of the same thread. All is of
        the round in work, however many files come in: of two readers' labels of a film both count.
        An edit of one of them stays in their round, beside the other.

        Args:
            found: what the files say.
            log: all events so far.
        """
        number, latest, beside = self._round(log), _latest(log), _in_company(log)
        refused: list[Unfit] = []
        threads: dict[str, list[_Said]] = defaultdict(list)
        for film in found:
            if isinstance(film, Unfit):
                refused.append(film)
            elif film.boxes or film.verdict or not self.skip_empty:
                try:
                    said = self._check(film, number, beside)
                    threads[said.event.thread].append(said)
                except (AnnotationError, UnicodeEncodeError) as error:
                    # JSON may hold half of a surrogate pair, which is no text.
                    refused.append(Unfit(film.where, str(error)))
        new, known, older, cut = [], 0, 0, 0
        for thread, voices in threads.items():
            if (last := _last_word(voices)) is None:
                refused += _contradictions(voices)
                continue
            before = latest.get(thread)
            if before is not None and _content(before) == _content(last.event):
                known += 1
            elif before is not None and _moment(before) > _moment(last.event):
                older += 1
            else:
                same_moment = before is not None and before.at == last.event.at
                new.append(_named(last.event, _utc(self.now)) if same_moment else last.event)
                cut += last.cut
        return ImportReport(tuple(new), known, older, cut, tuple(refused))

    def _round(self, log: Sequence[Annotation]) -> int:
        # Imports themselves end no round: the labels made next do. Where a colleague's readings
        # are further on than the labels here, an import stands beside these readings.
        last = current_round(log) - 1
        if self.labelled is not None:
            return max(self.labelled, last)
        return max(current_round(event for event in log if event.role != "import"), last)

    def _check(self, found: FoundFilm, number: int, beside: Mapping[str, int]) -> "_Said":
        image_id, film = self._film(found)
        try:
            admitted = admit(found, film.size, rescale=self.rescale)
        except AnnotationError as error:
            raise AnnotationError(f"film {image_id}: {error}") from None
        address = self.reader or found.reader
        reader = NOBODY if address is None else self.name_reader(address)
        thread = f"import-{self.form}-{image_id}"
        if address is not None:  # two readers of a film are two threads
            thread += "-" + reader.replace("@", "%40")
        event = Annotation(
            source_id=thread,
            image_id=image_id,
            round=beside.get(thread, number),
            reader=reader,
            verdict=found.verdict or ("finding" if admitted.boxes else "no_finding"),
            boxes=admitted.boxes,
            at=_utc(found.at or self.now),
            seconds=found.seconds,
            role="import",
            comment=found.comment,
        )
        checked(event)
        return _Said(_named(event, event.at), found.where, found.at is not None, admitted.cut)

    def _film(self, found: FoundFilm) -> tuple[str, Target]:
        image_id = match_film(found.film, self.films) or self.name_film(found.film)
        film = None if image_id is None else self.films.get(image_id)
        if image_id is None or film is None:
            raise AnnotationError(f"film {found.film} is not in the manifest")
        if film.split != "train":
            home = f"is held out ({film.split})" if film.split else "is in no split"
            raise AnnotationError(f"film {image_id} {home}; only films of train take labels")
        return image_id, film


def targets(manifest: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Target]:
    """Return all films by image_id."""
    split_of = dict(zip(splits["image_id"], splits["split"], strict=True))
    columns = (manifest[name] for name in ("image_id", "width", "height"))
    return {
        image_id: Target((int(width), int(height)), split_of.get(image_id))
        for image_id, width, height in zip(*columns, strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Said:
    event: Annotation
    where: str
    timed: bool  # the file says when
    cut: int


def _last_word(voices: Sequence[_Said]) -> _Said | None:
    """Return which of one thread's words in these files counts; None if nobody can tell."""
    if len({_content(said.event) for said in voices}) > 1 and not all(s.timed for s in voices):
        return None
    return max(voices, key=lambda said: (_moment(said.event), said.event.source_id))


def _contradictions(voices: Sequence[_Said]) -> list[Unfit]:
    places = " and ".join(said.where for said in voices)
    film = voices[0].event.image_id
    reason = f"film {film}: {places} contradict each other, and nothing says which is the latest"
    return [Unfit(said.where, reason) for said in voices]


def _latest(log: Iterable[Annotation]) -> dict[str, Annotation]:
    ours = (event for event in log if event.role == "import")
    return {event.thread: event for event in sorted(ours, key=lambda e: (_moment(e), e.source_id))}


def _in_company(log: Iterable[Annotation]) -> dict[str, int]:
    """Return thread to round of imports which, with another reading, are the last word of a film.

    An edit of one leaves that round, and the other reading would no longer count.
    """
    rounds: dict[str, int] = {}
    for words in by_film(standing(log)).values():
        spoken = [word for word in words if word.verdict != "skipped" and word.role != "control"]
        last = max((word.round for word in spoken), default=0)
        together = [word for word in spoken if word.round == last]
        if len(together) > 1:
            rounds |= {word.thread: last for word in together if word.role == "import"}
    return rounds


def _content(event: Annotation) -> tuple[object, ...]:
    # Not the order of the boxes, nor the round and the moment of the import.
    return event.verdict, tuple(sorted(map(repr, event.boxes))), event.comment


def _named(event: Annotation, at: str) -> Annotation:
    # By a hash of all of it: two branches may import one file at different moments and be merged,
    # and a source_id never stands for two different events. A file that was edited by hand keeps
    # its old time: what it says now is said now.
    bare = replace(event, source_id=event.thread, at=at)
    digest = hashlib.sha256(to_json(bare).encode()).hexdigest()[:HASH_DIGITS]
    return replace(bare, source_id=f"{bare.thread}@{digest}")


def _moment(event: Annotation) -> datetime:
    return datetime.fromisoformat(event.at)


def _utc(at: str) -> str:
    try:
        moment = datetime.fromisoformat(at)
        return utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except (ValueError, OverflowError):
        raise AnnotationError(f"its time {at!r} is not ISO 8601") from None
