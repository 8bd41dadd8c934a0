"""What processes say of settings and secrets that make no sense, before they do anything."""

import logging
import os
import subprocess
import sys
from pathlib import Path
from unittest import mock

import httpx
import orjson
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from pymongo import MongoClient

from connector.peers import Peers
from local import ports
from local.layout import ROOT
from shared import secretfiles, startup, variables
from shared.contradictions import RULES
from shared.findings import Finding
from shared.settings import Settings

INDEX = ROOT / "template" / "stonechat" / "index.py"
PASSWORD = "hunter2hunter2"

# Many things at once: a start costs more than a line.
WRONG = {
    "REDIS_URL": f"redis://:{PASSWORD}@",
    "MONGO_URL": "bar",
    "S3_URL": "127.0.0.1:18333",
    "GATEWAY_URL": "ftp://gateway",
    "TRUSTED_PROXIES": "10.0.0.0/99",
    "LOG_LEVEL": "loud",
    "LOG_QUOTES": "perhaps",
    "CONNECTOR_PORT": "tcp://10.0.0.1:8001",
    "CONNECTOR_HOST": "a host",
    "STORE_TIMEOUT": "inf",
    "LANES": "0",
    "LANE_QUEUE": "99999999999",
    "PASSWORD_MIN": "8.5",
    "REGISTRATION": "",
    "ROUTES_FILE": "/nonexistent.json",
    "BODY_LIMIT": "65537",  # no frame has room for it
}
MODULES = ["connector", "shared.invites", "shared.deadletters", "local"]
ARGUMENTS = {"shared.invites": ["list"], "local": ["up"]}


