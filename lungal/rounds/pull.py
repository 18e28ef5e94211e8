"""Pull a round: what happened to the readings goes into the annotation log, each event once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from lungal.annotation.protocol import AnnotationStore, Notes, Refused
from lungal.annotation.readings import refusal
from lungal.boxes import why_impossible
from lungal.data.annotations import append_log, read_log
from lungal.data.asked import latest_asked
from lungal.reading.origins import trace
from lungal.reading.refusals import waiting
from lungal.reading.standing import age
from lungal.reading.verdicts import NOT_READ, OPINIONS
from lungal.records import Annotation, Asked, Split

UNASKED = (
    "was queued by somebody whose lines data/queue.jsonl lacks: whoever it was commits and pushes "
    "that file; then `git pull` and `lungal pull --all`"
)
Kind = Literal["reading", "edit", "deletion", "refusal"]
"""What an event does: begins its thread, changes it, ends it, or changes nothing yet."""


@dataclass(frozen=True, slots=True)
class Film:
    """What a reading is checked against."""

    width: int  # pixels
    height: int  # pixels
    split: Split


@dataclass(frozen=True, slots=True)
class PullReport:
    """What a pull did, or, as a dry run, would do.

    Attributes:
        new: readings, edits and deletions that are now in the log.
        refusals: events that are now in the log and change nothing: readings that cannot be
            trusted.
        edits: source_ids of the new events whose thread the log knew before.
        known: how many events came that were in the log before.
        refused: all readings that wait to be mended, of this pull and of earlier ones.
        strangers: links of readings of films that lungal never asked for.
        gone: threads of readings whose task was deleted as a whole; they still stand.
        absent: what to tell whoever pulls from a project that is not there; "" if it is.
    """

    new: tuple[Annotation, ...]
    refusals: tuple[Annotation, ...]
    edits: frozenset[str]
    known: int
    refused: tuple[Refused, ...]
    strangers: tuple[str, ...]
    gone: tuple[str, ...]
    absent: str = ""

    def kind(self, event: Annotation) -> Kind:
        """Return what one of the new events does."""
        if event.verdict == "refused":
            return "refusal"
        if event.verdict == "deleted":
            return "deletion"
        return "edit" if event.source_id in self.edits else "reading"

    def then(self, later: "PullReport") -> "PullReport":
        """Return what this pull and a later one did together; known is what was before both."""
        links = {refused.thread: refused.link for refused in self.refused}
        return PullReport(
            new=(*self.new, *later.new),
            refusals=(*self.refusals, *later.refusals),
            edits=self.edits | later.edits,
            known=self.known,
            refused=tuple(
                replace(one, link=links.get(one.thread, one.link))
                if one.link == one.thread
                else one
                for one in later.refused
            ),
            strangers=tuple(dict.fromkeys((*self.strangers, *later.strangers))),
            gone=tuple(dict.fromkeys((*self.gone, *later.gone))),
            absent=later.absent,
        )


def pull(
    store: AnnotationStore,
    log: Path,
    films: Mapping[str, Film],
    asked: Iterable[Asked] | None = None,
    *,
    everything: bool = False,
    dry: bool = False,
) -> PullReport:
    """Bring the log up to date with the store.

    One reading that cannot be trusted stops no other. The log changes in one step, at the end: a
    pull that is killed, or whose server goes down half-way, changes nothing and can be repeated.

    Args:
        store: where the readers read.
        log: data/annotations.jsonl; made if it is missing.
        films: image_id to film, of the manifest.
        asked: data/queue.jsonl: what each film was for, and what the model saw on it. A reading of
            a film that it does not know, or of boxes of a model that it does not know, is refused:
            it may be of a known case. None: nobody knows what was asked.
        everything: look at all readings, not only at those that changed since the last pull.
        dry: write nothing.

    Raises:
        AnnotationError: if the log itself is damaged.
        ServerError: if the store does not answer; run it again.
    """
    before, notes = read_log(log), Notes()
    questions = None if asked is None else _Questions.of(asked)
    known = {event.source_id for event in before}
    fetched: dict[str, Annotation] = {}
    for said in store.fetch(before, everything=everything, notes=notes):
        event = _checked(said if questions is None else questions.join(said), films)
        # What once was good enough stays so: whoever pulls it again with fewer films at hand, or
        # with another key, has learnt nothing new.
        if event.verdict != "refused" or f"{event.thread}@{event.at}" not in known:
            fetched[event.source_id] = event
    # A known event is not compared with the log's: the task under it may have moved on since.
    new = sorted((event for source, event in fetched.items() if source not in known), key=age)
    if new and not dry:
        append_log(log, new)
    threads = {event.thread for event in before}
    return PullReport(
        new=tuple(event for event in new if event.verdict != "refused"),
        refusals=tuple(event for event in new if event.verdict == "refused"),
        edits=frozenset(event.source_id for event in new if event.thread in threads),
        known=len(fetched) - len(new),
        refused=tuple(
            Refused(event.thread, notes.links.get(event.thread, event.thread), event.comment or "")
            for event in waiting([*before, *new])
        ),
        strangers=tuple(notes.strangers),
        gone=tuple(notes.gone),
        absent=notes.absent,
    )


def known_films(manifest: pd.DataFrame, splits: pd.DataFrame) -> dict[str, Film]:
    """Return the films of a manifest by image_id."""
    rows = manifest.merge(splits[["image_id", "split"]], on="image_id", validate="one_to_one")
    columns = (rows["image_id"], rows["width"], rows["height"], rows["split"])
    return {
        image_id: Film(int(width), int(height), split)
        for image_id, width, height, split in zip(*columns, strict=True)
    }


@dataclass(frozen=True, slots=True)
class _Questions:
    """What was asked, by round and image_id: of each model, and the latest of all."""

    of_model: Mapping[str, Mapping[tuple[int, str], Asked]]
    latest: Mapping[tuple[int, str], Asked]

    @classmethod
    def of(cls, asked: Iterable[Asked]) -> "_Questions":
        lines = list(asked)
        models = {line.model_version for line in lines}
        return cls(
            {m: latest_asked(line for line in lines if line.model_version == m) for m in models},
            latest_asked(lines),
        )

    def join(self, event: Annotation) -> Annotation:
        """Say of an event what its film was for, and of its boxes where they come from."""
        key = (event.round, event.image_id)
        # A film that is queued again with a new model's boxes may have been read with the old's.
        # What another model saw would be a guess, and another clone would know better.
        version = event.model_version  # none of tasks that an older lungal queued
        lines = self.latest if version is None else self.of_model.get(version, {})
        line = lines.get(key)
        if line is None:
            return event if event.verdict in NOT_READ else refusal(event, UNASKED)
        event = replace(event, role=line.role, blind=line.blind, seen=line.seen)
        if event.verdict not in OPINIONS:
            return event
        boxes, deleted = trace(() if line.blind else line.seen, event.boxes)
        return replace(event, boxes=boxes, deleted=deleted)


def _checked(event: Annotation, films: Mapping[str, Film]) -> Annotation:
    if event.verdict in NOT_READ:
        return event
    reason = _why_wrong(event, films)
    return refusal(event, reason) if reason else event


def _why_wrong(reading: Annotation, films: Mapping[str, Film]) -> str | None:
    film = films.get(reading.image_id)
    if film is None:
        return f"film {reading.image_id} is not in the manifest"
    if film.split != "train":
        return f"film {reading.image_id} is held out ({film.split}); only films of train are read"
    for box in reading.boxes:
        if reason := why_impossible(box.xyxy, film.width, film.height):
            return f"a box of {box.label} on film {reading.image_id} {reason}"
    return None
