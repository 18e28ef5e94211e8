"""A folder with the layout of NIH ChestX-ray14, whole or in part.

    BBox_List_2017*.csv                 boxes of 880 films
    Data_Entry_2017*.csv                weak labels, view, sex and age of 112,120 films
    train_val_list*.txt, test_list*.txt the official lists; may be missing
    SHA256SUMS                          what the files were when they arrived; may be missing
    truth_no_finding.txt                films that hold no finding for sure; phantoms have it
    **/<image_id>.png|.jpg|.jpeg        in any folder: NIH's own archives and mirrors differ

The CSVs may name far more films than are there. Source: Wang et al., ChestX-ray8, CVPR 2017.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from lungal.data.digests import hash_json
from lungal.data.sources.box_file import IMAGE_ID, BoxFile, read_box_file
from lungal.data.sources.checksums import read_sums
from lungal.data.sources.csv_file import BOXES, ENTRIES, require_csv
from lungal.data.sources.entries import UNLISTED, Entry, read_entries, read_lists, read_names
from lungal.data.sources.survey import Film, OfficialSplit, Quarantined, Survey
from lungal.errors import SourceError
from lungal.params import SubsetParams

ROOT_VARIABLE = "LUNGAL_NIH_ROOT"
SUFFIXES = (".png", ".jpg", ".jpeg")
NO_FINDING_FILE = "truth_no_finding.txt"


@dataclass(frozen=True, slots=True)
class Labels:
    """All that the text files of a folder say."""

    boxes: BoxFile
    entries: Mapping[str, Entry]
    no_finding: frozenset[str]  # films known to hold none


def nih_root(given: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the folder that is given, else the one that the environment names; else None."""
    named = environ.get(ROOT_VARIABLE)
    return given or (Path(named) if named else None)


def read_nih(root: Path, subset: SubsetParams) -> Survey:
    """Survey a folder; opens no image.

    The truth of a film is its boxes; nothing, if it is known to hold no finding; and not known
    otherwise. That includes a film with a quarantined box: the box stood for something, so
    neither the film's other boxes nor an empty film would be the whole truth.

    Raises:
        SourceError: if the folder, its CSVs or its images are missing or unreadable, or if the
            subset rule finds no film there.
        LeakError: if a patient is on both official lists.
    """
    labels, lists = read_labels(root), read_lists(root)
    paths, doubles = find_images(root)
    wanted = choose(labels, subset, paths)
    if not wanted:
        raise SourceError(
            f"none of the {len(paths)} images under {root} has a box or is free of findings"
        )
    named = [image_id for image_id in wanted if IMAGE_ID.fullmatch(image_id)]
    sums = {root / name: digest for name, digest in read_sums(root).items()}
    films = tuple(_film(image_id, paths[image_id], labels, lists, sums) for image_id in named)
    return Survey(
        films=films,
        rows=labels.boxes.rows,
        quarantine=(
            *labels.boxes.quarantine,
            *(
                Quarantined("film", paths[image_id].name, "is not named like 00000013_005.png")
                for image_id in sorted(set(wanted) - set(named))
            ),
            *(
                Quarantined("film", str(path.relative_to(root)), f"a second file of {image_id}")
                for image_id, path in doubles
                if image_id in set(named)
            ),
        ),
        counts={
            "images_found": len(paths),
            "films_listed_but_absent": len(labels.entries.keys() - paths.keys()),
            "boxed_films_absent": len(labels.boxes.films - paths.keys()),
            "films_not_listed": sum(film.image_id not in labels.entries for film in films),
            "films_with_contradicting_rows": sum(
                labels.entries.get(film.image_id, UNLISTED).contradicted for film in films
            ),
            "films_unsure_for_a_bad_box": sum(
                film.image_id in labels.boxes.unsure for film in films
            ),
        },
    )


def read_labels(root: Path) -> Labels:
    """Read the text files of a folder.

    Raises:
        SourceError: if the folder or a file is missing, unreadable or there several times.
    """
    if not root.is_dir():
        raise SourceError(f"no NIH folder at {root}: no such directory")
    boxes = read_box_file(require_csv(root, BOXES))
    entries = read_entries(require_csv(root, ENTRIES))
    stated = root / NO_FINDING_FILE
    if stated.exists():
        free = frozenset(read_names(stated))
    else:
        free = frozenset(name for name, entry in entries.items() if entry.findings == ())
    return Labels(boxes, entries, free - boxes.films)


def find_images(root: Path) -> tuple[dict[str, Path], list[tuple[str, Path]]]:
    """Return the image files under root by stem, and (stem, path) of second files of a stem.

    Raises:
        SourceError: if a folder cannot be read or there is no image.
    """
    paths: dict[str, Path] = {}
    doubles = []
    for path in walk_images(root):
        if path.stem in paths:
            doubles.append((path.stem, path))
        else:
            paths[path.stem] = path
    if not paths:
        raise SourceError(f"no {', '.join(SUFFIXES)} image under {root}")
    return paths, doubles


def choose(labels: Labels, subset: SubsetParams, present: Iterable[str]) -> list[str]:
    """Return the image_ids that the subset rule wants, sorted.

    Films without finding are drawn in the order of a salted hash, so that a folder that holds
    fewer or more films changes the choice as little as it can.

    Args:
        labels: what is known of the films.
        subset: the rule.
        present: image_ids that can be had.
    """
    present = set(present)
    if subset.rule == "everything":
        return sorted(present)
    free = sorted(present & labels.no_finding, key=lambda name: _lot(subset.seed, name))
    return sorted((present & labels.boxes.films).union(free[: subset.no_finding]))


def _lot(seed: int, image_id: str) -> bytes:
    # Salted with its purpose: the initial set is ranked by a hash too, and by the same one it would
    # consist of the films drawn here, which have the smallest hashes of all.
    return hashlib.sha256(f"subset:{seed}:{image_id}".encode()).digest()


def walk_images(root: Path) -> Iterator[Path]:
    """Yield every image file under root in a fixed order; names with a leading dot are skipped.

    Raises:
        SourceError: if a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename} cannot be read: {error.strerror}")

    # Links are followed: the films often lie on another disk than their CSVs.
    for folder, folders, files in os.walk(root, onerror=refuse, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if name.lower().endswith(SUFFIXES) and not name.startswith("."):
                yield Path(folder, name)


def fingerprint(root: Path) -> str:
    """Return a hash of the names, sizes and times of a folder's files: has anything changed?

    Opens no file. A link stands for what it leads to.

    Raises:
        SourceError: if a folder cannot be read.
    """
    images = list(walk_images(root))  # first, as it says what is wrong with a folder
    texts = (path for path in root.iterdir() if path.is_file())
    found = {str(path): path.stat() for path in (*images, *texts) if path.exists()}
    return hash_json([(name, at.st_size, at.st_mtime_ns) for name, at in sorted(found.items())])


def _film(
    image_id: str,
    path: Path,
    labels: Labels,
    lists: Mapping[str, OfficialSplit],
    sums: Mapping[Path, str],
) -> Film:
    entry = labels.entries.get(image_id, UNLISTED)
    return Film(
        image_id=image_id,
        path=path,
        findings=entry.findings,
        view=entry.view,
        sex=entry.sex,
        age=entry.age,
        official_split=lists.get(image_id),
        truth=() if image_id in labels.no_finding else labels.boxes.boxes.get(image_id),
        sha256=sums.get(path),
    )
