"""`lungal data first`: typical films of a pool that nobody has read, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from plugins.changed_params import change_params

from lungal.cli import main
from lungal.data.images import encode_png
from lungal.data.manifest import write_manifest, write_truth
from lungal.data.splits import write_splits
from lungal.detectors.tfod.backbone import Backbone
from lungal.params import SelectParams
from lungal.paths import load_paths
from lungal.records import Image
from lungal.rounds.cold_start import choose_first, embed_films

REPOSITORY = Path(__file__).resolve().parents[2]
PATHS = load_paths(REPOSITORY / "dvc.yaml")
KINDS, OF_KIND, SIDE = 4, 8, 96
HELD_OUT = "00000099_000"


def name(number):
    return f"{number:08d}_000"


def picture(number):
    """A film of one of four kinds, with a little noise."""
    y, x = np.mgrid[:SIDE, :SIDE]
    kinds = (x, y, 40 * ((x // 12 + y // 12) % 6), 255 * (np.hypot(x - 48, y - 48) < 30))
    noise = np.random.default_rng(number).integers(0, 12, (SIDE, SIDE))
    return np.clip(kinds[number % KINDS] + noise, 0, 255).astype(np.uint8)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project after `split`: 32 training films of four kinds, and one held out."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(REPOSITORY / "dvc.yaml", tmp_path)
    change_params(tmp_path, proxy={"initial_weights": "scratch", "input_size": SIDE})
    PATHS.images.mkdir(parents=True)
    names = [*map(name, range(KINDS * OF_KIND)), HELD_OUT]
    rows = []
    for number, film in enumerate(names):
        path = PATHS.images / f"{film}.png"
        path.write_bytes(encode_png(picture(number)))
        rows.append(
            {
                "image_id": film,
                "patient_id": film[:8],
                "path": str(path.relative_to(PATHS.manifest.parent)),
                "sha256": "0" * 64,
                "width": SIDE,
                "height": SIDE,
                "view": "PA",
                "sex": None,
                "age": None,
                "findings": None,
                "source": "nih",
                "official_split": None,
            }
        )
    write_manifest(PATHS.manifest, pd.DataFrame(rows))
    write_truth(PATHS.truth, {HELD_OUT: ()})
    splits = pd.DataFrame(rows)[["image_id", "patient_id"]]
    write_splits(PATHS.splits, splits.assign(split=["train"] * (len(rows) - 1) + ["test"]))
    return tmp_path


def first(*arguments):
    return main(["data", "first", *map(str, arguments)])


@pytest.mark.slow
def test_typical_films_of_every_kind_come_first(project, capfd):
    assert first("--films", KINDS) == 0
    rows = pd.read_csv("first.csv", dtype={"patient_id": str})
    assert rows.columns.tolist()[:4] == ["rank", "image_id", "patient_id", "path"]
    assert rows["rank"].tolist() == [1, 2, 3, 4]
    assert {int(film[:8]) % KINDS for film in rows["image_id"]} == set(range(KINDS))
    assert HELD_OUT not in set(rows["image_id"])
    assert all(Path(path).exists() for path in rows["path"])
    assert "4 of 32 training films are named in first.csv" in capfd.readouterr().err
    before = Path("first.csv").read_bytes()
    assert first("--films", KINDS, "--out", "again.csv") == 0
    assert Path("again.csv").read_bytes() == before
    (kept,) = Path("models/.training/first").iterdir()
    written = kept.stat().st_mtime_ns
    assert first("--films", KINDS, "--out", "kept.csv") == 0
    assert kept.stat().st_mtime_ns == written, "nobody looks at a film twice"
    assert Path("kept.csv").read_bytes() == before

    write_truth(PATHS.truth, {HELD_OUT: (), name(0): (), name(4): (), name(1): ()})
    assert first("--films", 2, "--out", "rest.csv") == 0
    rest = pd.read_csv("rest.csv")["image_id"]
    assert {int(film[:8]) % KINDS for film in rest} == {2, 3}, "what nobody has read of comes first"
    assert "2 of 29 training films are named in rest.csv; 3 count as read" in (
        capfd.readouterr().err
    )


def test_what_cannot_be_is_one_line(project, capfd):
    (project / "folder").mkdir()
    assert first("--out", "folder") == 2
    assert "folder is a folder; --out names a file" in capfd.readouterr().err
    write_truth(PATHS.truth, {name(number): () for number in range(KINDS * OF_KIND)})
    assert first() == 2
    assert "the truth of all 32 training films is known" in capfd.readouterr().err
    PATHS.splits.unlink()
    assert first() == 2
    assert "the stage `split` makes it" in capfd.readouterr().err


@pytest.mark.slow
def test_embeddings_are_of_length_one_and_in_order():
    films = [Image(name(number), picture(number)) for number in range(5)]
    backbone = Backbone("scratch", SIDE)
    rows = np.array(list(embed_films(films, backbone)))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    (alone,) = embed_films(films[3:4], backbone)
    np.testing.assert_allclose(alone, rows[3], atol=1e-4)


def test_a_patient_is_named_once():
    random = np.random.default_rng(0)
    waiting = {f"{number // 2:08d}_{number % 2:03d}": f"{number // 2:08d}" for number in range(20)}
    embeddings = {film: random.normal(size=8).astype(np.float32) for film in waiting}
    chosen = choose_first(waiting, embeddings, [], 8, SelectParams(selector="random"))
    assert len({one.patient_id for one in chosen}) == len(chosen) == 8
