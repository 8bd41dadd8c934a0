"""What connectors sign, so that functions execute only what comes from them.

The gateway's address is open to whoever reaches it. A connector therefore signs each batch
(Ed25519, RFC 8032), and functions hold the public key alone: who steals a function's secrets can
call nothing in another's name. Signed are the function's name, the body's SHA-256, the time and a
nonce, so a batch cannot be handed to another function, nor to the same one again.

    Stonechat-Signature: TIME NONCE BASE64

TIME is UTC milliseconds. A batch older than `FRESH` seconds is refused with `unavailable`: it may
have waited in a queue, and its sender signs it anew.
"""

import base64
import hashlib
import secrets
import threading
import time
from functools import cache

from cryptography.exceptions import InvalidSignature

from shared import clock, secretfiles, secretforms
from shared.errors import CallError, Reason
from shared.settings import settings

HEADER = "Stonechat-Signature"
FRESH = 15 + clock.LEEWAY  # seconds
_NONCES = 200_000  # remembered at most, some ten thousand batches a second


class Signer:
    """A connector's. Raises `ValueError` where the key is not Ed25519."""

    def __init__(self, private_pem: str) -> None:
        self._key = secretforms.private_key(private_pem)

    def sign(self, function: str, body: bytes) -> str:
        """The header's value for a batch to this function, as of now."""
        now, nonce = time.time_ns() // 1_000_000, secrets.token_hex(12)
        signature = self._key.sign(_text(function, body, str(now), nonce))
        return f"{now} {nonce} {base64.b64encode(signature).decode()}"


class Checker:
    """A function's. It takes what any of the keys signed, so that keys can be rotated."""

    def __init__(self, public_pems: str) -> None:
        self._keys = secretforms.public_keys(public_pems)
        self._seen: dict[str, int] = {}  # nonce → when it was signed, ms, oldest first
        self._lock = threading.Lock()

    def check(self, function: str, header: str | None, body: bytes) -> None:
        """Raises `unauthenticated` for what no connector signed for this function or what came
        before, and `unavailable` for what is too old."""
        parts = (header or "").split(" ")
        if len(parts) != 3 or not (parts[0].isascii() and parts[0].isdigit()):
            raise CallError(Reason.UNAUTHENTICATED, "not signed by a connector")
        sent, nonce, signature = parts
        if not self._is_signed(_text(function, body, sent, nonce), signature):
            raise CallError(Reason.UNAUTHENTICATED, "not signed by a connector for this function")
        now = time.time_ns() // 1_000_000
        if abs(now - int(sent)) > FRESH * 1000:
            raise CallError(Reason.UNAVAILABLE, "signed too long ago, or clocks differ")
        if not self._is_first(nonce, now):
            raise CallError(Reason.UNAUTHENTICATED, "came before")

    def _is_signed(self, text: bytes, signature: str) -> bool:
        try:
            given = base64.b64decode(signature, validate=True)
        except ValueError:
            return False
        for key in self._keys:
            try:
                key.verify(given, text)
            except InvalidSignature:
                continue
            return True
        return False

    def _is_first(self, nonce: str, now: int) -> bool:
        with self._lock:
            if nonce in self._seen:
                return False
            self._seen[nonce] = now
            oldest = next(iter(self._seen))
            # Twice as long as anything is fresh: clocks may be ahead or behind.
            if now - self._seen[oldest] > 2 * FRESH * 1000 or len(self._seen) > _NONCES:
                del self._seen[oldest]
            return True


def _text(function: str, body: bytes, sent: str, nonce: str) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return f"stonechat batch\n{function}\n{digest}\n{sent}\n{nonce}".encode()


@cache
def checker() -> Checker:
    """This process's, with the keys of its secret file."""
    return Checker(secretfiles.read(settings().secrets_dir, secretfiles.CONNECTOR_PUBLIC))
