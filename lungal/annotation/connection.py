"""Talking to a Label Studio over HTTP: the token, and failures as one clear line."""

import base64
import json
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import httpx

from lungal.errors import ServerError, TokenError

TokenKind = Literal["legacy", "personal access", "short-lived", "unknown"]

TIMEOUT_SECONDS = 60
JWT_DOTS = 2
LEGACY = re.compile("[0-9a-f]{40}")


class TokenAuth(httpx.Auth):
    """Either of Label Studio's tokens.

    A legacy token is sent as it is. A personal access token (a JWT) is exchanged for one that
    lasts five minutes, again whenever that has run out.

    Args:
        token: of either kind.
        prefix: path below which the server lies: what else is on its host must not get the token.
    """

    requires_response_body = True

    def __init__(self, token: str, prefix: str = "") -> None:
        self._token, self._prefix = token, prefix.rstrip("/")
        self._access: str | None = None

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Add our token to a request; see httpx.Auth."""
        if self._token.count(".") != JWT_DOTS:
            request.headers["Authorization"] = f"Token {self._token}"
            yield request
            return
        if self._access is None:
            yield from self._exchange(request)
        request.headers["Authorization"] = f"Bearer {self._access}"
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            yield from self._exchange(request)
            request.headers["Authorization"] = f"Bearer {self._access}"
            yield request

    def _exchange(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        path = f"{self._prefix}/api/token/refresh/"
        url = request.url.copy_with(path=path, query=None)
        response = yield httpx.Request("POST", url, json={"refresh": self._token})
        response.raise_for_status()
        try:
            self._access = response.json()["access"]
        except (ValueError, KeyError, TypeError):
            raise ServerError(f"{url} gives no access token; is it Label Studio?") from None


def token_kind(token: str) -> TokenKind:
    """Tell what a token is by its looks.

    A personal access token is a JSON web token that says of itself that it is for refreshing; the
    access tokens that it is exchanged for look alike and last five minutes.
    """
    if LEGACY.fullmatch(token):
        return "legacy"
    try:
        payload = token.split(".")[1] if token.count(".") == JWT_DOTS else ""
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except ValueError:
        return "unknown"
    kinds: dict[object, TokenKind] = {"refresh": "personal access", "access": "short-lived"}
    return kinds.get(claims.get("token_type") if isinstance(claims, dict) else None, "unknown")


def open_http(url: str, token: str) -> httpx.Client:
    """Return a client with the server's address and our token.

    Raises:
        TokenError: if there is no token.
    """
    if not token:
        raise TokenError(f"no token for Label Studio at {url}; set LABEL_STUDIO_API_KEY")
    return httpx.Client(
        base_url=url,
        auth=TokenAuth(token, httpx.URL(url).path),
        timeout=TIMEOUT_SECONDS,
        trust_env=not is_loopback(url),
    )


def is_loopback(url: str) -> bool:
    """Whether an address is of this machine: then no proxy gets to see the token.

    httpx goes through the proxy of the environment (HTTP_PROXY) to 127.0.0.1, too.
    """
    return httpx.URL(url).host in {"127.0.0.1", "localhost", "::1"}


def answer_of(response: httpx.Response) -> Any:
    """Return the JSON of an answer.

    Raises:
        httpx.HTTPStatusError: if it says that something went wrong.
        ServerError: if it is no JSON.
    """
    response.raise_for_status()
    try:
        return response.json()
    except ValueError:
        raise ServerError(f"{response.url} does not answer as Label Studio does") from None


@contextmanager
def talking_to(url: str, *api_errors: type[Exception]) -> Iterator[None]:
    """Turn what may go wrong with a server into a ServerError or a TokenError.

    The texts never hold a token, a cookie or a header.

    Args:
        url: of the server.
        api_errors: what the SDK raises, with `status_code` and `body`.
    """
    try:
        yield
    except httpx.HTTPStatusError as error:
        raise _answered(url, error.response.status_code, _body(error.response)) from None
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise ServerError(
            f"Label Studio at {url} does not answer ({type(error).__name__}); start it (lungal "
            "label-studio start) or check --url, then run this again: nothing is lost or doubled"
        ) from None
    except api_errors as error:
        status, body = getattr(error, "status_code", None), getattr(error, "body", None)
        raise _answered(url, status, body) from None


def _answered(url: str, status: int | None, body: Any) -> ServerError:
    if status in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
        return TokenError(
            f"Label Studio at {url} refuses the token; set LABEL_STUDIO_API_KEY to one from its "
            "page Account & Settings"
        )
    return ServerError(f"Label Studio at {url} answers {status}: {_detail(body)}")


def _detail(body: Any) -> str:
    if not isinstance(body, dict):
        return "no message; is it Label Studio?"
    text = str(body.get("validation_errors") or body.get("detail") or "no message")
    return " ".join(text.split())[:300]


def _body(response: httpx.Response) -> Any:
    try:
        return response.json()
    except (ValueError, httpx.ResponseNotRead):
        return None
