"""Identifiers: opaque, `[a-z0-9]{8,40}`, safe in keys, channels and URLs."""

import hashlib
import secrets

PATTERN = r"^[a-z0-9]{8,40}$"


def new_id() -> str:
    """A random id of 20 characters (80 bits)."""
    return secrets.token_hex(10)


def request_id() -> str:
    """A random id of 16 characters (64 bits), for one request of a client."""
    return secrets.token_hex(8)


def derived_id(*parts: str) -> str:
    """The id that these parts always give, so that a repeated command makes the same thing."""
    return hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:20]
