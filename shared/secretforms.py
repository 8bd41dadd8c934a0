"""What is in secrets, read: each form's parser, used wherever such a secret is.

All raise `ValueError` with a line that says what is wrong and never what was there.
"""

import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

TOKEN_LENGTH = 16  # characters at least
PASSWORD_LENGTH = 8
_VERSIONS = 2**16 - 1  # what is sealed has two bytes for it
_VARIETY = 8  # different bytes in a key of 32: fewer are no accident
_PEM_END = "-----END PUBLIC KEY-----"
_KEY_LINE = re.compile(r"([0-9]{1,5}):([0-9A-Fa-f]{64})", re.ASCII)


def private_key(text: str) -> Ed25519PrivateKey:
    """An Ed25519 private key in PEM."""
    try:
        key = serialization.load_pem_private_key(text.encode(), password=None)
    except TypeError:
        raise ValueError("is encrypted with a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no private key in PEM") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is a private key, but not Ed25519")
    return key


def public_keys(text: str) -> list[Ed25519PublicKey]:
    """One or more Ed25519 public keys in PEM."""
    if "PRIVATE KEY" in text:
        raise ValueError("has no public key but a private one")
    *parts, rest = text.split(_PEM_END)
    if rest.strip():
        raise ValueError("ends with something that is no public key in PEM")
    keys = []
    for number, part in enumerate(parts, 1):
        try:
            key = serialization.load_pem_public_key((part.strip() + "\n" + _PEM_END).encode())
        except (ValueError, UnsupportedAlgorithm):
            raise ValueError(f"has no public key in PEM in place {number}") from None
        if not isinstance(key, Ed25519PublicKey):
            raise ValueError(f"has a public key in place {number} that is not Ed25519")
        keys.append(key)
    if not keys:
        raise ValueError("has no public key")
    return keys


def content_keys(text: str) -> dict[int, bytes]:
    """Versions and their keys."""
    keys: dict[int, bytes] = {}
    for number, line in enumerate(text.split(), 1):
        found = _KEY_LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"has no VERSION:HEX of 64 digits in line {number}")
        version, key = int(found[1]), bytes.fromhex(found[2])
        if not 1 <= version <= _VERSIONS:
            raise ValueError(f"has a version in line {number} that is not from 1 to {_VERSIONS}")
        if version in keys:
            raise ValueError(f"has version {version} twice")
        if len(set(key)) < _VARIETY:
            raise ValueError(f"has a key in line {number} that is not random")
        keys[version] = key
    if not keys:
        raise ValueError("has no key")
    return keys


def tokens(text: str) -> list[bytes]:
    """Tokens, one a line."""
    found = text.split()
    for number, token in enumerate(found, 1):
        if not (token.isascii() and token.isprintable()):
            raise ValueError(f"has a token in line {number} that is not ASCII")
        if len(token) < TOKEN_LENGTH:
            raise ValueError(f"has a token in line {number} that is too short")
    if not found:
        raise ValueError("has no token")
    return [token.encode() for token in found]


def user(text: str) -> str:
    """A name for basic authentication."""
    if ":" in text or not text.isprintable():
        raise ValueError("is no user's name: it has a colon, or several lines")
    return text


def password(text: str) -> str:
    """A password for basic authentication."""
    if not text.isprintable():
        raise ValueError("has several lines, or what cannot be printed")
    if len(text) < PASSWORD_LENGTH:
        raise ValueError("is too short")
    return text
