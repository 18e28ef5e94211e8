"""What the bytes of a film tell beside the picture."""

import io

import numpy as np
import pytest
from PIL import Image

from lungal.data.encoded import why_damaged
from lungal.data.images import decode, encode_jpeg, encode_png
from lungal.errors import ImageError

SECTOR = 512


@pytest.fixture(scope="module")
def film():
    """A film of 512x512 pixels that fills a good many sectors."""
    noise = np.random.default_rng(0).normal(0, 8, (512, 512))
    return np.clip(np.linspace(40, 200, 512) + noise, 0, 255).astype(np.uint8)


def places(encoded):
    return range(2 * SECTOR, len(encoded) - 2 * SECTOR, 7 * SECTOR)


@pytest.mark.parametrize("filling", [bytes(SECTOR), b"\xff" * SECTOR, b"lungal a" * 64, b""])
def test_a_jpeg_that_has_lost_a_sector_is_refused(film, filling):
    encoded = encode_jpeg(film)
    assert len(places(encoded)) > 5
    for at in places(encoded):
        with pytest.raises(ImageError, match=r"^film 7: (is damaged: |cannot be decoded|no whole)"):
            decode(encoded[:at] + filling + encoded[at + SECTOR :], "film 7")


def test_so_is_a_png(film):
    encoded = encode_png(film)
    for at in places(encoded):
        with pytest.raises(ImageError, match=r"^film 7: cannot be decoded$"):
            decode(encoded[:at] + bytes(SECTOR) + encoded[at + SECTOR :], "film 7")


def test_most_flipped_bits_that_can_be_seen_are_noticed(film):
    encoded = encode_jpeg(film)
    seen = noticed = 0
    for at in range(2 * SECTOR, len(encoded) - SECTOR, 301):
        flipped = encoded[:at] + bytes([encoded[at] ^ 0x10]) + encoded[at + 1 :]
        try:
            pixels = decode(flipped, "")
        except ImageError:
            noticed += 1
            continue
        seen += (np.abs(pixels.astype(int) - decode(encoded, "")) > 8).mean() > 0.01
    assert noticed > seen


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize(
    "how", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"comment": b"c" * 999}]
)
def test_a_whole_jpeg_of_any_kind_is_not_damaged(film, mode, how):
    stream = io.BytesIO()
    Image.fromarray(film).convert(mode).save(stream, "JPEG", **how)
    assert why_damaged(stream.getvalue()) is None
    assert decode(stream.getvalue(), "").shape == film.shape


def test_what_follows_the_picture_is_no_damage(film):
    assert why_damaged(encode_jpeg(film) + b"a scanner's own words") is None


def test_an_odd_header_is_no_damage(film):
    whole = encode_jpeg(film)
    tables = whole.index(b"\xff\xdb")
    revision = whole.index(b"JFIF\x00") + 5
    scan = whole.index(b"\xff\xda") + 7  # marker, length, one component's three bytes
    for odd in (
        whole[:tables] + b"\x00\x00" + whole[tables:],
        whole[:revision] + b"\x02" + whole[revision + 1 :],
        whole[:scan] + b"\x00\x00" + whole[scan + 2 :],
    ):
        assert odd != whole
        assert why_damaged(odd) is None
        np.testing.assert_array_equal(decode(odd, ""), decode(whole, ""))


@pytest.mark.nih
def test_no_real_film_is_damaged(nih_root):
    for path in sorted(nih_root.rglob("*.jp*g"))[:100]:
        assert why_damaged(path.read_bytes()) is None, path