def run(command: list[str], folder: Path, **more: str) -> tuple[int, list[str]]:
    """The exit code, and all lines that were printed."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    ended = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=mine
        | {"PYTHONPATH": str(ROOT), "PORT": str(ports.free_port())}
        | {f"STONECHAT_{key}": more[key] for key in more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )
    return ended.returncode, [
        str(orjson.loads(line)["why"]) if line.startswith("{") else line
        for line in ended.stdout.splitlines()
    ]


@pytest.mark.parametrize("module", MODULES)
def test_all_that_is_wrong_is_told_at_once(module: str, tmp_path: Path) -> None:
    command = ["-m", module, *ARGUMENTS.get(module, [])]
    code, lines = run(command, tmp_path, **WRONG, REDIS_URI="redis://x")
    assert code == startup.REFUSED
    for name in WRONG:
        (line,) = [each for each in lines if f"STONECHAT_{name}: " in each]
        assert "expected" in line
    (line,) = [each for each in lines if "STONECHAT_REDIS_URI" in each]
    assert "did you mean STONECHAT_REDIS_URL?" in line
    assert not any("Traceback" in line or PASSWORD in line for line in lines)


@pytest.mark.parametrize("command", [["-m", "connector"], [str(INDEX)]], ids=["connector", "auth"])
def test_no_process_starts_with_secrets_that_are_none(command: list[str], tmp_path: Path) -> None:
    for name in secretfiles.SECRETS:
        secretfiles.write(tmp_path, name, PASSWORD if "gateway" in name else f"3:{PASSWORD}\n5")
    environment = {"SECRETS_DIR": str(tmp_path), "FUNCTION_HOST": "127.0.0.1"}
    os.environ["FUNCTION_DIR"] = str(ROOT / "functions" / "auth")
    try:
        code, lines = run(command, tmp_path, **environment)
    finally:
        del os.environ["FUNCTION_DIR"]
    assert code == startup.REFUSED
    told = [name for name in secretfiles.SECRETS if any(f"{name}: " in line for line in lines)]
    assert told == list(secretfiles.SECRETS)
    assert len(lines) == len(told)
    assert not any("Traceback" in line or PASSWORD in line for line in lines)


def test_a_function_says_what_it_lacks_beside_wrong_settings(tmp_path: Path) -> None:
    os.environ["FUNCTION_DIR"] = str(ROOT / "functions" / "send")
    try:
        code, lines = run([str(INDEX)], tmp_path, MONGO_URL="bar", SECRETS_DIR=str(tmp_path))
    finally:
        del os.environ["FUNCTION_DIR"]
    assert code == startup.REFUSED
    assert [line.split(":")[0] for line in lines] == [
        "STONECHAT_MONGO_URL",
        secretfiles.CONNECTOR_PUBLIC,
        secretfiles.METRICS_TOKEN,
        secretfiles.CONTENT_KEYS,
    ]


def read(monkeypatch: pytest.MonkeyPatch, file: Path | None = None, **given: str) -> list[Finding]:
    """What is found with nothing but these settings."""
    with monkeypatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(variables.PREFIX)]:
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(f"STONECHAT_{name.upper()}", value)
        return startup.read(str(file) if file else None)[1]


def subjects(found: list[Finding]) -> list[str]:
    return [each.subject.removeprefix("STONECHAT_") for each in found]


def test_the_defaults_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch) == []


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_setting_takes_anything(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    secret = f"{PASSWORD}\x7f \t://@:0/"
    found = read(monkeypatch, **{name: secret})
    if name == "secrets_dir":  # any path; whether it is a folder is looked at with the secrets
        assert found == []
        return
    assert subjects(found) == [name.upper()]
    assert "expected" in str(found[0])
    assert PASSWORD not in str(found[0])


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "redis_url",
            [
                "redis://h",
                "rediss://:p%40@h:1/2",  # not a secret: leads nowhere
                "unix:///run/r.sock?db=1",
                "redis://[::1]:6379/0",
            ],
        ),
        ("mongo_url", ["mongodb://a,b:1/?replicaSet=r", "mongodb://u:pw@h/", "mongodb+srv://h/"]),
        ("gateway_url", ["http://h", "https://h:1/path", "http://[::1]:80"]),
        ("trusted_proxies", ["", "10.0.0.0/8, ::1", "192.0.2.7"]),
        ("log_level", ["DEBUG", "critical"]),
    ],
)
def test_what_makes_sense_is_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, values: list[str]
) -> None:
    for value in values:
        assert read(monkeypatch, **{name: value}) == [], value


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("redis_url", ["", "redis:", "redis://h:0", "redis://h:99999", "redis://h/a", "http://h"]),
        ("mongo_url", ["", "mongodb://", "mongodb://u@", "mongodb://h:x", "mongodb://h:0", "h:1"]),
        ("s3_url", ["http://", "http://h:x", "http://:80", "https://h?a=b", "http:///path"]),
        ("store_timeout", ["nan", "-1", "0", "1e300", "ten", ""]),
        ("body_limit", ["0", "-5", "1.5", "0x10", "9" * 30, "true"]),
    ],
)
def test_what_makes_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, values: list[str]
) -> None:
    for value in values:
        assert subjects(read(monkeypatch, **{name: value})) == [name.upper()], value


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule.small}-{rule.large}")
def test_settings_that_contradict_each_other_are_told(
    monkeypatch: pytest.MonkeyPatch, rule
) -> None:
    large = Settings.model_fields[rule.large].default
    whole = isinstance(large, int)
    edge = large if not rule.strict else large - 0.5

    def told(value: float) -> bool:
        text = str(int(value) if whole else value)
        return rule.small.upper() in subjects(read(monkeypatch, **{rule.small: text}))

    assert told(large + 1)
    assert not told(edge)


@given(
    name=st.from_regex(r"STONECHAT_[A-Z0-9_]{1,40}", fullmatch=True).filter(
        lambda name: (
            name.removeprefix("STONECHAT_").lower() not in Settings.model_fields
            and name not in {each.name for each in variables.OTHERS}
        )
    )
)
def test_every_variable_of_ours_that_is_none_is_named(name: str) -> None:
    ((told, _),) = variables.unknown([name, "HOME", "OTHER_" + name], Settings.model_fields)
    assert told == name


def test_files_of_settings_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "stonechat.env"
    assert subjects(read(monkeypatch, file)) == ["ENV_FILE"]
    file.write_bytes(b"STONECHAT_LANES=\xff\n")
    assert subjects(read(monkeypatch, file)) == ["ENV_FILE"]
    file.write_text("STONECHAT_LANES=2\nnothing to see\n")
    (found,) = read(monkeypatch, file)
    assert "line 2" in found.text
    file.write_text("# a comment\n\nexport STONECHAT_LANES='two'\nSTONECHAT_LANESS=2\nHOME=/\n")
    found, unknown = read(monkeypatch, file)
    assert (found.subject, unknown.subject) == ("STONECHAT_LANES", "STONECHAT_LANESS")
    assert read(monkeypatch, file, lanes="2") == [unknown]  # the environment goes before it


# Pieces of addresses and numbers, so that what is put together is nearly right now and then.
WORDS = ": // @ / ? a=b db=x h 10.0.0.1 [ ] ::1 , 0 8 27017 . - e % %zz \udcff é # & _"
PIECES = st.sampled_from(WORDS.split())
JOINED = st.lists(PIECES, max_size=8).map("".join)
SCHEMES = st.sampled_from(["redis", "rediss", "unix", "mongodb", "mongodb+srv", "http", "https"])
ADDRESSES = st.builds(lambda scheme, rest: f"{scheme}://{rest}", SCHEMES, JOINED)
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
GIVEN = JOINED | TEXT | ADDRESSES
NAMES = st.sampled_from(sorted(Settings.model_fields)) | st.sampled_from(
    ["redis_url", "mongo_url", "s3_url", "gateway_url", "trusted_proxies"]
)


@given(name=NAMES, value=GIVEN)
def test_any_text_is_told_or_can_be_used(name: str, value: str) -> None:
    with mock.patch.dict(os.environ, clear=True):
        os.environ[f"STONECHAT_{name.upper()}"] = value
        config, found = startup.read(None)
    for each in found:
        assert each.subject in {f"STONECHAT_{name.upper()}", *RULED.get(name, ())}
        assert str(each).isprintable()
    redis.Redis.from_url(config.redis_url)
    if "+srv" not in config.mongo_url:  # that asks DNS
        MongoClient(config.mongo_url, connect=False).close()
    for url in (config.s3_url, config.gateway_url):
        assert httpx.URL(url).host
    Peers(config.trusted_proxies)
    assert getattr(logging, config.log_level.upper())


RULED = {
    name: [f"STONECHAT_{rule.small.upper()}" for rule in RULES if name in (rule.small, rule.large)]
    for name in Settings.model_fields
}
