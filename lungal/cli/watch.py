"""`lungal pull --watch`: pulls again and again, and shows how far the readers are."""

from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime
from threading import Event

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lungal.annotation.connection import talking_to
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.projects import oldest_project
from lungal.annotation.webhooks import hints
from lungal.errors import ServerError, TokenError
from lungal.rounds.progress import RoundProgress
from lungal.rounds.pull import PullReport

KEPT = 5  # lines of news on the screen


@dataclass
class Watch:
    """Follows one project until it is told to stop.

    Args:
        pull: pulls once; told whether to look at everything.
        progress: reads how far the round is.
        console: where to.
        every: seconds between two looks, if no hint comes earlier.
        until_done: end when every film of the round is read.
        everything: look at everything the first time.

    Attributes:
        report: what all looks have brought together; None before the first.
    """

    pull: Callable[..., PullReport]
    progress: Callable[[], RoundProgress | None]
    console: Console
    every: float
    until_done: bool = False
    everything: bool = False
    report: PullReport | None = field(default=None, init=False)
    _news: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT))

    def follow(self, hint: Event) -> None:
        """Look whenever there is a hint, and now and then without one.

        A server that goes down for a while is waited for.

        Raises:
            ServerError: if it does not answer the first time.
            TokenError: if it refuses the token.
        """
        try:
            self._look()
            if self.console.is_terminal:
                with Live(self._show(), console=self.console, refresh_per_second=2) as live:
                    self._keep_looking(hint, lambda: live.update(self._show()))
            else:
                self._keep_looking(hint, lambda: None)
        finally:  # an interruption may come at any time, even before the second look
            if self.report is not None and not self.console.is_terminal:
                self.console.print(describe(self.progress()))

    def _keep_looking(self, hint: Event, paint: Callable[[], None]) -> None:
        while not self._is_over():
            hint.wait(self.every)
            hint.clear()
            try:
                self._look()
            except TokenError:
                raise
            except ServerError as error:
                self._say(str(error))
            paint()

    def _look(self) -> None:
        first = self.report is None
        found = self.pull(everything=first and self.everything)
        if first and found.absent:
            self._say(found.absent)
        self.report = found if self.report is None else self.report.then(found)
        links = {refused.thread: refused.link for refused in found.refused}
        for event in (*found.new, *found.refusals):
            news = f"{found.kind(event)} of {event.image_id} by {event.reader}"
            if event.verdict == "refused":
                news += f", {links.get(event.thread, event.thread)}: {event.comment}"
            self._say(news)

    def _is_over(self) -> bool:
        progress = self.progress()
        return self.until_done and progress is not None and progress.is_done

    def _say(self, what: str) -> None:
        line = f"{datetime.now().astimezone():%H:%M:%S} {what}"
        self._news.append(line)
        if not self.console.is_terminal:  # nobody sees a display that paints itself anew
            self.console.print(line, highlight=False, soft_wrap=True, markup=False)

    def _show(self) -> Group:
        news = Text("\n".join(self._news), style="dim", overflow="fold")
        return Group(describe(self.progress()), news, Text("Ctrl+C ends it", style="dim"))


def hinted(store: LabelStudio) -> AbstractContextManager[Event]:
    """Return hints of a project's server; silent if there is no project yet.

    Raises:
        ServerError: if the server does not answer.
        TokenError: if it refuses the token.
    """
    with talking_to(store.url):
        project = oldest_project(store.http, store.title)
    return nullcontext(Event()) if project is None else hints(store.http, project.number)


def describe(progress: RoundProgress | None) -> Table:
    """Return how far a round is as a table of two columns."""
    table = Table.grid(padding=(0, 2))
    if progress is None:
        table.add_row("nothing was queued yet: lungal queue")
        return table
    bar = ProgressBar(total=progress.films, completed=progress.read, width=30)
    table.add_row(f"round {progress.round}", bar)
    table.add_row("films", f"{progress.read} of {progress.films} read")
    for reader, count in progress.readings.items():
        table.add_row(escape(reader), f"{count} readings")
    table.add_row("seconds per film", _number(progress.seconds, ".0f"))
    table.add_row("agreement so far", _number(progress.agreement, ".2f"))
    table.add_row("time left", _duration(progress.left))
    return table


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"
