"""`lungal`: commands, and where every error becomes one line.

Exit codes: 0 done; 1 a check failed or data is bad; 2 a wrong parameter, name or path; 3 a server
that does not answer; 130 interrupted.
"""

import logging
import sys
from collections.abc import Sequence

import typer

from lungal.cli import data, label_studio, labels, track
from lungal.cli.demo import demo
from lungal.cli.detect import detect
from lungal.cli.doctor import doctor
from lungal.cli.evaluate import evaluate
from lungal.cli.promote import promote
from lungal.cli.pull import pull
from lungal.cli.queue import queue
from lungal.cli.readers import readers
from lungal.cli.serve_predictions import serve_predictions
from lungal.cli.simulate import simulate
from lungal.cli.status import status
from lungal.errors import INTERRUPTED, LungalError

app = typer.Typer(
    name="lungal",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Active learning for lung findings on chest X-rays: choose, read, train, trace.",
    epilog="The straight part of the loop is `dvc repro`; these commands are the arrows round it.",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data.app, name="data")
app.command()(queue)
app.command()(pull)
app.command()(status)
app.command()(readers)
app.command()(promote)
app.command()(detect)
app.command()(evaluate)
app.command()(simulate)
app.command()(doctor)
app.command()(serve_predictions)
app.add_typer(label_studio.app, name="label-studio")
app.command("answer")(label_studio.answer)
app.add_typer(labels.app, name="labels")
app.add_typer(track.app, name="track")
app.command()(demo)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code."""
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(message)s")
    try:
        code = app(list(argv) if argv is not None else None, standalone_mode=False)
    except LungalError as error:
        sys.stderr.write(f"lungal: {error}\n")
        return error.exit_code
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        if not hasattr(error, "format_message"):  # click's own usage errors have it
            raise
        if line := error.format_message():  # none after the help of a bare `lungal`
            sys.stderr.write(f"lungal: {line}\n")
        return 2
    if code == INTERRUPTED:  # which typer makes of Ctrl+C, without a word
        sys.stderr.write("lungal: interrupted\n")
    return code if isinstance(code, int) else 0
