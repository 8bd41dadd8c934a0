"""Signed batches: taken once, by the function they are for, soon, and from a connector alone."""

import base64
import time
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from shared import secretfiles, signatures
from shared.errors import CallError
from shared.signatures import FRESH, Checker, Signer

BODY = b'[{"type":"message.send"}]'


class Pair:
    def __init__(self) -> None:
        private, self.public = secretfiles.signing_pair()
        self.signer = Signer(private)


@pytest.fixture(scope="module")
def pair() -> Pair:
    return Pair()


def refused(checker: Checker, function: str, header: str | None, body: bytes = BODY) -> str:
    with pytest.raises(CallError) as refusal:
        checker.check(function, header, body)
    return str(refusal.value.reason)


def test_what_a_connector_signed_is_taken_once(pair: Pair) -> None:
    checker, header = Checker(pair.public), pair.signer.sign("send", BODY)
    checker.check("send", header, BODY)
    assert refused(checker, "send", header) == "unauthenticated"
    checker.check("send", pair.signer.sign("send", BODY), BODY)


def test_each_function_takes_what_is_for_it(pair: Pair) -> None:
    header = pair.signer.sign("send", BODY)
    for name in ("sync", "Send", "sen", "send2", "", "send\n"):
        assert refused(Checker(pair.public), name, header) == "unauthenticated"
    Checker(pair.public).check("send", header, BODY)


@pytest.mark.parametrize("at", range(0, len(BODY), 5))
def test_a_body_that_was_changed_is_refused_and_spends_nothing(pair: Pair, at: int) -> None:
    checker, header = Checker(pair.public), pair.signer.sign("send", BODY)
    changed = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
    for body in (changed, BODY[:at], BODY + b" ", b""):
        assert refused(checker, "send", header, body) == "unauthenticated"
    checker.check("send", header, BODY)


@pytest.mark.parametrize("part", range(3))
def test_no_part_of_the_header_can_be_changed(pair: Pair, part: int) -> None:
    parts, others = (pair.signer.sign("send", BODY).split(" ") for _ in range(2))
    parts[0], others[0] = str(int(parts[0])), str(int(parts[0]) + 1)
    parts[part] = others[part]
    assert refused(Checker(pair.public), "send", " ".join(parts)) == "unauthenticated"


@pytest.mark.parametrize(
    ("seconds", "reason"),
    [
        (-FRESH - 1, "unavailable"),
        (FRESH + 1, "unavailable"),
        (-3600, "unavailable"),
        (-FRESH + 2, None),
        (FRESH - 2, None),
    ],
)
def test_clocks_may_differ_and_queues_may_wait_for_so_long(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, seconds: int, reason: str | None
) -> None:
    then = time.time_ns() + seconds * 1_000_000_000
    with monkeypatch.context() as patched:
        patched.setattr(signatures.time, "time_ns", lambda: then)
        header = pair.signer.sign("send", BODY)
    checker = Checker(pair.public)
    if reason is None:
        checker.check("send", header, BODY)
        assert refused(checker, "send", header) == "unauthenticated"
    else:
        assert refused(checker, "send", header) == reason


def test_a_nonce_is_remembered_for_as_long_as_its_batch_is_fresh(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    checker, start = Checker(pair.public), time.time_ns()
    clock = [start]
    monkeypatch.setattr(signatures.time, "time_ns", lambda: clock[0])
    clock[0] = start + FRESH * 1_000_000_000  # a connector whose clock is ahead
    header = pair.signer.sign("send", BODY)
    for seconds in range(0, 2 * FRESH + 1, 4):
        clock[0] = start + seconds * 1_000_000_000
        checker.check("send", pair.signer.sign("send", BODY), BODY)
        if seconds:
            assert refused(checker, "send", header) == "unauthenticated"
        else:
            checker.check("send", header, BODY)
    clock[0] = start + (2 * FRESH + 1) * 1_000_000_000
    assert refused(checker, "send", header) == "unavailable"


def test_keys_are_rotated_while_both_are_taken(pair: Pair) -> None:
    new, stranger = Pair(), Pair()
    both = Checker(pair.public + "\n" + new.public)
    for each in (pair, new):
        both.check("send", each.signer.sign("send", BODY), BODY)
    assert refused(both, "send", stranger.signer.sign("send", BODY)) == "unauthenticated"
    rest = Checker(new.public)
    assert refused(rest, "send", pair.signer.sign("send", BODY)) == "unauthenticated"
    rest.check("send", new.signer.sign("send", BODY), BODY)


SIGNATURE = base64.b64encode(b"s" * 64).decode()


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        " ",
        "  ",
        "Bearer x",
        "a b c",
        "NOW n",
        f"NOW n {SIGNATURE} x",
        f"NOW  n {SIGNATURE}",
        f"NOW n {SIGNATURE}",
        f"NOW n {SIGNATURE[:-4]}",
        "NOW n ====",
        "NOW n é",
        "NOW n \x00",
        f"-NOW n {SIGNATURE}",
        f"+NOW n {SIGNATURE}",
        f"NOW.5 n {SIGNATURE}",
        f"² n {SIGNATURE}",
        f"١٢ n {SIGNATURE}",
        f"{'9' * 10_000} n {SIGNATURE}",
        f"NOW {'n' * 100_000} {SIGNATURE}",
        f"NOW\tn\t{SIGNATURE}",
    ],
    ids=lambda header: repr(header)[:30],
)
def test_headers_of_nonsense_are_refused(pair: Pair, header: str | None) -> None:
    if header is not None:
        header = header.replace("NOW", str(time.time_ns() // 1_000_000))
    assert refused(Checker(pair.public), "send", header) == "unauthenticated"


def test_only_ed25519_signs_and_checks() -> None:
    rsa = generate_private_key(public_exponent=65537, key_size=2048)
    private = rsa.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    public = rsa.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(ValueError, match="Ed25519"):
        Signer(private)
    for pems in (public.decode(), Pair().public + public.decode()):
        with pytest.raises(ValueError, match="Ed25519"):
            Checker(pems)


@pytest.mark.parametrize("pems", ["", "no key", "-----BEGIN PUBLIC KEY-----\n", Any])
def test_a_file_without_a_key_is_said_to_be_one(pems: Any) -> None:
    text = secretfiles.signing_pair()[0] if pems is Any else pems
    with pytest.raises(ValueError, match="no public key"):
        Checker(text)


def test_connectors_and_sign_in_have_pairs_of_their_own(tmp_path: Any) -> None:
    made = secretfiles.create_missing(tmp_path)
    assert secretfiles.create_missing(tmp_path) == []
    assert {secretfiles.SIGNING_KEY, secretfiles.CONNECTOR_KEY, secretfiles.METRICS_TOKEN} <= set(
        made
    )
    read = secretfiles.read
    header = Signer(read(tmp_path, secretfiles.CONNECTOR_KEY)).sign("send", BODY)
    Checker(read(tmp_path, secretfiles.CONNECTOR_PUBLIC)).check("send", header, BODY)
    tokens = Checker(read(tmp_path, secretfiles.SIGNING_PUBLIC))
    assert refused(tokens, "send", header) == "unauthenticated"
