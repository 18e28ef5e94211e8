"""The prediction server: Label Studio's protocol for ML backends. Imports fastapi, nobody else.

The server sends its owner's token with every /setup and the project's credentials with every
/predict. They are dropped while the request is read: nothing here keeps, logs or answers them.
"""

from collections.abc import Awaitable, Callable, MutableMapping
from secrets import compare_digest
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from lungal.annotation.prediction_requests import PredictRequest, SetupRequest
from lungal.annotation.prediction_service import PredictionService
from lungal.annotation.tasks import Json

BODY_BYTES = 16 * 2**20
"""What a request has at most: a thousand tasks with their readings have some two megabytes."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def create_app(
    service: PredictionService, password: str | None = None, body_bytes: int = BODY_BYTES
) -> FastAPI:
    """Return the server as an ASGI application.

    Args:
        service: answers for the model.
        password: what callers must give by HTTP basic authentication, under any name; None: anyone
            who reaches the server may ask.
        body_bytes: what a request has at most.
    """
    app = FastAPI(title="lungal", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(_Limit, body_bytes=body_bytes)
    app.add_exception_handler(RequestValidationError, _unfit)
    app.add_exception_handler(Exception, _failed)
    allowed = [Depends(_doorkeeper(password))] if password else []

    @app.get("/health", dependencies=allowed)
    async def health() -> Json:
        return {"status": "UP", "model_version": service.model_version}

    @app.get("/versions", dependencies=allowed)
    async def versions() -> Json:
        return {"versions": [service.model_version]}

    @app.post("/setup", dependencies=allowed)
    async def setup(_request: SetupRequest) -> Json:
        return {"model_version": service.model_version}

    @app.post("/predict", dependencies=allowed)
    def predict(request: PredictRequest) -> Json:
        if request.drawn is None:
            results: list[Any] = list(service.predict(request.tasks))
        else:
            results = [service.label(task, request.drawn) for task in request.tasks]
        return {"results": results, "model_version": service.model_version}

    @app.post("/webhook")
    async def webhook() -> Json:
        return {"status": "ok"}  # whatever happened there, `lungal pull` sees it for itself

    return app


def _doorkeeper(password: str) -> Callable[[HTTPBasicCredentials], None]:
    def check(given: Annotated[HTTPBasicCredentials, Depends(HTTPBasic())]) -> None:
        if not compare_digest(given.password.encode(), password.encode()):
            raise HTTPException(401, "wrong password", {"WWW-Authenticate": "Basic"})

    return check


async def _unfit(_request: Request, error: Exception) -> JSONResponse:
    # The default answer repeats what was sent, tokens included.
    first: Any = error.errors()[0] if isinstance(error, RequestValidationError) else {}
    where = ".".join(str(part) for part in first.get("loc", ())[1:])
    return JSONResponse({"detail": f"{where}: {first.get('msg')}".removeprefix(": ")}, 422)


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse({"detail": "lungal's prediction server failed; its log says why"}, 500)


class _Limit:
    """Refuses a request as soon as it is known to be too long."""

    def __init__(self, app: App, body_bytes: int) -> None:
        self._app, self._most = app, body_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                raise HTTPException(413, f"a request has at most {self._most} bytes")
            return message

        await self._app(scope, counted, send)
