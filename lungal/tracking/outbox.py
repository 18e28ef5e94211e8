"""The outbox: a journal per round on disk, from which entries are sent in order.

    mlruns/outbox/<key>.jsonl       entries, oldest first
    mlruns/outbox/<key>.sent        how many bytes of the journal have been sent
    mlruns/outbox/<key>.rejected    entries that the server understood and refused
    mlruns/outbox/<key>.<id>.file/  the copy of a file that an entry uploads

Any number of processes and threads may append; one at a time sends. A kill between sending an
entry and noting so sends the entry again, which changes nothing: each one is idempotent.
"""

import fcntl
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from lungal.tracking.entries import Entry

logger = logging.getLogger(__name__)

BATCH = 500
"""Entries read at a time; a crash repeats at most the entries of one `send`."""


class Away(Exception):  # noqa: N818  a state of the world, not an error
    """The server cannot be reached now; its text says why."""


class Rejected(Exception):  # noqa: N818
    """The server understood the entry and will never take it; its text says why."""


Send = Callable[[Sequence[Entry]], int]
"""Sends the first n >= 1 of the entries and returns n, or raises Away or Rejected (the first)."""


@dataclass(frozen=True, slots=True)
class FlushReport:
    """How many entries were sent, refused by the server, and are still waiting."""

    sent: int = 0
    rejected: int = 0
    waiting: int = 0
    why: str = ""

    def __add__(self, other: "FlushReport") -> "FlushReport":
        return FlushReport(
            self.sent + other.sent,
            self.rejected + other.rejected,
            self.waiting + other.waiting,
            self.why or other.why,
        )


class Outbox:
    """The journal of one round."""

    def __init__(self, folder: Path, key: str) -> None:
        """Open the journal `key` in a folder; nothing is made until something is appended."""
        self.folder, self.key = folder, re.sub(r"[^\w.-]", "_", key)
        self._journal = self._path("jsonl")
        self._sent = self._path("sent")

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.key}.{suffix}"

    def append(self, entry: Entry) -> None:
        """Put an entry at the end of the journal."""
        with _locked(self._journal) as journal:
            # A writer that was killed in the middle of a line must not swallow ours.
            end = journal.seek(0, os.SEEK_END)
            torn = end > 0 and os.pread(journal.fileno(), 1, end - 1) != b"\n"
            journal.write(b"\n" * torn + entry.to_json().encode() + b"\n")

    def keep(self, fill: Callable[[Path], object], name: str) -> str:
        """Make a copy that an entry can refer to.

        Args:
            fill: writes the file or folder to the path that it is given, which is new.
            name: of the file or folder.

        Returns:
            What `Entry.file` must say.
        """
        relative = Path(f"{self.key}.{uuid.uuid4().hex[:12]}.file") / name
        path = self.folder / relative
        path.parent.mkdir(parents=True)
        fill(path)
        return relative.as_posix()

    def waiting(self) -> int:
        """Return how many entries have not been sent."""
        if not self._journal.exists():
            return 0
        with self._journal.open("rb") as journal:
            journal.seek(self._offset())
            return sum(1 for _ in journal)

    def flush(self, send: Send) -> FlushReport:
        """Send what is waiting, oldest first, until done or until the server is away.

        If another process is sending already, nothing is done: it will send ours as well.
        """
        if not self._journal.exists():
            return FlushReport()
        try:
            with _locked(self._sent, wait=False):
                return self._drain(send)
        except _Busy:
            return FlushReport()

    def _drain(self, send: Send) -> FlushReport:
        report = FlushReport()
        while True:
            offset = self._offset()
            entries, ends = self._read(offset)
            if not entries:
                if self._remove_if_through(ends[0]):
                    return report
                continue
            try:
                done = send(entries)
                report += FlushReport(sent=done)
            except Rejected as error:
                done = 1
                report += FlushReport(rejected=1)
                self._reject(entries[0], str(error))
            except Away as error:
                return report + FlushReport(waiting=self.waiting(), why=str(error))
            self._sent.write_text(str(ends[done]))
            for entry in entries[:done]:
                self._drop_copy(entry)

    def _read(self, offset: int) -> tuple[list[Entry], list[int]]:
        """Return up to BATCH entries, and where each starts, then where the last one ends."""
        entries: list[Entry] = []
        ends = [offset]
        if not self._journal.exists():
            return entries, ends
        with self._journal.open("rb") as journal:
            journal.seek(offset)
            while len(entries) < BATCH and (line := journal.readline()):
                try:
                    entries.append(Entry.from_json(line.decode()))
                    ends.append(journal.tell())
                except ValueError:
                    # Half a line: its writer was killed, or is writing it at this moment.
                    if not line.endswith(b"\n"):
                        break
                    ends[-1] = journal.tell()
        return entries, ends

    def _remove_if_through(self, offset: int) -> bool:
        with _locked(self._journal):
            if self._read(offset)[0]:
                return False
            # In this order: a kill in between repeats entries, the other order would skip some.
            self._sent.unlink(missing_ok=True)
            self._journal.unlink()
        return True

    def _offset(self) -> int:
        try:
            return int(self._sent.read_text() or 0)
        except FileNotFoundError:
            return 0

    def _reject(self, entry: Entry, why: str) -> None:
        path = self._path("rejected")
        logger.warning("MLflow refused to log %s: %s (kept in %s)", entry.operation, why, path)
        with path.open("a", encoding="utf-8") as rejected:
            rejected.write(entry.to_json() + "\n")

    def _drop_copy(self, entry: Entry) -> None:
        if entry.file is not None:
            shutil.rmtree((self.folder / entry.file).parent, ignore_errors=True)


def outboxes(folder: Path) -> list[Outbox]:
    """Return the outboxes that hold something, by name."""
    return [Outbox(folder, path.stem) for path in sorted(folder.glob("*.jsonl"))]


class _Busy(Exception):  # noqa: N818
    """Another process or thread holds the file."""


@contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[FileIO]:
    """Yield the file, made if missing, open for reading and appending and held by us alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with FileIO(path, "a+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                raise _Busy from None
            # Whoever held it may have removed it: then what we hold is no longer the file.
            if os.fstat(file.fileno()).st_nlink:
                yield file
                return
