"""`lungal track`: what MLflow should have got while it was away."""

import os

import typer

from lungal.cli.project import ROOT, plain_console
from lungal.errors import ServerError

app = typer.Typer(help="The log that waits for MLflow.", no_args_is_help=True)


@app.callback()
def track() -> None:
    """The log that waits for MLflow."""


@app.command()
def flush() -> None:
    """Send what stages could not log while MLflow was away.

    The next stage does so by itself; this is for when none will run soon. Nothing is sent twice.
    """
    from lungal.tracking import OUTBOX, flush_outbox, tracking_uri

    report = flush_outbox(ROOT / OUTBOX, tracking_uri(ROOT, os.environ))
    plain_console().print(
        f"{report.sent} entries sent, {report.rejected} refused, {report.waiting} waiting"
    )
    if report.waiting:
        raise ServerError(f"MLflow is away ({report.why}); {report.waiting} entries wait")
