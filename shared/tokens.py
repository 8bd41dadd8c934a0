"""Tokens: who calls.

Access tokens are JWTs (RFC 7519) signed with EdDSA (RFC 8037) that anyone with the public key
checks without a call; header `typ` tells them from refresh tokens (as RFC 9068 does). Both carry
the generation of their device's tokens: refreshing raises it, so a token used twice shows.
The metrics token is a shared secret of functions and of who collects their metrics.
"""

import hmac
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jwt

from shared import clock, secretfiles, secretforms
from shared.errors import CallError, Reason
from shared.ids import new_id
from shared.settings import settings

ACCESS = "at+jwt"
REFRESH = "rt+jwt"


@dataclass(frozen=True, slots=True)
class Access:
    """What a valid access token says. Times are UTC seconds."""

    uid: str
    device: str
    generation: int
    issued: int
    expires: int
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refresh:
    uid: str
    device: str
    generation: int


class Issuer:
    """Signs tokens. Only `auth` holds the key for it."""

    def __init__(self, private_pem: str) -> None:
        self._key = secretforms.private_key(private_pem)

    def access(
        self, uid: str, device: str, generation: int, roles: Sequence[str], lifetime: int
    ) -> str:
        now = int(time.time())
        claims = {
            "sub": uid,
            "did": device,
            "gen": generation,
            "iat": now,
            "exp": now + lifetime,
            "jti": new_id(),
            "roles": list(roles),
        }
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": ACCESS})

    def refresh(self, uid: str, device: str, generation: int, lifetime: int) -> str:
        now = int(time.time())
        claims = {"sub": uid, "did": device, "gen": generation, "iat": now, "exp": now + lifetime}
        return jwt.encode(claims, self._key, algorithm="EdDSA", headers={"typ": REFRESH})


class Verifier:
    """Checks tokens against one or more public keys, so that keys can be rotated."""

    def __init__(self, public_pems: str) -> None:
        self._keys = secretforms.public_keys(public_pems)

    def access(self, token: str) -> Access:
        """Raises `unauthenticated`; where nothing else is wrong, `token_expired`, or `unavailable`
        for one that was issued in the future, since then a clock is wrong and not its bearer."""
        claims = self._claims(token, ACCESS, ["sub", "did", "gen", "exp", "iat", "jti"])
        return Access(
            claims["sub"],
            claims["did"],
            claims["gen"],
            claims["iat"],
            claims["exp"],
            tuple(claims.get("roles", ())),
        )

    def refresh(self, token: str) -> Refresh:
        """Raises as `access` does."""
        claims = self._claims(token, REFRESH, ["sub", "did", "exp", "iat", "gen"])
        return Refresh(claims["sub"], claims["did"], claims["gen"])

    def _claims(self, token: str, kind: str, required: list[str]) -> dict[str, Any]:
        refused = CallError(Reason.UNAUTHENTICATED, "the token is not valid")
        for key in self._keys:
            try:
                found: dict[str, Any] = jwt.decode_complete(
                    token,
                    key,
                    algorithms=["EdDSA"],
                    options={"require": required},
                    leeway=clock.LEEWAY,
                )
            except jwt.InvalidSignatureError:
                continue
            except (jwt.ExpiredSignatureError, jwt.ImmatureSignatureError) as untimely:
                if jwt.get_unverified_header(token).get("typ") != kind:
                    raise refused from None
                if isinstance(untimely, jwt.ExpiredSignatureError):
                    raise CallError(Reason.TOKEN_EXPIRED) from None
                raise CallError(Reason.UNAVAILABLE, "clocks differ", retry_after=1) from None
            except jwt.PyJWTError:
                raise refused from None
            if found["header"].get("typ") != kind:
                raise refused
            claims: dict[str, Any] = found["payload"]
            return claims
        raise refused


@cache
def verifier() -> Verifier:
    return Verifier(secretfiles.read(settings().secrets_dir, secretfiles.SIGNING_PUBLIC))


@cache
def issuer() -> Issuer:
    return Issuer(secretfiles.read(settings().secrets_dir, secretfiles.SIGNING_KEY))


@cache
def _metrics_tokens() -> list[bytes]:
    return secretforms.tokens(secretfiles.read(settings().secrets_dir, secretfiles.METRICS_TOKEN))


def is_metrics_token(token: str) -> bool:
    """Compared in constant time."""
    given = token.encode()
    return sum(hmac.compare_digest(given, known) for known in _metrics_tokens()) > 0


def bearer(header: str | None) -> str:
    """The token of an `Authorization: Bearer …` header. Raises `unauthenticated`."""
    scheme, _, token = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise CallError(Reason.UNAUTHENTICATED)
    return token.strip()
