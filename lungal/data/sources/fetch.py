"""Bring NIH's labels, and just the films that a subset rule wants, from a public source.

Nobody needs 45 GB for 880 films: the labels come first, they tell which films are wanted, and
each film is a file of its own. What is here and whole is not brought again.
"""

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import Protocol

from lungal.data.digests import sha256_of
from lungal.data.files import whole_file
from lungal.data.images import read_pixels
from lungal.data.sources.checksums import append_sum, read_sums, write_sums
from lungal.data.sources.csv_file import BOXES, ENTRIES, TEST, TRAIN_VAL, find_csv
from lungal.data.sources.nih import choose, read_labels, walk_images
from lungal.errors import ImageError, ServerError
from lungal.params import SubsetParams
from lungal.records import OnProgress

WORKERS = 4

LABELS = {
    "BBox_List_2017.csv": BOXES,
    "Data_Entry_2017.csv": ENTRIES,
    "train_val_list.txt": TRAIN_VAL,
    "test_list.txt": TEST,
}
"""The text files, and what also counts as having them."""

FIRST_FILMS = (
    "00000001_000",
    "00001336_000",
    "00003923_014",
    "00006585_007",
    "00009232_004",
    "00011558_008",
    "00013774_026",
    "00016051_010",
    "00018387_035",
    "00020945_050",
    "00024718_000",
    "00028173_003",
)
"""The first film of images_001 to images_012: of 4,999, ten times 10,000, and 7,121 films."""


class Remote(Protocol):
    """Where files come from."""

    def download(self, name: str, path: Path) -> None:
        """Write the file called `name` there to path, whole.

        Raises:
            ServerError: if it cannot be had.
        """
        ...


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a fetch did."""

    brought: int
    kept: int  # were here already, and whole


@dataclass(frozen=True, slots=True)
class _File:
    name: str  # at the remote
    path: Path  # here

    @property
    def is_image(self) -> bool:
        return self.name.startswith("images_")


def fetch_nih(
    root: Path,
    subset: SubsetParams,
    remote: Remote,
    progress: OnProgress | None = None,
) -> Fetched:
    """Make root a folder that `read_nih` reads, with the films that the subset rule wants.

    Can be stopped and started again at any time. The sum of each file that is whole is written
    to SHA256SUMS at once; a file that no longer has its sum is brought again.

    Args:
        root: the folder; made if need be.
        subset: which films.
        remote: where from.
        progress: called with (done, total) films.

    Raises:
        ServerError: if a file cannot be had, or an image arrives that cannot be decoded; what
            has arrived by then is kept.
        SourceError: if one of the text files is there several times.
    """
    root.mkdir(parents=True, exist_ok=True)
    write_sums(root, read_sums(root))  # mends a line that a kill has cut
    files = [_File(name, find_csv(root, like) or root / name) for name, like in LABELS.items()]
    first = _bring_all(root, files, remote, None)
    labels = read_labels(root)
    here = {path.stem: path for path in walk_images(root)}
    wanted = choose(labels, subset, labels.entries.keys() | labels.boxes.films)
    names = {image_id: remote_name(image_id) for image_id in wanted}
    films = [_File(name, here.get(film, root / name)) for film, name in names.items()]
    second = _bring_all(root, films, remote, progress)
    write_sums(root, read_sums(root))
    return Fetched(first.brought + second.brought, first.kept + second.kept)


def remote_name(image_id: str) -> str:
    """Return where NIH's twelve archives, and Kaggle's folders of the same names, hold a film."""
    return f"images_{bisect_right(FIRST_FILMS, image_id):03d}/images/{image_id}.png"


def _bring_all(
    root: Path,
    files: Iterable[_File],
    remote: Remote,
    progress: OnProgress | None,
) -> Fetched:
    sums, files, brought = read_sums(root), list(files), 0
    with ThreadPool(WORKERS) as pool:
        bring = partial(_bring, root=root, remote=remote, sums=sums)
        for done, (name, digest, is_new) in enumerate(pool.imap_unordered(bring, files), start=1):
            if sums.get(name) != digest:
                append_sum(root, name, digest)
            brought += is_new
            if progress is not None:
                progress(done, len(files))
    return Fetched(brought, len(files) - brought)


def _bring(
    file: _File, *, root: Path, remote: Remote, sums: dict[str, str]
) -> tuple[str, str, bool]:
    name = file.path.relative_to(root).as_posix()
    if file.path.exists():
        digest = sha256_of(file.path)
        if digest == sums.get(name) or (name not in sums and _is_whole(file, file.path)):
            return name, digest, False
    with whole_file(file.path) as temporary:
        remote.download(file.name, temporary)
        if not _is_whole(file, temporary):
            raise ServerError(f"{file.name} arrived, but is no image that can be decoded")
        digest = sha256_of(temporary)
    return name, digest, True


def _is_whole(file: _File, path: Path) -> bool:
    if not file.is_image:
        return True
    try:
        read_pixels(path)
    except ImageError:
        return False
    return True
