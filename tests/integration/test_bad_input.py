"""Bad input of the stage ingest: one line, an exit code, and never half an output."""

import json
import os
import signal
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from nih_folder import film_id, film_pixels, lay_out, mass
from plugins.changed_params import change_params
from plugins.waiting import wait_for

from lungal.data.images import encode_jpeg, encode_png
from lungal.data.manifest import read_manifest, read_truth
from pipelines.ingest import main
from pipelines.stage import PATHS

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("LUNGAL_NIH_ROOT", raising=False)
    return folder


def write_params(root: Path | None, tolerance: float = 0.02) -> None:
    where = None if root is None else str(root)
    change_params(data={"source": "nih", "root": where, "tolerance": tolerance})


def report() -> dict[str, object]:
    read: dict[str, object] = json.loads(PATHS.quarantine.read_text())
    return read


def with_sides(png: bytes, side: int) -> bytes:
    """A PNG whose header speaks of a square of another size."""
    header = b"IHDR" + side.to_bytes(4) * 2 + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4) + png[33:]


DAMAGED = "is damaged: Corrupt JPEG data: premature end of data segment"


def with_a_lost_sector(encoded: bytes) -> bytes:
    """The same file with 512 bytes of zeros in its middle."""
    middle = len(encoded) // 2
    return encoded[:middle] + bytes(512) + encoded[middle + 512 :]


def no_folder(root: Path) -> str:
    return f"no NIH folder at {root}: no such directory"


def a_file_for_a_folder(root: Path) -> str:
    root.write_text("not a folder")
    return f"no NIH folder at {root}"


def no_box_file(root: Path) -> str:
    (lay_out(root, {1: None}) / "BBox_List_2017.csv").unlink()
    return f"no BBox_List_2017*.csv in {root}"


def no_entries(root: Path) -> str:
    (lay_out(root, {1: None}) / "Data_Entry_2017_v2020.csv").unlink()
    return f"no Data_Entry_2017*.csv in {root}"


def no_images(root: Path) -> str:
    lay_out(root, {}, rows=[mass(1)])
    return f"no .png, .jpg, .jpeg image under {root}"


def other_images(root: Path) -> str:
    lay_out(root, {1: None}, rows=[mass(2)])
    return f"none of the 1 images under {root} has a box or is free of findings"


def a_csv_that_is_an_image(root: Path) -> str:
    (lay_out(root, {1: None}) / "BBox_List_2017.csv").write_bytes(encode_png(film_pixels(1)))
    return f"{root / 'BBox_List_2017.csv'} cannot be read: it is not UTF-8 text"


def an_unreadable_csv(root: Path) -> str:
    box_file = lay_out(root, {1: None}) / "BBox_List_2017.csv"
    box_file.unlink()
    box_file.mkdir()
    return f"{box_file} cannot be read: Is a directory"


def sums_that_are_no_text(root: Path) -> str:
    (lay_out(root, {1: None}) / "SHA256SUMS").write_bytes(b"\xff")
    return f"{root / 'SHA256SUMS'} cannot be read: it is not UTF-8 text"


