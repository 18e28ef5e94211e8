"""What all stages share: paths, parameters, logging, progress, and errors as one line."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lungal.errors import INTERRUPTED, ChangedParamsError, LungalError, StageOrderError
from lungal.params import Params, load_params, read_sections
from lungal.paths import load_paths
from lungal.records import OnProgress

Item = TypeVar("Item")
Content = TypeVar("Content")

Afterwards = Callable[[], None]
"""What a stage does last, once its parameters have proved unchanged: such as cleaning up."""

PIPELINE = Path(__file__).resolve().parents[1] / "dvc.yaml"
PATHS = load_paths(PIPELINE)
"""The paths of dvc.yaml, relative to the project's root, which is where DVC runs a stage."""

PARAMS = Path("params.yaml")
LOCKED = Path(PIPELINE.name)
"""Where this is, DVC runs the stages, and notes down what they were run with."""
PASSES = 5
QUIET_SECONDS = 15.0

logger = logging.getLogger(__name__)


def run(stage: str, body: Callable[[Params], Afterwards | None]) -> int:
    """Run a stage's body with the project's parameters.

    DVC notes down the parameters as they are when the stage has ended. So if those that dvc.yaml
    lists for it are others by then, it fails, and what it has done is not taken for theirs.

    Args:
        stage: its name in dvc.yaml.
        body: does the work, and may return what is left to do if nothing has changed meanwhile.

    Returns:
        The exit code: 0; an error's own code, after one line `lungal <stage>: <message>` on
        stderr; or 130 after Ctrl+C.
    """
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    try:
        began = read_sections(PARAMS)
        afterwards = body(load_params(PARAMS))
        if LOCKED.exists():  # below .simulations nothing is noted down
            _refuse_changes(stage, began, read_sections(PARAMS))
        if afterwards:
            afterwards()
    except LungalError as error:
        sys.stderr.write(f"lungal {stage}: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write(f"lungal {stage}: interrupted\n")
        return INTERRUPTED
    return 0


def until_settled(read: Callable[[], Content], work: Callable[[Content], None]) -> None:
    """Do work on what is read, and do it anew while that is no longer what is there.

    DVC notes down a file's hash when the stage has ended. So what was written must rest on all
    that came into the file meanwhile.

    Raises:
        StageOrderError: if it was never the same at the end as at the start.
    """
    content = read()
    for _ in range(PASSES):
        work(content)
        if (now := read()) == content:
            return
        content = now
    raise StageOrderError(
        f"readings came in {PASSES} times while the stage ran: stop `lungal pull --watch`, or run "
        "`dvc repro` again"
    )


@contextmanager
def progress(what: str) -> Iterator[OnProgress]:
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


def _refuse_changes(stage: str, began: dict[str, Any], ended: dict[str, Any]) -> None:
    entry = yaml.safe_load(PIPELINE.read_text(encoding="utf-8"))["stages"][stage]
    for key in entry.get("do", entry)["params"]:
        name = key.replace("${profile}", str(began["profile"]))
        if _value(began, name) != _value(ended, name):
            raise ChangedParamsError(
                f"{PARAMS}: {name} was changed while the stage ran: run `dvc repro` again"
            )


def _value(sections: dict[str, Any], name: str) -> Any:
    value: Any = sections
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _sparse_log(what: str) -> OnProgress:
    last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= QUIET_SECONDS:
            last = now
            logger.info("%s: %d of %d", what, done, total)

    return report
