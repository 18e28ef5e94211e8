"""What all stages share: paths, parameters, logging, progress, and errors as one line."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lungal.errors import LungalError
from lungal.params import Params, load_params
from lungal.paths import load_paths

Item = TypeVar("Item")
Report = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""

PATHS = load_paths(Path(__file__).resolve().parents[1] / "dvc.yaml")
"""The paths of dvc.yaml, relative to the project's root, which is where DVC runs a stage."""

PARAMS = Path("params.yaml")
QUIET_SECONDS = 15.0
INTERRUPTED = 130

logger = logging.getLogger(__name__)


def run(stage: str, body: Callable[[Params], None]) -> int:
    """Run a stage's body with the project's parameters.

    Returns:
        The exit code: 0; an error's own code, after one line `lungal <stage>: <message>` on
        stderr; or 130 after Ctrl+C.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    try:
        body(load_params(PARAMS))
    except LungalError as error:
        sys.stderr.write(f"lungal {stage}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"lungal {stage}: interrupted\n")
        return INTERRUPTED
    return 0


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Yield a function to call with (done, total).

    On a terminal it moves a bar on stderr; elsewhere it logs a line now and then.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _sparse_log(what)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def track(items: Iterable[Item], total: int, what: str) -> Iterator[Item]:
    """Yield the items and show how many of `total` are through."""
    with progress(what) as report:
        for done, item in enumerate(items, start=1):
            yield item
            report(done, total)


def _sparse_log(what: str) -> Report:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= QUIET_SECONDS:
            last = now
            logger.info("%s: %d of %d", what, done, total)

    return report
