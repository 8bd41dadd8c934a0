"""Secrets are files: `/var/openfaas/secrets/NAME`, or a local twin of that folder.

- `stonechat-signing-key`: Ed25519 private key, PEM. Only `auth` reads it.
- `stonechat-signing-public`: one or more Ed25519 public keys, PEM. Whoever verifies tokens.
- `stonechat-connector-key`: Ed25519 private key, PEM, that signs what functions execute (see
  `signatures`). Only connectors read it.
- `stonechat-connector-public`: one or more Ed25519 public keys, PEM, to check that with. Functions.
- `stonechat-metrics-token`: tokens, one a line, any of which opens a function's metrics. Functions
  and who collects their metrics.
- `stonechat-content-keys`: `VERSION:HEX` a line, 32 bytes each; the highest version encrypts, all
  decrypt. Functions with the log.
- `basic-auth-user`, `basic-auth-password`: the gateway's. The connector.

There is no default for any of them. `create_missing` makes what is not there, each in a file that
only its owner reads; nothing else ever writes a secret. `python -m shared.secretfiles DIRECTORY`
does it for a cluster, whose secrets are made from the files.
"""

import os
import secrets
import sys
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

SIGNING_KEY = "stonechat-signing-key"
SIGNING_PUBLIC = "stonechat-signing-public"
CONNECTOR_KEY = "stonechat-connector-key"
CONNECTOR_PUBLIC = "stonechat-connector-public"
METRICS_TOKEN = "stonechat-metrics-token"  # noqa: S105 (a file's name)
CONTENT_KEYS = "stonechat-content-keys"
GATEWAY_USER = "basic-auth-user"
GATEWAY_PASSWORD = "basic-auth-password"  # noqa: S105 (a file's name)


class SecretMissingError(RuntimeError):
    """A secret's file is not there or empty: the process must not start."""

    plain = True


def read(directory: Path, name: str) -> str:
    """The secret without surrounding white space. Raises `SecretMissingError`."""
    try:
        text = (directory / name).read_text().strip()
    except FileNotFoundError:
        text = ""
    if not text:
        raise SecretMissingError(f"secret {name!r} is missing or empty in {directory}")
    return text


def create_missing(directory: Path) -> list[str]:
    """Makes the secrets that are not there, and returns their names."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    created = []

    def put(name: str, text: str) -> None:
        if not (directory / name).exists():
            write(directory, name, text)
            created.append(name)

    for key, its_public in (
        (SIGNING_KEY, SIGNING_PUBLIC),
        (CONNECTOR_KEY, CONNECTOR_PUBLIC),
    ):
        if not (directory / key).exists():
            private, public = signing_pair()
            write(directory, its_public, public)
            put(key, private)
    put(METRICS_TOKEN, secrets.token_urlsafe(32))
    put(CONTENT_KEYS, f"1:{secrets.token_hex(32)}")
    put(GATEWAY_USER, "admin")
    put(GATEWAY_PASSWORD, secrets.token_urlsafe(24))
    return created


def signing_pair() -> tuple[str, str]:
    """A new Ed25519 key pair (RFC 8032) as PEM: private, public."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return private.decode(), public.decode()


def write(directory: Path, name: str, text: str) -> None:
    """Writes the file whole or not at all, readable by its owner only."""
    temporary = directory / f".{name}.{os.getpid()}"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text + "\n")
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(directory / name)


def main() -> int:
    if len(sys.argv) != 2:
        print("usage: python -m shared.secretfiles DIRECTORY", file=sys.stderr)
        return 2
    for name in create_missing(Path(sys.argv[1])):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
