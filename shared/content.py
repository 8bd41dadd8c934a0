"""Contents encrypted at rest: AES-256-GCM under a versioned key from a secret file.

Each conversation has a key of its own, derived from the master key of a version by HMAC-SHA256
(a KDF in the sense of NIST SP 800-108), so the limit of 2^32 random nonces a key (SP 800-38D)
holds for one conversation and not for the whole house. What is encrypted is bound to its place by
the associated data: a ciphertext moved to another entry does not open.

Sealed: `version (2 bytes, big-endian) | nonce (12) | ciphertext and tag`.
"""

import hmac
import os
from functools import cache, lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared import secretfiles, secretforms
from shared.settings import settings

_HEADER = 2 + 12


class ContentUnreadableError(RuntimeError):
    """The content was sealed under a key that is not here, or was tampered with."""


class Keyring:
    """Seals under the newest key and opens under any that is still kept."""

    def __init__(self, keys: dict[int, bytes]) -> None:
        if not keys or any(len(key) != 32 for key in keys.values()):
            raise ValueError("content keys are 32 bytes each, and there is at least one")
        self._keys = keys
        self._newest = max(keys)
        self._cipher = lru_cache(maxsize=4096)(self._derive)

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """From `VERSION:HEX` lines."""
        return cls(secretforms.content_keys(text))

    def seal(self, scope: str, place: str, content: bytes) -> bytes:
        """Encrypts under the newest key of `scope`; `place` must be given again to open."""
        nonce = os.urandom(12)
        sealed = self._cipher(self._newest, scope).encrypt(nonce, content, place.encode())
        return self._newest.to_bytes(2, "big") + nonce + sealed

    def open(self, scope: str, place: str, sealed: bytes) -> bytes:
        """The content again. Raises `ContentUnreadableError`."""
        version = int.from_bytes(sealed[:2], "big")
        if version not in self._keys:
            raise ContentUnreadableError(f"content key {version} is not in the secret file")
        try:
            cipher = self._cipher(version, scope)
            return cipher.decrypt(sealed[2:_HEADER], sealed[_HEADER:], place.encode())
        except InvalidTag:
            raise ContentUnreadableError("content does not belong here or was changed") from None

    def _derive(self, version: int, scope: str) -> AESGCM:
        return AESGCM(hmac.digest(self._keys[version], f"content|{scope}".encode(), "sha256"))


@cache
def keyring() -> Keyring:
    """This process's keyring, from its secret file."""
    return Keyring.parse(secretfiles.read(settings().secrets_dir, secretfiles.CONTENT_KEYS))
