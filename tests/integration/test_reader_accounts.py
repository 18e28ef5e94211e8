"""Accounts on a real server: the invitation, scripted readers, and who may read what."""

import json
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import pytest
from plugins.label_studio import ENVIRONMENT

from lungal.annotation.accounts import account, invitation, sign_up
from lungal.annotation.connection import open_http
from lungal.annotation.label_studio import LabelStudio
from lungal.annotation.oracle import answer, shown_boxes
from lungal.annotation.server import LocalServer
from lungal.boxes import as_boxes, iou
from lungal.cli.main import main
from lungal.data.manifest import write_manifest, write_truth
from lungal.errors import ServerError, TokenError
from lungal.reading.scripted import Reader
from lungal.records import CLASSES, LabelledBox
from lungal.testing import make_task

pytestmark = [pytest.mark.label_studio, pytest.mark.slow]

REPOSITORY = ENVIRONMENT.parents[1]
PASSWORD = "correct horse battery"  # noqa: S105  of users who live for one test


@pytest.fixture(scope="module")
def url(label_studio_server: LocalServer) -> str:
    status = label_studio_server.status()
    assert status is not None
    return status.url


@pytest.fixture(scope="module")
def owner(label_studio_server: LocalServer) -> str:
    """Return the token of the server's first user."""
    return label_studio_server.credentials().token


def who(url: str, token: str) -> str:
    with open_http(url, token) as http:
        return str(http.get("/api/current-user/whoami").raise_for_status().json()["email"])


def test_an_account_is_made_once_and_kept_where_only_we_can_read(
    url: str, owner: str, tmp_path: Path
) -> None:
    made = account(tmp_path / "readers", url, owner, "Reader-Kept@localhost.localdomain")
    assert who(url, made.token) == "reader-kept@localhost.localdomain"
    (file,) = (tmp_path / "readers").iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "readers").stat().st_mode & 0o777 == 0o700
    assert account(tmp_path / "readers", url, owner, "reader-kept@LOCALHOST.localdomain") == made


def test_a_run_killed_before_the_token_came_is_completed(
    url: str, owner: str, tmp_path: Path
) -> None:
    made = account(tmp_path, url, owner, "reader-killed@localhost.localdomain")
    (file,) = tmp_path.iterdir()
    written = json.loads(file.read_text())
    file.write_text(json.dumps(written | {"token": ""}))
    assert account(tmp_path, url, owner, "reader-killed@localhost.localdomain") == made
    file.write_text(json.dumps(written | {"token": "0" * 40}))
    assert account(tmp_path, url, owner, "reader-killed@localhost.localdomain") == made


def test_damaged_credentials_are_named(url: str, owner: str, tmp_path: Path) -> None:
    (tmp_path / "reader@x.org.json").write_text("{")
    with pytest.raises(ServerError, match=r"reader@x\.org\.json is damaged"):
        account(tmp_path, url, owner, "reader@x.org")


def test_an_address_of_somebody_else_is_refused(url: str, owner: str) -> None:
    sign_up(url, owner, "reader-taken@localhost.localdomain", PASSWORD)
    for address, password in [
        ("reader-taken@localhost.localdomain", "s3cret-of-mine"),
        ("no address", PASSWORD),
        ("reader-short@localhost.localdomain", "tiny"),
    ]:
        with pytest.raises(ServerError, match="does not sign") as caught:
            sign_up(url, owner, address, password)
        assert password not in str(caught.value)


def test_only_a_member_can_invite(url: str) -> None:
    with pytest.raises(TokenError):
        sign_up(url, "0" * 40, "reader-stranger@localhost.localdomain", PASSWORD)


