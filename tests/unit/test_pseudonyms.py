"""Names of films and readers that say nothing without the key."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lungal.annotation.pseudonyms import Pseudonyms, load_pseudonyms
from lungal.errors import PseudonymError

KEY = b"0123456789abcdef"


def test_a_name_stays_the_same_and_says_nothing() -> None:
    names = Pseudonyms(KEY)
    assert names.film("00000013_005") == Pseudonyms(KEY).film("00000013_005")
    assert re.fullmatch("film-[0-9a-f]{16}", names.film("00000013_005"))
    assert re.fullmatch("reader-[0-9a-f]{8}", names.reader("a@b.org"))
    assert names.film("00000013_005") != names.film("00000013_006")


def test_another_key_gives_other_names() -> None:
    other = Pseudonyms(b"fedcba9876543210")
    assert other.film("00000013_005") != Pseudonyms(KEY).film("00000013_005")


def test_a_film_and_a_reader_of_one_name_are_not_alike() -> None:
    names = Pseudonyms(KEY)
    assert names.film("x")[5:13] != names.reader("x")[7:]


def test_an_address_is_the_same_in_capitals() -> None:
    assert Pseudonyms(KEY).reader(" A@B.org") == Pseudonyms(KEY).reader("a@b.org")


def test_the_key_is_drawn_once_for_the_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / ".label-studio"
    first = load_pseudonyms(folder, {})
    key = folder / "pseudonym.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert len(key.read_text()) == 64
    assert load_pseudonyms(folder, {}).film("a") == first.film("a")
    assert [path.name for path in folder.iterdir()] == ["pseudonym.key"]


def test_of_two_who_draw_at_once_both_use_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(lambda _: load_pseudonyms(tmp_path, {}).film("a"), range(16)))
    assert len(names) == 1


def test_the_environment_comes_first_and_the_files_key_fits_there(tmp_path: Path) -> None:
    drawn = load_pseudonyms(tmp_path, {})
    key = (tmp_path / "pseudonym.key").read_text()
    assert load_pseudonyms(None, {"LUNGAL_PSEUDONYM_KEY": f"{key}\n"}).film("a") == drawn.film("a")
    told = load_pseudonyms(tmp_path, {"LUNGAL_PSEUDONYM_KEY": "another long secret"})
    assert told.film("a") != drawn.film("a")


def test_a_server_elsewhere_needs_a_shared_key() -> None:
    with pytest.raises(PseudonymError, match="LUNGAL_PSEUDONYM_KEY"):
        load_pseudonyms(None, {})


def test_a_poor_key_is_refused_and_not_shown() -> None:
    with pytest.raises(PseudonymError, match="16") as refused:
        load_pseudonyms(None, {"LUNGAL_PSEUDONYM_KEY": "short"})
    assert "'short'" not in str(refused.value)
