"""The tracker: one MLflow run per round, which every stage of the round opens again by its key."""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lungal.tracking.connection import without_secrets
from lungal.tracking.outbox import Away, FlushReport, Outbox, Rejected, outboxes
from lungal.tracking.run import Run
from lungal.tracking.store import Store

logger = logging.getLogger(__name__)

COOL_DOWN_SECONDS = 30.0
"""How long a server that was away is left alone."""
BATCH_SECONDS = 2.0
"""How long metrics may wait for others to be sent along with."""


class Tracker:
    """Opens runs on an MLflow server or database, and holds what they log while it is away."""

    def __init__(
        self,
        uri: str,
        outbox: Path,
        *,
        cool_down: float = COOL_DOWN_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set up, and send what earlier processes could not.

        Args:
            uri: see `tracking_uri`.
            outbox: folder of the journals, e.g. mlruns/outbox.
            cool_down: seconds between two attempts to reach a server that is away.
            clock: seconds, never going back.
        """
        self._store, self._folder = Store(uri, outbox), outbox
        self._cool_down, self._clock = cool_down, clock
        self._away_since: float | None = None
        self._flushed_at = -BATCH_SECONDS
        for left in outboxes(outbox):
            self.flush(left)

    def open_round(
        self,
        run_key: str,
        round_number: int,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Run:
        """Return the round's run: found again by its key, or made.

        Args:
            run_key: hash over the round's data and parameters.
            round_number: from 1.
            tags: set on the run; later ones replace earlier ones.
            params: sections and values; what was logged first stays.
        """
        given = {"lungal.round": str(round_number), **(tags or {})}
        return self.open_run(run_key, f"round-{round_number}-{run_key[:8]}", given, params)

    def open_run(
        self,
        key: str,
        name: str,
        tags: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> Run:
        """Return a run that is no round's: found again by its key, or made; see open_round."""
        run = Run(self, Outbox(self._folder, key), key)
        run.begin(name, None, {"mlflow.source.name": "lungal", **(tags or {})}, params or {})
        return run

    def flush(self, box: Outbox, *, patient: bool = False) -> FlushReport:
        """Send what waits in an outbox, unless the server was away a moment ago.

        Args:
            box: of any round.
            patient: do not mind how short ago the server was away.
        """
        if not patient and self._is_cooling_down():
            return FlushReport()
        self._flushed_at = self._clock()
        report = box.flush(self._store.send)
        if report.why:
            self._note_away(report)
        elif report.sent and self._away_since is not None:
            self._away_since = None
            logger.info("MLflow is back; %d entries were sent", report.sent)
        return report

    def flush_in_time(self, box: Outbox) -> None:
        """Send what waits if enough may have gathered to be worth a request."""
        if self._clock() - self._flushed_at >= BATCH_SECONDS:
            self.flush(box)

    def run_id(self, key: str) -> str | None:
        """Return MLflow's id of an opened run; None while the server is away."""
        if self._away_since is not None:
            return None
        try:
            return self._store.run_id(key)
        except (Away, Rejected):
            return None

    def next_step(self, key: str, prefix: str) -> int:
        """Return the step after the last of the run's metrics that start so; 0 if unknown."""
        if self._away_since is not None:
            return 0
        try:
            return self._store.last_step(key, prefix) + 1
        except (Away, Rejected):
            return 0

    def _is_cooling_down(self) -> bool:
        away = self._away_since
        return away is not None and self._clock() - away < self._cool_down

    def _note_away(self, report: FlushReport) -> None:
        if self._away_since is None:
            logger.warning(
                "MLflow at %s is away (%s). Nothing is lost: the log waits in %s until it answers.",
                without_secrets(self._store.uri),
                report.why,
                self._folder,
            )
        self._away_since = self._clock()


def flush_outbox(outbox: Path, uri: str) -> FlushReport:
    """Send everything that waits in a folder of journals.

    Returns:
        What was sent, what was refused, and what still waits because the server is away.
    """
    store = Store(uri, outbox)
    report = FlushReport()
    for box in outboxes(outbox):
        if report.why:  # away: do not ask again for each journal
            report += FlushReport(waiting=box.waiting())
        else:
            report += box.flush(store.send)
    return report
