"""`lungal serve-predictions`: the model as an ML backend of Label Studio."""

import ipaddress
import logging
import os
import signal
import socket
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from lungal.annotation.pseudonyms import load_pseudonyms
from lungal.annotation.server import LocalServer
from lungal.cli.connection import Url, connect
from lungal.cli.model import find_model
from lungal.cli.project import ROOT, Project, plain_console
from lungal.errors import ParamsError, ServerError

if TYPE_CHECKING:
    from lungal.annotation.prediction_films import ProjectFilms
    from lungal.annotation.prediction_service import PredictionService

PORT = 9090
PASSWORD = "LUNGAL_PREDICTIONS_PASSWORD"  # noqa: S105  the variable's name


def serve_predictions(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = PORT,
    model: Annotated[
        str,
        typer.Option(help="champion, candidate, a registered version, or a model folder."),
    ] = "champion",
    host: Annotated[
        str,
        typer.Option(help=f"Address to listen on; beyond this machine {PASSWORD} must be set."),
    ] = "127.0.0.1",
    url: Url = None,
) -> None:
    """Let Label Studio ask the model: films opened outside the queue get boxes, too.

    Speaks the protocol of its ML backends: connect it in the project's settings, under Model.
    Runs until it is interrupted; a model that is promoted meanwhile is served after a restart.
    """
    password = os.environ.get(PASSWORD, "").strip() or None
    if password is None and not _is_loopback(host):
        raise ParamsError(
            f"--host {host} lets others ask the model; set {PASSWORD}, and give it to Label Studio "
            "as the password of the backend's basic authentication"
        )
    with _listen(host, port) as listening, TemporaryDirectory() as folder:
        service = _service(model, Path(folder), url)
        place = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
        plain_console().print(f"{service.model_version} answers at {place}; Ctrl+C ends it")
        _serve(service, password, listening)


def _service(model: str, folder: Path, url: str | None) -> "PredictionService":
    from lungal.acquisition.strategies import build, for_a_stranger
    from lungal.annotation.prediction_service import PredictionService

    params = Project().params
    films, acquisition = _films(url), build(for_a_stranger(params.select))
    found = find_model(model, folder)
    from lungal.detectors.tfod.infer import load_detector

    detector = load_detector(found, params.detect)
    return PredictionService(detector, detector.model_version, films, acquisition, params.queue)


def _films(url: str | None) -> "ProjectFilms":
    from lungal.annotation.prediction_films import OwnServer, ProjectFilms

    def where() -> tuple[str, str]:
        connection = connect(url)
        return connection.url, connection.token

    paths, server = Project().paths, LocalServer(ROOT)
    status = server.status()
    local = url is None or (status is not None and url.rstrip("/") == status.url)
    return ProjectFilms(
        ROOT / paths.manifest,
        ROOT / paths.queue,
        load_pseudonyms(server.folder if local else None, os.environ),
        OwnServer(where),
        server.document_root if local else None,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise ServerError(
            f"cannot listen on port {port} of {host}: {error.strerror or error}; "
            "choose another with --port, or 0 for a free one"
        ) from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _serve(service: "PredictionService", password: str | None, listening: socket.socket) -> None:
    import uvicorn

    from lungal.annotation.prediction_app import create_app

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    config = uvicorn.Config(
        create_app(service, password), log_config=None, access_log=False, server_header=False
    )
    # uvicorn ends in good order and then raises the signal anew, for us: the downloaded model goes.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[listening])
