import base64
import hashlib
import io
import json
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from kagglesdk import kaggle_env
from typer.testing import CliRunner

from lungal.cli import data as cli
from lungal.data.digests import sha256_of
from lungal.data.images import encode_png
from lungal.data.sources.checksums import FILE_NAME, append_sum, find_changed, read_sums
from lungal.data.sources.fetch import Fetched, fetch_nih, remote_name
from lungal.data.sources.kaggle import ATTEMPTS, KaggleDataset
from lungal.data.sources.nih import read_nih
from lungal.errors import ServerError, SourceError, TokenError
from lungal.params import SubsetParams

TOKEN = "a-token-for-tests"  # noqa: S105
SUBSET = SubsetParams(no_finding=1)
BOXED = "images_001/images/00000001_000.png"
FREE = "images_002/images/00002000_000.png"
WANTED = 6  # four text files and two films


def png(shade: int) -> bytes:
    return encode_png(np.full((8, 8), shade, np.uint8))


def dataset() -> dict[str, bytes]:
    entries = (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,"
        "View Position,OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Mass,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
        "00001999_000.png,Hernia,0,1999,058Y,M,PA,2682,2749,0.143,0.143,\n"
        "00002000_000.png,No Finding,0,2000,058Y,M,PA,2682,2749,0.143,0.143,\n"
    )
    boxes = "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Mass,100,200,50,60,,,\n"
    return {
        "BBox_List_2017.csv": boxes.encode(),
        "Data_Entry_2017.csv": entries.encode(),
        "train_val_list.txt": b"00001999_000.png\n00002000_000.png",
        "test_list.txt": b"00000001_000.png",
        BOXED: png(1),
        "images_002/images/00001999_000.png": png(2),
        FREE: png(3),
    }


