import hashlib
import io
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from nih_folder import SIDE, film_id, film_pixels, lay_out
from PIL import Image

from lungal.data.digests import sha256_of
from lungal.data.encoded import is_plain
from lungal.data.images import decode, encode_jpeg, encode_png, read_pixels
from lungal.data.manifest import read_manifest, read_truth
from lungal.data.sources.checksums import write_sums
from lungal.data.sources.intake import take_in
from lungal.data.sources.nih import read_nih
from lungal.params import Params, SubsetParams, load_params
from pipelines.ingest import ingest, main
from pipelines.stage import PATHS

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LUNGAL_NIH_ROOT", raising=False)
    return folder


def params(root: Path | None, tolerance: float = 0.02, **subset: object) -> Params:
    raw = yaml.safe_load(PARAMS.read_text())
    raw["data"] |= {
        "source": "nih",
        "root": None if root is None else str(root),
        "tolerance": tolerance,
        "subset": raw["data"]["subset"] | subset,
    }
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    return load_params(Path("params.yaml"))


def digests() -> dict[str, str]:
    outputs = [PATHS.manifest, PATHS.truth, PATHS.quarantine, *PATHS.images.iterdir()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in outputs}


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind)
    return stream.getvalue()


def test_plain_films_are_copied_and_described(project: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", {1: None, 2: encode_jpeg(film_pixels(2)), 3: None})
    (root / "images" / f"{film_id(2)}.png").rename(root / "images" / f"{film_id(2)}.JPG")
    ingest(params(root))
    manifest = read_manifest(PATHS.manifest)
    assert list(manifest.path) == [
        "images/00000001_000.png",
        "images/00000002_000.jpg",
        "images/00000003_000.png",
    ]
    for path, sha256 in zip(manifest.path, manifest.sha256, strict=True):
        stored = (PATHS.manifest.parent / path).read_bytes()
        original = next(root.glob(f"images/{Path(path).stem}.*"))
        assert stored == original.read_bytes()
        assert sha256 == hashlib.sha256(stored).hexdigest()
    assert set(manifest.width) == set(manifest.height) == {SIDE}
    assert set(manifest.source) == {"nih"}
    assert list(manifest.findings) == [["Mass"]] * 3
    truth = read_truth(PATHS.truth)
    assert truth[film_id(2)][0].xyxy == (102, 200, 152, 260)


def test_depths_palettes_and_channels_become_grey(project: Path, tmp_path: Path) -> None:
    grey = film_pixels(1)
    alpha = np.dstack([film_pixels(2)] * 3 + [np.full_like(grey, 255)])
    deep = film_pixels(3).astype(np.uint16) * 257
    colour = encoded(Image.fromarray(np.dstack([film_pixels(5)] * 3)), "JPEG")
    root = lay_out(
        tmp_path / "nih",
        {
            1: encode_png(grey),
            2: encoded(Image.fromarray(alpha)),
            3: encoded(Image.fromarray(deep)),
            4: encoded(Image.fromarray(film_pixels(4)).convert("P")),
            5: colour,
        },
    )
    ingest(params(root))
    for number in (1, 2, 3, 4):
        stored = (PATHS.images / f"{film_id(number)}.png").read_bytes()
        assert is_plain(stored)
        assert np.abs(decode(stored, "").astype(int) - film_pixels(number)).max() <= 1
    report = json.loads(PATHS.quarantine.read_text())
    assert report["quarantined_films"] == 0
    assert (PATHS.images / f"{film_id(5)}.png").read_bytes()[:4] == b"\x89PNG"
    assert not is_plain(colour)


def test_a_film_that_is_no_longer_what_it_was_is_left_out(project: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", dict.fromkeys(range(1, 5)))
    paths = [root / "images" / f"{film_id(number)}.png" for number in range(1, 5)]
    write_sums(root, {f"images/{path.name}": sha256_of(path) for path in paths[:3]})
    for number in (2, 4):  # of the fourth nothing is known
        paths[number - 1].write_bytes(encode_png(film_pixels(number + 10)))
    ingest(params(root, tolerance=0.5))
    assert list(read_manifest(PATHS.manifest).image_id) == [film_id(1), film_id(3), film_id(4)]
    (left_out,) = json.loads(PATHS.quarantine.read_text())["quarantine"]
    assert left_out["name"] == f"{film_id(2)}.png"
    assert left_out["reason"] == "is no longer the file that SHA256SUMS names"


@pytest.mark.parametrize(("bits", "fit"), [(10, False), (12, False), (14, False), (16, True)])
@pytest.mark.parametrize("channels", [1, 4])
def test_a_film_of_fewer_bits_in_sixteen_is_left_out(
    project: Path, tmp_path: Path, bits: int, fit: bool, channels: int
) -> None:
    # A dark film with one white spot, as a marker of the side is.
    deep = np.full((SIDE, SIDE), 7, np.uint16)
    deep[3, 4] = 2**bits - 1
    if channels == 4:
        deep = np.dstack([deep] * 3 + [np.full_like(deep, 65535)])
    done, png = cv2.imencode(".png", deep)
    assert done
    root = lay_out(tmp_path / "nih", {1: None, 2: png.tobytes()})
    ingest(params(root, tolerance=0.5))
    left_out = json.loads(PATHS.quarantine.read_text())["quarantine"]
    assert [bad["name"] for bad in left_out] == ([] if fit else [f"{film_id(2)}.png"])
    for bad in left_out:
        said = f"its greatest grey is {2**bits - 1} of 65535, as of a film of {bits} bits: "
        assert bad["reason"] == said + "stretch its greys to 16 bits, or write it with 8"


@pytest.mark.parametrize(
    ("kind", "mode", "plain"),
    [
        ("PNG", "L", True),
        ("PNG", "RGB", False),
        ("JPEG", "L", True),
        ("JPEG", "RGB", False),
        ("JPEG", "CMYK", False),
    ],
)
def test_headers_tell_what_is_plain(kind: str, mode: str, plain: bool) -> None:
    assert is_plain(encoded(Image.new(mode, (40, 30)), kind)) is plain


@pytest.mark.parametrize("cut", [0, 3, 20, 30])
def test_a_cut_header_is_not_plain(cut: int) -> None:
    assert not is_plain(encoded(Image.new("L", (40, 30)), "JPEG")[:cut])


def test_a_jpeg_with_a_long_comment_and_progressive_scans_is_plain() -> None:
    stream = io.BytesIO()
    Image.new("L", (40, 30)).save(stream, "JPEG", comment=b"c" * 999, progressive=True)
    assert is_plain(stream.getvalue())


def test_two_runs_give_the_same_bytes(project: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", dict.fromkeys(range(1, 6)))
    (root / "images" / "cut.png").write_bytes(b"\x89PNG")
    everything = params(root, tolerance=0.5, rule="everything")
    ingest(everything)
    first = digests()
    ingest(everything)
    assert digests() == first
    assert len(first) == 3 + 5


def test_films_that_were_stored_before_are_gone(project: Path, tmp_path: Path) -> None:
    ingest(params(lay_out(tmp_path / "a", {1: None, 2: None})))
    ingest(params(lay_out(tmp_path / "b", {2: None, 3: None})))
    assert sorted(path.stem for path in PATHS.images.iterdir()) == [film_id(2), film_id(3)]
    assert list(read_truth(PATHS.truth)) == [film_id(2), film_id(3)]


def test_the_same_pixels_under_two_names_are_kept_once(project: Path, tmp_path: Path) -> None:
    deep = encoded(Image.fromarray(film_pixels(1).astype(np.uint16) * 257))
    root = lay_out(tmp_path / "nih", {1: None, 2: deep, 3: None})
    ingest(params(root, tolerance=0.5))
    assert list(read_manifest(PATHS.manifest).image_id) == [film_id(1), film_id(3)]
    assert not (PATHS.images / f"{film_id(2)}.png").exists()
    (bad,) = json.loads(PATHS.quarantine.read_text())["quarantine"]
    assert bad["reason"] == "has the pixels of 00000001_000"
    assert film_id(2) not in read_truth(PATHS.truth)


def test_the_root_may_come_from_the_environment(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LUNGAL_NIH_ROOT", str(lay_out(tmp_path / "nih", {1: None})))
    params(None)
    assert main() == 0
    assert len(read_manifest(PATHS.manifest)) == 1


def test_checking_stores_nothing_and_counts_progress(project: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", {1: None, 2: b"no image"})
    seen: list[tuple[int, int]] = []
    intake = take_in(read_nih(root, SubsetParams()), None, lambda *at: seen.append(at))
    assert [stored.film.image_id for stored in intake.films] == [film_id(1)]
    assert seen == [(1, 2), (2, 2)]
    assert not list(project.iterdir())


def test_phantoms_go_through_the_same_reader(project: Path) -> None:
    raw = yaml.safe_load(PARAMS.read_text())
    raw["data"] |= {"source": "phantom", "phantom": {"films": 5, "seed": 3}}
    Path("params.yaml").write_text(yaml.safe_dump(raw))
    assert main() == 0
    manifest = read_manifest(PATHS.manifest)
    assert len(manifest) == 5
    assert set(manifest.source) == {"phantom"}
    assert read_truth(PATHS.truth)
    assert json.loads(PATHS.quarantine.read_text())["quarantine"] == []
    assert sorted(path.name for path in PATHS.images.parent.iterdir()) == [
        "images",
        "manifest.parquet",
        "truth.jsonl",
    ]


@pytest.mark.nih
def test_real_films_without_a_single_quarantine(nih_root: Path, project: Path) -> None:
    ingest(params(nih_root))
    report = json.loads(PATHS.quarantine.read_text())
    assert report["quarantine"] == []
    assert (report["films"], report["films_with_boxes"]) == (845, 645)
    assert report["films_without_finding"] == 200
    assert report["films_listed_but_absent"] == 112_120 - 845
    truth = read_truth(PATHS.truth)
    listed = (nih_root / "BBox_List_2017.csv").read_text().splitlines()[1:]
    here = {path.stem for path in (nih_root / "images").iterdir()}
    expected = Counter(line.split(",")[1] for line in listed if line[:12] in here)
    assert Counter(box.label for boxes in truth.values() for box in boxes) == expected
    assert len(list(PATHS.images.iterdir())) == len(read_manifest(PATHS.manifest)) == 845


@pytest.mark.nih
def test_real_png_nih_png_with_alpha_become_grey(
    nih_root: Path, nih_png: Path, project: Path
) -> None:
    root = project / "nih"
    root.mkdir()
    (root / "images").symlink_to(nih_png / "images")
    for name in ("BBox_List_2017.csv", "Data_Entry_2017_v2020.csv"):
        (root / name).symlink_to(nih_root / name)
    ingest(params(root, rule="everything"))
    assert json.loads(PATHS.quarantine.read_text())["quarantine"] == []
    converted = []
    for original in (nih_png / "images").iterdir():
        stored = PATHS.images / original.name
        np.testing.assert_array_equal(read_pixels(stored), read_pixels(original))
        assert is_plain(stored.read_bytes())
        converted += [original.stem] * (stored.read_bytes() != original.read_bytes())
    assert sorted(converted) == ["00001369_000", "00002578_000", "00004934_000"]
