"""What the bytes of a PNG or JPEG tell beside the picture. The only module that imports simplejpeg.

OpenCV decodes them, and says nothing of what it had to make up.
"""

import re

import simplejpeg


def is_plain(encoded: bytes) -> bool:
    """Say whether a PNG or JPEG stores one channel of 8 bits, read off its header.

    PNG: bit depth and colour type of IHDR (PNG 3rd ed., 11.2.1). JPEG: precision and component
    count of the frame header (ITU-T T.81, B.2.2).
    """
    if encoded.startswith(b"\x89PNG"):
        return encoded[24:26] == b"\x08\x00"
    at = 2
    while at + 9 < len(encoded) and encoded[at] == 0xFF:
        marker, length = encoded[at + 1], int.from_bytes(encoded[at + 2 : at + 4], "big")
        if marker in range(0xC0, 0xD0) and marker not in (0xC4, 0xC8, 0xCC):
            return encoded[at + 4] == 8 and encoded[at + 9] == 1
        at += 2 + length
    return False


def ends_whole(encoded: bytes) -> bool:
    """Say whether bytes start as a PNG or JPEG does and hold its end marker at their end."""
    if encoded.startswith(b"\x89PNG\r\n\x1a\n"):
        return b"IEND" in encoded[-64:]
    return encoded.startswith(b"\xff\xd8") and b"\xff\xd9" in encoded[-1024:]


HARMLESS = re.compile(
    r"SOS parameters|ICC|JFIF revision|Adobe|extraneous bytes before marker 0x(?!d[0-9])"
)
"""What libjpeg warns of in headers, which are often odd while the picture is whole. Before a marker
from 0xd0 to 0xd9 it is the picture's own codes that are too many."""


def why_damaged(encoded: bytes) -> str | None:
    """Say what is wrong inside of an image that can be decoded, or None if nothing is known.

    A PNG that is damaged inside cannot be decoded: it has checksums. A JPEG has none, and is
    decoded whatever it holds. But where it is damaged its decoder loses its place, and in the end
    has too few codes or too many. So a lost sector is noticed, and of flipped bits that can be
    seen three in four (docs/data.md).
    """
    if not encoded.startswith(b"\xff\xd8"):
        return None
    try:
        # An eighth of the picture is quicker, and all of its codes are read.
        simplejpeg.decode_jpeg(encoded, "GRAY", min_height=1, min_width=1, min_factor=8)
    except ValueError as error:
        return None if HARMLESS.search(str(error)) else f"is damaged: {error}"
    return None