class FakeKaggle(ThreadingHTTPServer):
    """The part of Kaggle that a download meets: the RPC, its redirect, and the storage."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dataset()
        self.requests: Counter[str] = Counter()
        self.trouble: dict[str, list[str]] = {}  # file name to what its next answers suffer
        self.zipped: set[str] = set()
        self.token = TOKEN


class Handler(BaseHTTPRequestHandler):
    server: FakeKaggle

    def log_message(self, *args: object) -> None: ...

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        assert self.path == "/api/v1/datasets.DatasetApiService/DownloadDataset"
        assert (asked["ownerSlug"], asked["datasetSlug"]) == ("nih-chest-xrays", "data")
        name = asked["fileName"]
        self.server.requests[name] += 1
        if self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self.answer(401, b'{"code": 401, "message": "Unauthenticated"}', "application/json")
        elif name not in self.server.files:
            self.answer(404, b'{"code": 404, "message": "Not found"}', "application/json")
        elif self.next_trouble(name) == "busy":
            self.send_response(429)
            self.send_header("Retry-After", "7")
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            self.send_response(302)
            self.send_header("Location", f"/storage/{name}")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def do_GET(self) -> None:
        name = self.path.removeprefix("/storage/")
        content, trouble = self.server.files[name], self.next_trouble(name)
        if name in self.server.zipped:
            packed = io.BytesIO()
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                archive.writestr(Path(name).name, content)
            content = packed.getvalue()
        if trouble is not None:
            self.server.trouble[name].pop(0)
        if trouble == "down":
            self.answer(503, b"", "text/plain")
            return
        md5 = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        if trouble == "damaged":
            content = bytes(reversed(content))
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("x-goog-hash", "crc32c=AAAAAA==")
        self.send_header("x-goog-hash", f"md5={md5}")
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if trouble == "cut" else content)

    def next_trouble(self, name: str) -> str | None:
        troubles = self.server.trouble.get(name) or [None]
        if troubles[0] == "busy" and self.command == "POST":
            return self.server.trouble[name].pop(0)
        return troubles[0]

    def answer(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def kaggle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeKaggle]:
    with FakeKaggle() as server:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.TEST, address)
        monkeypatch.setenv("KAGGLE_API_ENVIRONMENT", "TEST")
        monkeypatch.setenv("KAGGLE_API_TOKEN", TOKEN)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        threading.Thread(target=server.serve_forever, args=[0.05], daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def remote(kaggle: FakeKaggle, pauses: list[float]) -> KaggleDataset:
    return KaggleDataset(pause=pauses.append)


def test_only_labels_and_chosen_films_are_brought(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    seen: list[tuple[int, int]] = []
    fetched = fetch_nih(tmp_path / "nih", SUBSET, remote, lambda *at: seen.append(at))
    assert fetched == Fetched(brought=WANTED, kept=0)
    assert "images_002/images/00001999_000.png" not in kaggle.requests
    assert (tmp_path / "nih" / BOXED).read_bytes() == kaggle.files[BOXED]
    assert seen == [(1, 2), (2, 2)]
    survey = read_nih(tmp_path / "nih", SUBSET)
    assert [film.image_id for film in survey.films] == ["00000001_000", "00002000_000"]


def test_everything_is_everything(remote: KaggleDataset, tmp_path: Path) -> None:
    everything = SubsetParams(rule="everything")
    assert fetch_nih(tmp_path / "nih", everything, remote).brought == WANTED + 1


def test_what_is_here_is_not_brought_again(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    fetch_nih(tmp_path, SUBSET, remote)
    kaggle.requests.clear()
    assert fetch_nih(tmp_path, SUBSET, remote) == Fetched(brought=0, kept=WANTED)
    assert not kaggle.requests


def test_a_film_of_another_layout_counts_as_here(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "00000001_000.png").write_bytes(png(9))
    fetch_nih(tmp_path, SUBSET, remote)
    assert BOXED not in kaggle.requests


def test_sums_are_those_of_the_files_and_sha256sum_can_read_them(
    remote: KaggleDataset, tmp_path: Path
) -> None:
    fetch_nih(tmp_path, SUBSET, remote)
    sums = read_sums(tmp_path)
    assert len(sums) == WANTED
    assert sums[FREE] == sha256_of(tmp_path / FREE)
    lines = (tmp_path / FILE_NAME).read_text().splitlines()
    assert lines == sorted(lines, key=lambda line: line[66:])
    assert not find_changed(tmp_path)


@pytest.mark.parametrize("harm", ["changed", "cut", "gone"])
def test_a_file_that_lost_its_sum_is_noticed_and_brought_again(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path, harm: str
) -> None:
    fetch_nih(tmp_path, SUBSET, remote)
    film = tmp_path / BOXED
    if harm == "gone":
        film.unlink()
    else:
        film.write_bytes(png(200) if harm == "changed" else film.read_bytes()[:-9])
    assert find_changed(tmp_path) == [BOXED]
    assert fetch_nih(tmp_path, SUBSET, remote) == Fetched(brought=1, kept=WANTED - 1)
    assert film.read_bytes() == kaggle.files[BOXED]


def test_a_half_film_without_a_sum_is_never_taken_for_whole(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    (tmp_path / BOXED).parent.mkdir(parents=True)
    (tmp_path / BOXED).write_bytes(kaggle.files[BOXED][:-9])
    fetch_nih(tmp_path, SUBSET, remote)
    assert (tmp_path / BOXED).read_bytes() == kaggle.files[BOXED]


def test_a_sum_cut_short_by_a_kill_is_mended(remote: KaggleDataset, tmp_path: Path) -> None:
    fetch_nih(tmp_path, SUBSET, remote)
    path = tmp_path / FILE_NAME
    path.write_bytes(path.read_bytes()[:-30])
    assert len(read_sums(tmp_path)) == WANTED - 1
    fetch_nih(tmp_path, SUBSET, remote)
    assert len(read_sums(tmp_path)) == WANTED


def test_of_two_sums_the_last_counts(tmp_path: Path) -> None:
    append_sum(tmp_path, "a b.png", "0" * 64)
    append_sum(tmp_path, "a b.png", "1" * 64)
    assert read_sums(tmp_path) == {"a b.png": "1" * 64}


@pytest.mark.parametrize("trouble", ["busy", "down", "cut", "damaged"])
def test_passing_trouble_is_outlived(
    kaggle: FakeKaggle, remote: KaggleDataset, pauses: list[float], tmp_path: Path, trouble: str
) -> None:
    kaggle.trouble[BOXED] = [trouble, trouble]
    remote.download(BOXED, tmp_path / "film.png")
    assert (tmp_path / "film.png").read_bytes() == kaggle.files[BOXED]
    assert kaggle.requests[BOXED] == 3
    assert pauses == ([7.0, 7.0] if trouble == "busy" else [2.0, 4.0])


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [("down", "status 503"), ("cut", "IncompleteRead"), ("damaged", "MD5")],
)
def test_lasting_trouble_is_one_line_and_leaves_no_film(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path, trouble: str, reason: str
) -> None:
    kaggle.trouble[BOXED] = [trouble] * ATTEMPTS
    with pytest.raises(ServerError, match=reason) as caught:
        fetch_nih(tmp_path, SUBSET, remote)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / BOXED).exists()
    assert not find_changed(tmp_path)  # what did arrive is kept and sound


def test_an_image_that_arrives_but_cannot_be_decoded_is_refused(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    kaggle.files[BOXED] = b"<html>Sorry</html>"
    with pytest.raises(ServerError, match="no image that can be decoded"):
        fetch_nih(tmp_path, SUBSET, remote)
    assert not list((tmp_path / BOXED).parent.iterdir())


def test_a_zipped_answer_is_unpacked(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    kaggle.zipped = {"Data_Entry_2017.csv", BOXED}
    fetch_nih(tmp_path, SUBSET, remote)
    for name in kaggle.zipped:
        assert (tmp_path / name).read_bytes() == kaggle.files[name]


def test_a_refused_login_says_how_to_log_in_and_tells_no_secret(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path
) -> None:
    kaggle.token = TOKEN[::-1]
    with pytest.raises(TokenError, match=r"kaggle\.com/settings") as caught:
        fetch_nih(tmp_path, SUBSET, remote)
    assert TOKEN not in str(caught.value)
    assert kaggle.requests.total() <= 4  # no second attempt


def test_no_login_at_all(
    kaggle: FakeKaggle, remote: KaggleDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    with pytest.raises(TokenError, match="KAGGLE_API_TOKEN"):
        remote.download(BOXED, tmp_path / "film.png")


def test_a_legacy_key_is_sent(
    kaggle: FakeKaggle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KAGGLE_API_TOKEN")
    seen: list[str | None] = []
    monkeypatch.setattr(Handler, "answer", lambda self, *_: seen.append(
        self.headers.get("Authorization")) or self.close_connection)  # fmt: skip
    with pytest.raises(ServerError):
        KaggleDataset(username="me", key="k", pause=lambda _: None).download(BOXED, tmp_path / "f")
    assert seen[0] == "Basic " + base64.b64encode(b"me:k").decode()


def test_a_missing_film_is_named(remote: KaggleDataset, tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"no images_001/x\.png in nih-chest-xrays/data"):
        remote.download("images_001/x.png", tmp_path / "x.png")


def test_nobody_there(
    kaggle: FakeKaggle, remote: KaggleDataset, pauses: list[float], tmp_path: Path
) -> None:
    kaggle.shutdown()
    kaggle.server_close()
    with pytest.raises(ServerError, match="in 5 attempts") as caught:
        remote.download(BOXED, tmp_path / "film.png")
    assert "\n" not in str(caught.value)
    assert pauses == [2.0, 4.0, 8.0, 16.0]


@pytest.mark.parametrize(
    ("image_id", "folder"),
    [("00000001_000", "images_001"), ("00001335_006", "images_001"),
     ("00001336_000", "images_002"), ("00028173_002", "images_011"),
     ("00028173_003", "images_012"), ("00030805_000", "images_012")],
)  # fmt: skip
def test_films_lie_where_nih_put_them(image_id: str, folder: str) -> None:
    assert remote_name(image_id) == f"{folder}/images/{image_id}.png"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    params = (Path(__file__).parents[2] / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(params)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LUNGAL_NIH_ROOT", raising=False)
    return tmp_path


def test_fetch_command_reads_params_and_root(kaggle: FakeKaggle, project: Path) -> None:
    ran = CliRunner().invoke(cli.app, ["fetch", "--root", "nih", "--no-finding", "0"])
    assert ran.exit_code == 0, ran.output
    assert "nih: 5 files downloaded, 0 were here already" in ran.output
    assert not (project / "nih" / FREE).exists()


def test_commands_without_a_root_say_where_to_name_one(project: Path) -> None:
    for command in ("fetch", "check"):
        ran = CliRunner().invoke(cli.app, [command])
        assert isinstance(ran.exception, SourceError)
        assert "--root" in str(ran.exception)
