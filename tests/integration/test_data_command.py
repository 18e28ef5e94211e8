import shutil
from pathlib import Path

import pytest
from nih_folder import film_id, lay_out, mass

from lungal.cli import main
from lungal.data.digests import sha256_of
from lungal.data.sources.checksums import write_sums

PARAMS = Path(__file__).parents[2] / "params.yaml"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    project = tmp_path / "project"
    project.mkdir()
    shutil.copy(PARAMS, project)
    monkeypatch.chdir(project)
    monkeypatch.setenv("COLUMNS", "160")
    return tmp_path / "nih"


def check(root: Path) -> int:
    return main(["data", "check", "--root", str(root)])


def test_check_counts_and_writes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lay_out(root, {1: None, 2: None})
    assert check(root) == 0
    printed = capsys.readouterr().out
    counted = dict(line.strip("│ ").split("│") for line in printed.splitlines() if "│" in line)
    counts = {name.strip(): int(value) for name, value in counted.items()}
    assert counts["films"] == counts["boxes Mass"] == 2
    assert counts["quarantined films"] == 0
    assert [path.name for path in Path.cwd().iterdir()] == ["params.yaml"]


def test_check_lists_what_is_unfit_and_fails_beyond_the_tolerance(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(root, {1: None, 2: b"no film"})
    assert check(root) == 1
    printed = capsys.readouterr()
    assert "00000002_000.png" in printed.out
    assert "no whole PNG or JPEG image" in printed.out
    assert printed.err.startswith("lungal: 1 of 2 films quarantined, tolerated are 2.0%")
    assert printed.err.count("\n") == 1


def test_check_shows_what_a_file_says_as_it_is(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(root, {1: None, 2: None}, [mass(1), mass(2).replace("Mass", "[mass] or [/b]")])
    assert check(root) == 1
    assert "[mass] or [/b]" in capsys.readouterr().out


def test_check_notices_a_film_that_is_not_what_was_downloaded(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lay_out(root, {1: None, 2: None})
    name = f"images/{film_id(1)}.png"
    write_sums(root, {name: sha256_of(root / name)})
    assert check(root) == 0
    shutil.copy(root / "images" / f"{film_id(2)}.png", root / "copy.txt")
    (root / name).write_bytes((root / "copy.txt").read_bytes() + b"IEND")
    assert check(root) == 2
    assert f"the first: {name}" in capsys.readouterr().err


def test_check_of_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(root) == 2
    assert capsys.readouterr().err == f"lungal: no NIH folder at {root}: no such directory\n"
