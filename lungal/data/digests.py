"""Digests: a short key for all that a result depends on, and the SHA-256 of a file."""

import hashlib
import json
from pathlib import Path


def hash_json(value: object, digits: int = 16) -> str:
    """Return hexadecimal digits that stand for a JSON value; the order of names does not matter.

    Kept campaigns, searches and features are found again by such keys: another spelling of the
    value, or one more default, is another key.

    Args:
        value: of what JSON has; a tuple is the list of the same values.
        digits: how many of the 64 that a SHA-256 has.
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:digits]


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
