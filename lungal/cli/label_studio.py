"""`lungal label-studio`: the local server; `lungal answer`: a scripted reader."""

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, SpinnerColumn, TextColumn

from lungal.annotation.credentials import Credentials
from lungal.annotation.server import DEFAULT_PORT, LocalServer
from lungal.cli.connection import Connection, Url, connect
from lungal.cli.project import ROOT, Project, plain_console

NOT_RUNNING = 3

Address = Annotated[
    str | None,
    typer.Option(
        "--as",
        metavar="ADDRESS",
        help="Read as this user, with an account of their own; default: the token's user.",
    ),
]

app = typer.Typer(
    no_args_is_help=True,
    help="The local Label Studio of this project: on 127.0.0.1 only, kept in .label-studio.",
)


@app.command()
def start(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port on 127.0.0.1; 0 takes a free one.")
    ] = DEFAULT_PORT,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for it.")] = 240,
) -> None:
    """Start the server and wait until it answers; leave it alone if it runs.

    The first start installs Label Studio (servers/label-studio) and lays out its database, which
    takes a minute or two; later ones take some ten seconds.
    """
    console = plain_console()
    server = LocalServer(ROOT)
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("starting Label Studio", total=None)
        status = server.start(
            port,
            timeout=timeout,
            on_wait=lambda what, seconds: bars.update(task, description=f"{what} {seconds:.0f} s"),
        )
    console.print(f"Label Studio answers at {status.url} (process {status.pid})")
    console.print(
        f"log in as {server.credentials().username}; the password is in "
        f"{os.path.relpath(server.folder / 'credentials.json')}"
    )


@app.command()
def stop() -> None:
    """Stop the server; tasks and readings stay on disk."""
    plain_console().print("stopped" if LocalServer(ROOT).stop() else "it was not running")


@app.command()
def status() -> None:
    """Say whether the server runs, and where; exit code 3 if it does not."""
    found = LocalServer(ROOT).status()
    if found is None:
        plain_console().print("not running; start it with `lungal label-studio start`")
        raise typer.Exit(NOT_RUNNING)
    health = "answers" if found.healthy else "is up but does not answer"
    plain_console().print(f"Label Studio {health} at {found.url} (process {found.pid})")


@app.command()
def invite(
    addresses: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ADDRESS]...", help="Scripted readers to make accounts for."),
    ] = None,
    url: Url = None,
) -> None:
    """Print the link by which readers join, or make accounts for scripted ones.

    A radiologist opens the link, chooses a password and is in; whoever has the link can do that.
    For each address that is given an account is signed up instead, with a password that is drawn;
    it is kept in .label-studio/readers, where only you can read.
    """
    from lungal.annotation.accounts import invitation

    connection = connect(url)
    for address in addresses or ():
        account = _account(connection, address)
        where = os.path.relpath(_accounts())
        plain_console().print(f"{account.username} can log in at {connection.url}; see {where}")
    if not addresses:
        typer.echo(invitation(connection.url, connection.token))


def answer(
    url: Url = None,
    project: Annotated[
        str | None,
        typer.Option(help="Label Studio project; default: queue.project of params.yaml."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Read at most so many films; default: all.")
    ] = None,
    miss_rate: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the boxes that are overlooked.")
    ] = 0.05,
    jitter: Annotated[
        float, typer.Option(min=0, help="Standard deviation of each box edge, pixels.")
    ] = 4.0,
    false_positives: Annotated[
        float, typer.Option(min=0, help="Boxes on a film that are not there, on average.")
    ] = 0.0,
    wrong_class: Annotated[
        float, typer.Option(min=0, max=1, help="Share of the boxes under another finding's name.")
    ] = 0.0,
    accept: Annotated[
        float,
        typer.Option(
            min=0, max=1, help="Share of good pre-drawn boxes that are taken as they are."
        ),
    ] = 0.9,
    pace: Annotated[float, typer.Option(min=0.01, help="Time taken, 1 is usual.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the faults.")] = 0,
    address: Address = None,
) -> None:
    """Let a scripted reader answer open tasks, in the place of a radiologist.

    It takes the films that Label Studio's label stream serves, in that order, and submits the
    boxes of data/truth.jsonl with a few faults; a pre-drawn box that looks right stays as it is. A
    film whose truth is unknown is skipped. With --as several readers read, each once per film;
    an account that is not there yet is signed up. For demonstrations and simulations: these
    readings enter the log like anybody's.
    """
    from lungal.annotation.oracle import answer as read
    from lungal.data.films import film_paths
    from lungal.data.manifest import read_truth
    from lungal.reading.scripted import Reader

    here = Project()
    paths, params = here.paths, here.params.queue
    connection = connect(url)
    reader = Reader(
        read_truth(paths.truth),
        miss_rate,
        jitter,
        seed,
        false_positive_rate=false_positives,
        wrong_class_rate=wrong_class,
        accept_rate=accept,
        pace=pace,
    )
    if address is not None:
        connection = replace(connection, token=_account(connection, address).token)
    store = connection.project(project or params.project, film_paths(paths.manifest))
    console = plain_console()
    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True) as bars, closing(store):
        task = bars.add_task("reading", total=None)
        served = read(
            store,
            reader,
            limit=limit,
            on_read=lambda film, verdict: bars.update(task, description=f"{film}: {verdict}"),
        )
    console.print(f"{len(served)} films read{f' as {address}' if address else ''}")


def _account(connection: Connection, address: str) -> Credentials:
    from lungal.annotation.accounts import account

    return account(_accounts(), connection.url, connection.token, address)


def _accounts() -> Path:
    return LocalServer(ROOT).folder / "readers"
