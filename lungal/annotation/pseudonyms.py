"""Names that say nothing: of films in a task, of readers in the log.

HMAC-SHA256 (RFC 2104) under a key of the project's own. A plain hash would not do: there are few
image_ids and few addresses, and whoever hashes them all has undone it.
"""

import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path

from lungal.annotation.credentials import write_private_once
from lungal.errors import PseudonymError

VARIABLE = "LUNGAL_PSEUDONYM_KEY"
KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
SHORTEST_KEY = 16
FILM_DIGITS, READER_DIGITS = 16, 8


class Pseudonyms:
    """Gives the same name for the same film or reader for as long as the key is the same.

    Args:
        key: secret; at least 16 bytes.

    Raises:
        PseudonymError: if the key is shorter.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) < SHORTEST_KEY:
            raise PseudonymError(
                f"a key for pseudonyms has at least {SHORTEST_KEY} characters, this one {len(key)}"
            )
        self._key = key

    def film(self, image_id: str) -> str:
        """Return "film-" and 16 hexadecimal digits."""
        return f"film-{self._digest('film', image_id)[:FILM_DIGITS]}"

    def reader(self, address: str) -> str:
        """Return "reader-" and 8 hexadecimal digits; upper and lower case are one address."""
        return f"reader-{self._digest('reader', address.strip().lower())[:READER_DIGITS]}"

    def _digest(self, domain: str, name: str) -> str:
        # The domain keeps a film and a reader of one name apart.
        return hmac.digest(self._key, f"{domain}\0{name}".encode(), "sha256").hex()


def load_pseudonyms(folder: Path | None, variables: Mapping[str, str]) -> Pseudonyms:
    """Return the pseudonyms of this project.

    The key is LUNGAL_PSEUDONYM_KEY, else the folder's file, which is drawn once. Without the key
    with which a film was queued its reading cannot be told from a stranger's: keep it.

    Args:
        folder: of the local server; None for a server elsewhere, whose readers are a team's.
        variables: the process environment.

    Raises:
        PseudonymError: if there is no folder and no variable, or the key is too short.
    """
    if given := variables.get(VARIABLE, "").strip():
        return Pseudonyms(given.encode())
    if folder is None:
        raise PseudonymError(
            f"no key for pseudonyms; set {VARIABLE} to a secret that all who queue and pull share, "
            'such as the output of: python -c "import secrets; print(secrets.token_hex(32))"'
        )
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = write_private_once(folder / KEY_FILE, secrets.token_hex(KEY_BYTES))
    return Pseudonyms(text.strip().encode())
