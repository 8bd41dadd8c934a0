"""Nothing secret is in the tree, nor where it was made; and what looks for it finds it."""

import base64
import random
import string
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from shared import secretfiles
from tests.leaks import ROOT, SIZE_LIMIT, Leak, kinds, scan

# Nothing here is written out: the scan reads this file too.
_LETTERS = string.ascii_letters + string.digits
_CHANCE = random.Random("planted")
_RANDOM = "random text under a secret's name"


def chance(length: int, alphabet: str = _LETTERS) -> str:
    return "".join(_CHANCE.choices(alphabet, k=length))


def pem(form: serialization.PrivateFormat, *, curve: bool = False) -> str:
    key = generate_private_key(SECP256R1()) if curve else Ed25519PrivateKey.generate()
    plain = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode()


PLANTED = {
    "PKCS8": ("private key", pem(serialization.PrivateFormat.PKCS8)),
    "EC": ("private key", pem(serialization.PrivateFormat.TraditionalOpenSSL, curve=True)),
    "OpenSSH": ("private key", pem(serialization.PrivateFormat.OpenSSH)),
    "PGP": ("private key", "-----BEGIN PGP " + "PRIVATE KEY BLOCK-----"),
    "in JSON": ("private key", '{"key": "-----BEGIN RSA ' + 'PRIVATE KEY-----\\nMII"}'),
    "in a Secret": (
        "private key, encoded",
        "  tls.key: " + base64.b64encode(pem(serialization.PrivateFormat.PKCS8).encode()).decode(),
    ),
    "AWS": ("AWS key", f"aws_access_key_id = AKIA{chance(16, string.ascii_uppercase)}"),
    "Google": ("Google key", f"maps.load('AIza{chance(35)}')"),
    "GitHub": ("GitHub token", f"git clone https://ghp_{chance(36)}@example.com/a"),
    "GitHub, fine-grained": ("GitHub token", f"# github_pat_{chance(60)}"),
    "GitLab": ("GitLab token", f"curl -H PRIVATE-TOKEN:glpat-{chance(20)}"),
    "Slack": ("Slack token", f"xoxb-{chance(12, string.digits)}-{chance(24)}"),
    "Stripe": ("Stripe key", f"stripe(sk_live_{chance(24)})"),
    "PyPI": ("PyPI token", f"twine upload -p pypi-AgE{chance(60)}"),
    "npm": ("npm token", f"//r.example.com/:_authToken=npm_{chance(36)}"),
    "Telegram": ("Telegram token", f"bot = {chance(9, '123456789')}:AA{chance(33)}"),
    "JWT": ("JSON web token", f"see eyJ{chance(30)}.eyJ{chance(60)}.{chance(43)}"),
    "content keys": ("content key", f"3:{chance(64, '0123456789abcdef')}"),
    "an address": ("password in an address", f"redis://app:{chance(9)}@valkey:6379/0"),
    "an environment": (_RANDOM, f"export DB_PASSWORD={chance(24)}"),
    "YAML": (_RANDOM, f"  metricsToken: {chance(32, '0123456789abcdef')}"),
    "JSON": (_RANDOM, f'{{"client_secret": "{chance(40)}"}}'),
    "Python": (_RANDOM, f'API_KEY = "{chance(32)}"'),
    "Python's dict": (_RANDOM, f"headers['X-Api-Key'] = '{chance(40)}'"),
    "home folder": ("home folder", "see /ho" + "me/alice/stonechat"),
    "root's": ("home folder", "LOG=/ro" + "ot/log"),
    "a Mac's": ("home folder", "/Us" + "ers/bob/code"),
    "registry": ("registry", "uv sync --index" + "-url https://packages.example.com/ x"),
    "mirror": ("registry", "UV_DEFAULT_" + "INDEX=https://packages.example.com"),
    "lock with addresses": ("registry", "x @ https://files.python" + "hosted.org/x.whl"),
}
INNOCENT = (
    'PASSWORD = "correct horse battery staple"',
    "token = Ed25519PrivateKey.generate().public_key()",
    'SIGNING_KEY = "stonechat-signing-key"',
    "-----BEGIN PUBLIC KEY-----",
    "    --hash=sha256:" + chance(64, "0123456789abcdef"),
    "STONECHAT_REDIS_URL=rediss://:PASSWORD@valkey.example.com:6379/0",
    "key = self.keys[message.conversation_id2]",
    "docker build -t registry.example.com/stonechat:1 .",
    "WORKDIR /home/app",
    "basic-auth-password: {secretName: basic-auth-password-of-the-gateway}",
)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def test_the_tree_has_none() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("no repository of git: what belongs to the tree is not known")
    assert list(map(str, scan(ROOT))) == []


