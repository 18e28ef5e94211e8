"""Accounts on a Label Studio: the link that invites a person, and readers made by a script.

The Community edition has no call that makes a user who can log in: POST /api/users/ makes one whose
password does not work. So a scripted reader goes the way a person goes, through the invitation of
the organisation, its sign-up form and a session.
"""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from urllib.parse import quote

import httpx

from lungal.annotation.connection import (
    TIMEOUT_SECONDS,
    answer_of,
    is_loopback,
    open_http,
    talking_to,
)
from lungal.annotation.credentials import Credentials, write_private, write_private_once
from lungal.errors import ServerError

SIGN_UP, LOG_IN = "/user/signup/", "/user/login/"
MY_TOKEN, NEW_TOKEN, WHO_AM_I = "/api/current-user/token", "/api/token/", "/api/current-user/whoami"


def invitation(url: str, token: str) -> str:
    """Return the link by which people join the organisation that a token belongs to.

    Whoever has the link can sign up: hand it on as you would a password.

    Raises:
        ServerError: if the server does not answer.
        TokenError: if it refuses the token.
    """
    return f"{url.rstrip('/')}{SIGN_UP}?token={_invite_token(url, token)}"


def account(folder: Path, url: str, token: str, address: str) -> Credentials:
    """Return a reader's account; sign it up if it is not there yet.

    The password is drawn and written down before the server hears of it, so that a run that was
    killed in between is completed by the next.

    Args:
        folder: where credentials are kept, a file per address that only its owner can read.
        url: of the server.
        token: of somebody who may invite.
        address: of the reader, as in an e-mail.

    Raises:
        ServerError: if the server does not answer, the credentials are damaged, or the address is
            somebody else's there already.
        TokenError: if the server refuses the token.
    """
    path = folder / f"{quote(address.lower(), safe='@+')}.json"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = Credentials(address.lower(), secrets.token_urlsafe(16), "")
    kept = _parse(path, write_private_once(path, json.dumps(asdict(new), indent=1)))
    if kept.token and _is_valid(url, kept.token):
        return kept
    known = replace(kept, token=sign_up(url, token, kept.username, kept.password))
    write_private(path, json.dumps(asdict(known), indent=1))
    return known


def sign_up(url: str, owner_token: str, address: str, password: str) -> str:
    """Make a user, or log in as them if they are there; return a token of theirs.

    It is the user's legacy token, or a personal access token where those are switched off.

    Args:
        url: of the server.
        owner_token: of somebody who may invite.
        address: of the new user, as in an e-mail.
        password: eight characters at least.

    Raises:
        ServerError: if the server does not answer, or takes neither form: the address is taken
            with another password, or the password is too short.
        TokenError: if it refuses the owner's token.
    """
    form = {"email": address.lower(), "password": password}
    with _session(url) as browser:
        if not _submit(browser, LOG_IN, form):
            link = f"{SIGN_UP}?token={_invite_token(url, owner_token)}"
            if not _submit(browser, link, form):
                raise ServerError(
                    f"Label Studio at {url} does not sign {address} up: the address is taken with "
                    "another password, or is no address, or the password is too short"
                )
        legacy = str(answer_of(browser.get(MY_TOKEN))["token"])
        if _is_valid(url, legacy):
            return legacy
        return str(answer_of(browser.post(NEW_TOKEN))["token"])


@contextmanager
def _session(url: str) -> Iterator[httpx.Client]:
    trusts = not is_loopback(url)
    with (
        talking_to(url),
        httpx.Client(base_url=url, timeout=TIMEOUT_SECONDS, trust_env=trusts) as browser,
    ):
        yield browser


def _submit(browser: httpx.Client, page: str, form: dict[str, str]) -> bool:
    # A form that is taken leads on to another page; one that is not is shown again.
    browser.get(page).raise_for_status()
    guard = {"csrfmiddlewaretoken": browser.cookies.get("csrftoken", "")}
    reply = browser.post(page, data=form | guard, headers={"Referer": str(browser.base_url)})
    if not reply.has_redirect_location:
        reply.raise_for_status()
    return reply.has_redirect_location


def _invite_token(url: str, token: str) -> str:
    with talking_to(url), open_http(url, token) as http:
        return str(answer_of(http.get("/api/invite"))["token"])


def _is_valid(url: str, token: str) -> bool:
    with talking_to(url), open_http(url, token) as http:
        reply = http.get(WHO_AM_I)
        if reply.status_code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            return False
        reply.raise_for_status()
        return True


def _parse(path: Path, text: str) -> Credentials:
    try:
        return Credentials(**json.loads(text))
    except (ValueError, TypeError):
        raise ServerError(f"{path} is damaged; mend or delete it") from None