@pytest.mark.parametrize(
    "spoil",
    [
        no_folder,
        a_file_for_a_folder,
        no_box_file,
        no_entries,
        no_images,
        other_images,
        a_csv_that_is_an_image,
        an_unreadable_csv,
        sums_that_are_no_text,
    ],
)
def test_a_root_that_cannot_be_read_is_one_line_and_nothing_is_written(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], spoil: Callable[[Path], str]
) -> None:
    complaint = spoil(tmp_path / "nih")
    write_params(tmp_path / "nih")
    assert main() == 2
    written = capfd.readouterr().err
    assert written.startswith(f"lungal ingest: {complaint}")
    assert written.count("\n") == 1
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def test_no_root_at_all_names_the_places_to_set_one(
    project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_params(None)
    assert main() == 2
    written = capfd.readouterr().err
    assert "data.root" in written
    assert "LUNGAL_NIH_ROOT" in written


def test_unfit_films_are_left_out_and_listed(project: Path, tmp_path: Path) -> None:
    whole = encode_png(film_pixels(2))
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    unfit = {
        2: (whole[: len(whole) // 2], "no whole PNG or JPEG image"),
        3: (b"this is a text file\n", "no whole PNG or JPEG image"),
        4: (encode_png(film_pixels(4, 512, 768)), "is 768x512 pixels; known: 1024x1024"),
        5: (b"", "no whole PNG or JPEG image"),
        6: (bytes(flipped), "cannot be decoded"),
        7: (with_sides(whole, 40_000), "cannot be decoded"),
        8: (with_a_lost_sector(encode_jpeg(film_pixels(8))), DAMAGED),
    }
    root = lay_out(
        tmp_path / "nih", {1: None, **{number: content for number, (content, _) in unfit.items()}}
    )
    (root / "images" / f"{film_id(9)}.png").mkdir()
    write_params(root, tolerance=0.9)
    assert main() == 0
    assert list(read_manifest(PATHS.manifest).image_id) == [film_id(1)]
    assert list(read_truth(PATHS.truth)) == [film_id(1)]
    assert [path.stem for path in PATHS.images.iterdir()] == [film_id(1)]
    assert report()["quarantine"] == [
        {"kind": "film", "name": f"{film_id(number)}.png", "line": None, "reason": reason}
        for number, (_, reason) in unfit.items()
    ]


def test_a_bad_row_is_left_out_with_its_line_number(project: Path, tmp_path: Path) -> None:
    rows = [mass(1), f"{film_id(2)}.png,Mass,1000,0,500,50", mass(3)]
    root = lay_out(tmp_path / "nih", dict.fromkeys((1, 2, 3)), rows)
    write_params(root, tolerance=0.5)
    assert main() == 0
    assert report()["quarantine"] == [
        {
            "kind": "box",
            "name": "00000002_000.png",
            "line": 3,
            "reason": "the box 1000, 0, 500, 50 lies outside the 1024x1024 film",
        }
    ]
    assert len(read_manifest(PATHS.manifest)) == 3
    assert list(read_truth(PATHS.truth)) == [film_id(1), film_id(3)]
    assert report()["films_of_unknown_truth"] == 1


@pytest.mark.parametrize(
    ("tolerance", "code"), [(0.24, 1), (0.25, 0)]
)  # one of four films, one of four rows
@pytest.mark.parametrize("kind", ["film", "box"])
def test_the_stage_fails_just_beyond_the_tolerance(
    project: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    kind: str,
    tolerance: float,
    code: int,
) -> None:
    rows = [mass(number) for number in (1, 2, 3)]
    rows.append(mass(4) if kind == "film" else f"{film_id(4)}.png,Mass,nan,0,5,5")
    films = {1: None, 2: None, 3: None, 4: b"no film" if kind == "film" else None}
    write_params(lay_out(tmp_path / "nih", films, rows), tolerance)
    assert main() == code
    assert report()[f"quarantined_{'films' if kind == 'film' else 'boxes'}"] == 1
    assert PATHS.manifest.exists() == PATHS.truth.exists() == PATHS.images.exists() == (code == 0)
    written = capfd.readouterr().err
    assert ("1 of 4" in written) == (code == 1)
    assert ("00000004_000.png" in written) == (code == 1)


def test_not_one_fit_film_fails_whatever_the_tolerance(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_params(lay_out(tmp_path / "nih", {1: b"no film"}), tolerance=1.0)
    assert main() == 1
    assert "no film is fit for use" in capfd.readouterr().err


def test_a_patient_on_two_official_lists_fails_the_stage(
    project: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = lay_out(tmp_path / "nih", {1: None, 2: None})
    (root / "train_val_list.txt").write_text("00000001_000.png\n00000002_000.png")
    (root / "test_list.txt").write_text("00000002_001.png")
    write_params(root)
    assert main() == 1
    written = capfd.readouterr().err
    assert written.startswith("lungal ingest: patient 00000002 is in both")
    assert [path.name for path in project.iterdir()] == ["params.yaml"]


def test_interrupted(
    project: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.ingest.take_in", interrupt)
    write_params(lay_out(tmp_path / "nih", {1: None}))
    assert main() == 130
    assert capfd.readouterr().err == "lungal ingest: interrupted\n"
    assert not list(PATHS.images.parent.iterdir())


def test_killed_in_the_middle_the_next_run_starts_again(project: Path, tmp_path: Path) -> None:
    root = lay_out(tmp_path / "nih", dict.fromkeys(range(1, 21)))
    write_params(root)
    assert main() == 0
    before = PATHS.manifest.read_bytes()
    last = root / "images" / f"{film_id(20)}.png"
    content = last.read_bytes()
    last.unlink()
    os.mkfifo(last)  # reading it waits for ever, so that the stage is caught in its middle

    stage = [sys.executable, "-m", "pipelines.ingest"]
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(stage, env=environment, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(list(PATHS.images.parent.glob(".images.*/*"))) >= 16, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not PATHS.manifest.exists()  # so that nobody takes the films for a whole set
    assert not PATHS.truth.exists()

    last.unlink()
    last.write_bytes(content)
    assert main() == 0
    assert PATHS.manifest.read_bytes() == before
    assert len(list(PATHS.images.iterdir())) == 20
    assert not list(PATHS.images.parent.glob(".*"))