@pytest.mark.parametrize("name", PLANTED)
def test_what_is_planted_is_found(repository: Path, name: str) -> None:
    kind, text = PLANTED[name]
    file = repository / "deep" / "notes.md"
    file.parent.mkdir()
    file.write_text(f"# Notes\n\n{text}\n")
    (leak,) = [each for each in scan(repository) if each.kind == kind]
    assert (leak.file, leak.line) == ("deep/notes.md", 3)
    for value in text.split():
        if len(value) > 15:
            assert value not in str(leak)


@pytest.mark.parametrize("number", range(len(INNOCENT)))
def test_what_only_looks_like_it_is_let_be(number: int) -> None:
    assert list(kinds(INNOCENT[number])) == []


@pytest.mark.parametrize(
    ("alphabet", "length"),
    [
        ("0123456789abcdef", 32),
        (_LETTERS, 24),
        (_LETTERS + "+/", 44),
        (string.ascii_lowercase + string.digits, 24),
        (string.ascii_uppercase + "234567", 32),
    ],
    ids=["hexadecimal", "base62", "base64", "base36", "base32"],
)
def test_hardly_anything_random_gets_by(alphabet: str, length: int) -> None:
    lines = [f'"token": "{chance(length, alphabet)}"' for _ in range(500)]
    missed = [line for line in lines if not list(kinds(line))]
    assert len(missed) <= 25


def test_every_secret_that_the_project_makes_is_one(repository: Path) -> None:
    private = set(secretfiles.create_missing(repository / "secrets"))
    private -= {secretfiles.SIGNING_PUBLIC, secretfiles.CONNECTOR_PUBLIC, secretfiles.GATEWAY_USER}
    for name in private:  # as it would be copied into a file of settings
        text = (repository / "secrets" / name).read_text()
        copied = text if "\n" in text.strip() or ":" in text else f"{name}={text}"
        (repository / f"{name}.txt").write_text(copied)
    assert {leak.file for leak in scan(repository)} >= {f"{name}.txt" for name in private}


def test_what_git_ignores_is_no_part_of_the_tree(repository: Path) -> None:
    (repository / ".gitignore").write_text("ignored\n")
    (repository / "ignored").write_text(PLANTED["PKCS8"][1])
    assert scan(repository) == []
    subprocess.run(["git", "add", "-f", "ignored"], cwd=repository, check=True)
    assert scan(repository) == [Leak("ignored", 1, "private key")]


def test_a_line_may_say_that_it_is_meant(repository: Path) -> None:
    (repository / "a.py").write_text(f"{PLANTED['Python'][1]}  # not a secret: of an example\n")
    assert scan(repository) == []


def test_bytes_between_and_files_too_large(repository: Path) -> None:
    (repository / "a.bin").write_bytes(b"\xff\x00\xfe\n" + PLANTED["AWS"][1].encode())
    (repository / "b.bin").write_bytes(bytes(SIZE_LIMIT + 1))
    (repository / "c.bin").write_bytes(bytes(SIZE_LIMIT))
    first, second = scan(repository)
    assert first == Leak("a.bin", 2, "AWS key")
    assert (second.file, second.line) == ("b.bin", 0)
