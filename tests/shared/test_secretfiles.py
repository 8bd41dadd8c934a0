"""Secrets of any content: what the look at start lets pass, those who use it can read, and what it
says never holds a secret."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import secretfiles, secretforms
from shared.content import Keyring
from shared.findings import Finding
from shared.signatures import Checker, Signer
from shared.tokens import Issuer, Verifier

USES: dict[str, Callable[[str], Any]] = {
    secretfiles.SIGNING_KEY: Issuer,
    secretfiles.SIGNING_PUBLIC: Verifier,
    secretfiles.CONNECTOR_KEY: Signer,
    secretfiles.CONNECTOR_PUBLIC: Checker,
    secretfiles.CONTENT_KEYS: Keyring.parse,
    secretfiles.METRICS_TOKEN: secretforms.tokens,
    secretfiles.GATEWAY_USER: secretforms.user,
    secretfiles.GATEWAY_PASSWORD: secretforms.password,
}
NAMES = sorted(secretfiles.SECRETS)


@pytest.fixture(scope="module")
def good() -> dict[str, bytes]:
    """A whole set of secrets."""
    with tempfile.TemporaryDirectory() as folder:
        secretfiles.create_missing(Path(folder))
        return {name: (Path(folder) / name).read_bytes() for name in NAMES}


def look(content: dict[str, bytes]) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        for name, each in content.items():
            secretfiles.write(Path(folder), name, "")
            (Path(folder) / name).write_bytes(each)
        return secretfiles.examine(Path(folder), NAMES)


def test_what_is_made_is_good(good: dict[str, bytes]) -> None:
    assert set(USES) == set(NAMES)
    assert look(good) == []
    assert look({name: b"\r\n " + each + b"\n\n" for name, each in good.items()}) == []


@st.composite
def corruptions(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """What can happen to a file."""
    kind = draw(st.sampled_from(["cut", "flip", "insert", "twice", "upper", "other", "joined"]))
    place, byte = draw(st.integers(0, 10_000)), draw(st.integers(0, 255))
    other = draw(st.binary(max_size=100))

    def corrupt(content: bytes) -> bytes:
        at = place % max(1, len(content))
        match kind:
            case "cut":
                return content[:at]
            case "flip":
                return content[:at] + bytes([byte]) + content[at + 1 :]
            case "insert":
                return content[:at] + other + content[at:]
            case "twice":
                return content + content
            case "upper":
                return content.swapcase()
            case "joined":
                return content.replace(b"\n", b"")
        return other

    return corrupt


@given(name=st.sampled_from(NAMES), corrupt=corruptions())
def test_what_passes_can_be_used_and_what_does_not_is_one_line(
    good: dict[str, bytes], name: str, corrupt: Callable[[bytes], bytes]
) -> None:
    changed = good | {name: corrupt(good[name])}
    found = look(changed)
    for each in found:
        assert each.level == "error"
        assert str(each).splitlines() == [str(each)]
        for content in changed.values():
            for word in content.decode(errors="replace").split():
                assert len(word) < 12 or word in "stonechat private" or word not in str(each)
    if not found:
        USES[name](changed[name].decode().strip())


BROKEN = {
    secretfiles.SIGNING_KEY: (b"a key", b"-----BEGIN PRIVATE KEY-----\n"),  # not a secret: no key
    secretfiles.CONNECTOR_KEY: (b"\0", b"-----BEGIN PRIVATE KEY-----\nA\n"),  # not a secret: none
    secretfiles.SIGNING_PUBLIC: (b"a key", b"-----END PUBLIC KEY-----"),
    secretfiles.CONNECTOR_PUBLIC: (b"1", b"-----BEGIN PUBLIC KEY-----\n"),
    secretfiles.METRICS_TOKEN: (b"short", "schlüsselschlüssel".encode()),
    secretfiles.CONTENT_KEYS: (
        b"3:zz",
        b"0:" + b"1234567890abcdef" * 4,
        b"65536:" + b"1234567890abcdef" * 4,
        b"1:" + b"1234567890abcdef" * 4 + b"\n1:" + b"234567890abcdef1" * 4,
        b"1:" + b"00" * 32,
        "１:".encode() + b"1234567890abcdef" * 4,
    ),
    secretfiles.GATEWAY_USER: (b"a:b", b"a\nb"),
    secretfiles.GATEWAY_PASSWORD: (b"short", b"two lines\nof it"),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_secret_has_forms_that_are_refused(good: dict[str, bytes], name: str) -> None:
    for content in (*BROKEN[name], b"", b" \n", b"\xff\xfe\xfd", b"x" * (1024 * 1024 + 1)):
        found = look(good | {name: content})
        assert {each.subject for each in found} == {name}, content[:40]
        assert secretfiles.SECRETS[name].form in str(found[0])


def test_keys_that_do_not_belong_together_are_told(good: dict[str, bytes]) -> None:
    changed = good | {secretfiles.CONNECTOR_KEY: good[secretfiles.SIGNING_KEY]}
    (found,) = look(changed)
    assert found.subject == secretfiles.CONNECTOR_PUBLIC
    both = good[secretfiles.SIGNING_PUBLIC] + good[secretfiles.CONNECTOR_PUBLIC]
    assert look(changed | {secretfiles.CONNECTOR_PUBLIC: both}) == []


def test_files_that_are_none_and_files_for_all(good: dict[str, bytes], tmp_path: Path) -> None:
    secretfiles.create_missing(tmp_path)
    (tmp_path / secretfiles.CONTENT_KEYS).unlink()
    (tmp_path / secretfiles.CONTENT_KEYS).mkdir()
    (tmp_path / secretfiles.METRICS_TOKEN).unlink()
    (tmp_path / secretfiles.METRICS_TOKEN).symlink_to(tmp_path / "nowhere")
    os.chmod(tmp_path / secretfiles.SIGNING_KEY, 0o644)
    found = secretfiles.examine(tmp_path, [])
    told = {each.subject: each.level for each in found}
    assert told == {
        secretfiles.METRICS_TOKEN: "error",
        secretfiles.CONTENT_KEYS: "error",
        secretfiles.SIGNING_KEY: "warning",
    }
    assert secretfiles.examine(tmp_path / "none", []) == []
    assert len(secretfiles.examine(tmp_path / "none", NAMES)) == len(NAMES)