def test_the_invitation_opens_the_sign_up_page_and_nothing_else_does(url: str, owner: str) -> None:
    link = invitation(url, owner)
    assert "Create Account" in httpx.get(link).text
    form = {"email": "reader-uninvited@localhost.localdomain", "password": PASSWORD}
    with httpx.Client(base_url=url) as browser:
        browser.get("/user/signup/")
        form |= {"csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        assert browser.post("/user/signup/?token=guessed", data=form).status_code == 403


def test_where_legacy_tokens_are_off_a_personal_one_is_made(url: str, owner: str) -> None:
    first = sign_up(url, owner, "reader-first@localhost.localdomain", PASSWORD)
    with open_http(url, first) as http:
        personal = http.post("/api/token/").raise_for_status().json()["token"]
    with without_legacy_tokens(url, personal):
        made = sign_up(url, personal, "reader-second@localhost.localdomain", PASSWORD)
        assert made.count(".") == 2
        assert who(url, made) == "reader-second@localhost.localdomain"


@contextmanager
def without_legacy_tokens(url: str, personal: str) -> Iterator[None]:
    def allow(legacy: bool) -> None:
        rules = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": legacy}
        with open_http(url, personal) as http:
            http.post("/api/jwt/settings", json=rules | {"api_token_ttl_days": 30})

    allow(legacy=False)
    try:
        yield
    finally:
        allow(legacy=True)


# what scripted readers do there


MASS = LabelledBox("Mass", 30.0, 30.0, 60.0, 62.0)


def test_two_readers_each_have_a_stream_of_their_own(
    store: LabelStudio, url: str, owner: str, tmp_path: Path
) -> None:
    names = sorted(store.films)[:3]
    tasks = [make_task(name, rank=rank) for rank, name in enumerate(names, start=1)]
    tasks[0] = replace(tasks[0], readers=2)
    store.submit(tasks)
    tokens = [account(tmp_path, url, owner, f"reader-{who}@localhost").token for who in "ab"]
    exact = Reader(dict.fromkeys(names, (MASS,)), miss_rate=0, jitter=0)
    with ExitStack() as stack:
        first, second = (
            stack.enter_context(closing(replace(store, token=token))) for token in tokens
        )
        assert answer(first, exact, limit=2) == names[:2]
        assert answer(second, exact) == [names[0], names[2]]
        assert answer(first, exact) == []
    read = [(r.image_id, r.reader) for r in store.fetch()]
    assert sorted(image_id for image_id, _ in read) == [names[0], *names]
    assert len({reader for _, reader in read}) == 2


def test_a_reader_sees_the_boxes_that_are_drawn_and_none_of_a_blind_film(
    store: LabelStudio,
) -> None:
    drawn, blind = (
        make_task(name, rank=rank) for rank, name in enumerate(["00000001_000", "00000002_000"], 1)
    )
    store.submit([drawn, replace(blind, blind=True)])
    project = store.project_id()
    assert project is not None
    served = store.next_task(project)
    assert served is not None
    shown = shown_boxes(served)
    seen = drawn.detections
    assert [box.label for box in shown] == [CLASSES[label] for label in seen.labels]
    assert iou(as_boxes([box.xyxy for box in shown]), seen.boxes).diagonal() == pytest.approx(
        1.0, abs=1e-3
    )
    answer(store, Reader({}), limit=1)
    other = store.next_task(project)
    assert other is not None
    assert shown_boxes(other) == []


def test_what_a_reader_takes_over_comes_back_unchanged(store: LabelStudio) -> None:
    task = make_task("00000001_000")
    store.submit([task])
    seen = task.detections
    truth = [
        LabelledBox(CLASSES[label], *box)
        for label, box in zip(seen.labels, seen.boxes.tolist(), strict=True)
    ]
    answer(store, Reader({"00000001_000": truth}, miss_rate=1.0, accept_rate=1.0))
    (reading,) = store.fetch()
    got = as_boxes([box.xyxy for box in reading.boxes])
    assert np.sort(got, axis=0) == pytest.approx(np.sort(seen.boxes, axis=0), abs=0.02)


def test_the_commands(
    store: LabelStudio,
    label_studio_server: LocalServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("URL", "API_KEY"):
        monkeypatch.delenv(f"LABEL_STUDIO_{name}", raising=False)
    monkeypatch.delenv("LUNGAL_PSEUDONYM_KEY", raising=False)
    for name in ("dvc.yaml", "params.yaml"):
        shutil.copy(REPOSITORY / name, name)
    Path(".label-studio").symlink_to(label_studio_server.folder)
    names = sorted(store.films)[:2]
    write_truth(Path("data/truth.jsonl"), dict.fromkeys(names, (MASS,)))
    rows = pd.DataFrame({"image_id": names, "patient_id": [name[:8] for name in names]})
    known = {"sha256": "0" * 64, "width": 96, "height": 96, "source": "phantom"}
    empty = dict.fromkeys(("view", "sex", "age", "findings", "official_split"))
    paths = [f"images/{name}.png" for name in names]
    write_manifest(Path("data/manifest.parquet"), rows.assign(path=paths, **known, **empty))
    store.submit([replace(make_task(name, rank=n), readers=2) for n, name in enumerate(names, 1)])

    assert main(["label-studio", "invite"]) == 0
    assert "/user/signup/?token=" in capsys.readouterr().out
    assert main(["label-studio", "invite", "commanded-a@localhost"]) == 0
    assert "commanded-a@localhost can log in" in capsys.readouterr().err
    exact = ["answer", "--project", store.title, "--miss-rate", "0", "--jitter", "0"]
    for address in ("commanded-a@localhost", "commanded-b@localhost"):
        assert main([*exact, "--as", address]) == 0
        assert f"2 films read as {address}" in capsys.readouterr().err
    read = list(store.fetch())
    assert len({(reading.image_id, reading.reader) for reading in read}) == 4
    assert {reading.verdict for reading in read} == {"finding"}
    for file in (label_studio_server.folder / "readers").iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
