"""Secrets are files: `/var/openfaas/secrets/NAME`, or a local twin of that folder.

`SECRETS` says of each what it is and reads it. There is no default for any of them.
`create_missing` makes what is not there, each in a file that only its owner reads; nothing else
ever writes a secret. `python -m shared.secretfiles DIRECTORY` does it for a cluster, whose secrets
are made from the files.
"""

import os
import secrets
import stat
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared import secretforms
from shared.findings import Finding, error, serious, warning

SIGNING_KEY = "stonechat-signing-key"
SIGNING_PUBLIC = "stonechat-signing-public"
CONNECTOR_KEY = "stonechat-connector-key"
CONNECTOR_PUBLIC = "stonechat-connector-public"
METRICS_TOKEN = "stonechat-metrics-token"  # noqa: S105 (a file's name)
CONTENT_KEYS = "stonechat-content-keys"
GATEWAY_USER = "basic-auth-user"
GATEWAY_PASSWORD = "basic-auth-password"  # noqa: S105 (a file's name)


_SIZE_LIMIT = 1024 * 1024  # bytes, as Kubernetes


class Secret(NamedTuple):
    """`parse` raises `ValueError`, and is what whoever uses the secret reads it with."""

    name: str
    form: str
    parse: Callable[[str], Any]
    about: str
    make: str = "python -m shared.secretfiles DIRECTORY"


SECRETS = {
    each.name: each
    for each in (
        Secret(
            SIGNING_KEY,
            "an Ed25519 private key, PEM",
            secretforms.private_key,
            "signs the tokens of who signed in",
        ),
        Secret(
            SIGNING_PUBLIC,
            "one or more Ed25519 public keys, PEM",
            secretforms.public_keys,
            "a token that one of them signed is good",
        ),
        Secret(
            CONNECTOR_KEY,
            "an Ed25519 private key, PEM",
            secretforms.private_key,
            "signs all that functions execute",
        ),
        Secret(
            CONNECTOR_PUBLIC,
            "one or more Ed25519 public keys, PEM",
            secretforms.public_keys,
            "what one of them signed is executed",
        ),
        Secret(
            METRICS_TOKEN,
            f"tokens, one a line, each of {secretforms.TOKEN_LENGTH} or more ASCII characters",
            secretforms.tokens,
            "any of them opens a function's metrics",
        ),
        Secret(
            CONTENT_KEYS,
            "VERSION:HEX a line, the version from 1 to 65535, the key 32 random bytes",
            secretforms.content_keys,
            "the highest version encrypts what is written, all decrypt",
        ),
        Secret(
            GATEWAY_USER,
            "a name without a colon",
            secretforms.user,
            "the gateway's own",
            "as the gateway has it",
        ),
        Secret(
            GATEWAY_PASSWORD,
            f"a line of {secretforms.PASSWORD_LENGTH} or more characters",
            secretforms.password,
            "the gateway's own",
            "as the gateway has it",
        ),
    )
}

# A private key and the file that must have its public half, where both are there.
_PAIRS = ((SIGNING_KEY, SIGNING_PUBLIC), (CONNECTOR_KEY, CONNECTOR_PUBLIC))


class SecretMissingError(RuntimeError):
    """A secret's file is not there, is empty or cannot be read: the process must not start."""

    plain = True


def read(directory: Path, name: str) -> str:
    """The secret without surrounding white space. Raises `SecretMissingError`."""
    try:
        with (directory / name).open("rb") as file:
            text = file.read(_SIZE_LIMIT + 1).decode().strip()
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError:
        raise SecretMissingError(f"secret {name!r} in {directory} is not text in UTF-8") from None
    except OSError as failure:
        why = failure.strerror or type(failure).__name__
        raise SecretMissingError(f"secret {name!r} in {directory} cannot be read: {why}") from None
    if not text:
        raise SecretMissingError(f"secret {name!r} is missing or empty in {directory}")
    if len(text) > _SIZE_LIMIT:
        raise SecretMissingError(f"secret {name!r} in {directory} is longer than 1 MiB")
    return text


def examine(directory: Path, needed: Iterable[str]) -> list[Finding]:
    """What is wrong with the secrets that are needed, and with those that are there."""
    wanted, found = set(needed), []
    parsed: dict[str, Any] = {}
    for secret in SECRETS.values():
        if secret.name not in wanted and not os.path.lexists(directory / secret.name):
            continue
        try:
            parsed[secret.name] = secret.parse(read(directory, secret.name))
        except SecretMissingError as failure:
            found.append(error(secret.name, f"{failure}; expected {secret.form}"))
        except ValueError as failure:
            found.append(error(secret.name, f"{failure}; expected {secret.form}"))
    for private, public in _PAIRS:
        if (
            private in parsed
            and public in parsed
            and parsed[private].public_key() not in parsed[public]
        ):
            found.append(error(public, f"has not the public half of {private}; expected it there"))
    if seen := _seen_by_all(directory, parsed):
        names = ", ".join(seen)
        found.append(warning(names, "everybody on this machine may read it; expected mode 0600"))
    return found


def _seen_by_all(directory: Path, names: Iterable[str]) -> Sequence[str]:
    return [name for name in names if (directory / name).stat().st_mode & stat.S_IROTH]


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
    folder = Path(sys.argv[1])
    try:
        for name in create_missing(folder):
            print(name)
    except OSError as failure:
        print(f"error: {folder}: {failure.strerror}", file=sys.stderr)
        return 2
    found = examine(folder, SECRETS)
    for each in found:
        print(f"{each.level}: {each}", file=sys.stderr)
    return 2 if serious(found) else 0


if __name__ == "__main__":
    sys.exit(main())
