"""Tokens: what is taken, and by how much clocks may differ."""

import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared.clock import LEEWAY
from shared.errors import CallError
from shared.tokens import ACCESS, REFRESH, Issuer, Verifier

KEY = Ed25519PrivateKey.generate()
PEM = serialization.Encoding.PEM
PUBLIC = KEY.public_key().public_bytes(PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
VERIFIER = Verifier(PUBLIC.decode())
ISSUER = Issuer(
    KEY.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()).decode()
)


def token(kind: str = ACCESS, algorithm: str = "EdDSA", key: Any = KEY, **claims: Any) -> str:
    now = int(time.time())
    whole = {"sub": "u", "did": "d", "gen": 3, "iat": now, "exp": now + 60, "jti": "j"} | claims
    given = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(given, key, algorithm=algorithm, headers={"typ": kind})


def outcome(text: str) -> str:
    try:
        VERIFIER.access(text)
    except CallError as refusal:
        return str(refusal.reason)
    return "ok"


def test_what_is_issued_is_taken() -> None:
    access = VERIFIER.access(ISSUER.access("u", "d", 3, ("admin",), 60))
    assert (access.uid, access.device, access.generation) == ("u", "d", 3)
    assert access.roles == ("admin",)
    assert access.expires - access.issued == 60
    refresh = VERIFIER.refresh(ISSUER.refresh("u", "d", 4, 60))
    assert (refresh.uid, refresh.device, refresh.generation) == ("u", "d", 4)


@pytest.mark.parametrize(
    ("by", "expected"),
    [(0, "ok"), (LEEWAY - 1, "ok"), (-LEEWAY + 1, "ok"), (LEEWAY + 5, "unavailable")],
)
def test_an_issuers_clock_may_differ(by: int, expected: str) -> None:
    now = int(time.time()) + by
    assert outcome(token(iat=now, exp=now + 60)) == expected
    assert outcome(token(iat=now, nbf=now, exp=now + 60)) == expected


@pytest.mark.parametrize(("ago", "expected"), [(LEEWAY - 2, "ok"), (LEEWAY + 2, "token_expired")])
def test_a_token_ends_by_whatever_clock(ago: int, expected: str) -> None:
    assert outcome(token(exp=int(time.time()) - ago, iat=0)) == expected


@pytest.mark.parametrize(
    "text",
    [
        token(REFRESH),
        token("JWT"),
        token(REFRESH, exp=1),
        token(REFRESH, iat=2**40),
        token(algorithm="none", key=None),
        token(algorithm="HS256", key="a secret that is long enough to be one, at last"),
        token(key=Ed25519PrivateKey.generate()),
        *(token(**{name: None}) for name in ("sub", "did", "gen", "iat", "exp", "jti")),
        *("", "x", "a.b.c", token()[:-4], token() + "x"),
    ],
)
def test_what_is_no_access_token(text: str) -> None:
    assert outcome(text) == "unauthenticated"


def test_only_ed25519_signs() -> None:
    public_as_secret = PUBLIC.decode().replace("-----", "")
    assert outcome(token(algorithm="HS512", key=public_as_secret)) == "unauthenticated"
