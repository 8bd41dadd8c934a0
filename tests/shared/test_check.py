"""The check of an installation, against real stores, good ones and bad ones."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import orjson
import pytest

from local.layout import ROOT, Layout
from local.stack import Stack
from shared import check, secretfiles, storechecks, versions
from shared.stores import redis_client

PASSWORD = "hunter2hunter2"


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[dict[str, str]]]:
    """The exit code and the findings."""
    mine = {key: value for key, value in os.environ.items() if not key.startswith("STONECHAT_")}
    ended = subprocess.run(
        [sys.executable, "-m", "shared.check", "--json", *arguments],
        cwd=folder,
        env=mine | {"PYTHONPATH": str(ROOT)} | environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert ended.stderr == b""
    return ended.returncode, [orjson.loads(line) for line in ended.stdout.splitlines()]


@pytest.fixture
def unpinned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is installed here is fine."""
    monkeypatch.setattr(versions, "examine", lambda: [])


async def test_a_running_stack_is_in_order(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / ".local").symlink_to(stack.layout.directory)
    _, found = run(tmp_path)
    assert [each for each in found if each["level"] == "error"] == []
    assert "STONECHAT_S3_BUCKET" in {each["subject"] for each in found}  # it looked at that store


def test_what_is_broken_is_found_at_once(tmp_path: Path) -> None:
    secretfiles.create_missing(tmp_path / "secrets")
    secretfiles.write(tmp_path / "secrets", secretfiles.CONTENT_KEYS, f"3:{PASSWORD}")
    file = tmp_path / "mine.env"
    file.write_text(
        f"STONECHAT_REDIS_URL=redis://:{PASSWORD}@127.0.0.1:1/0\n"
        "STONECHAT_MONGO_URL=bar\nSTONECHAT_S3_URL=http://127.0.0.1:1\nSTONECHAT_LANESS=3\n"
        f"STONECHAT_GATEWAY_URL=http://127.0.0.1:1\nSTONECHAT_SECRETS_DIR={tmp_path / 'secrets'}\n"
    )
    code, found = run(tmp_path, "--env", str(file), "--timeout", "2")
    assert code == 1
    ours = [each for each in found if each["subject"].startswith(("STONECHAT", "stonechat"))]
    assert {each["subject"]: each["level"] for each in ours} == {
        "STONECHAT_MONGO_URL": "error",
        "STONECHAT_LANESS": "warning",
        secretfiles.CONTENT_KEYS: "error",
        "STONECHAT_REDIS_URL": "error",
        "STONECHAT_S3_URL": "error",
        "STONECHAT_GATEWAY_URL": "error",
    }
    assert len(ours) == 6
    assert PASSWORD not in str(found)


@pytest.fixture
def policy(stores: Stack) -> Iterator[None]:
    client = redis_client()
    client.config_set("maxmemory-policy", "allkeys-lru")
    yield
    client.config_set("maxmemory-policy", "noeviction")


@pytest.mark.usefixtures("policy", "unpinned")
def test_an_eviction_policy_is_told(layout: Layout) -> None:
    found = check.examine()
    assert [str(each) for each in found if "maxmemory" in each.text] == [
        "STONECHAT_REDIS_URL: maxmemory-policy is allkeys-lru; expected noeviction"
    ]
    assert not [each for each in found if each.level != "info" and "REDIS" in each.subject]


@pytest.mark.usefixtures("unpinned")
def test_clocks_that_are_apart_are_told(
    stores: Stack, monkeypatch: pytest.MonkeyPatch, layout: Layout
) -> None:
    real = time.time
    monkeypatch.setattr(storechecks.time, "time", lambda: real() - 90)
    told = {each.subject: each.text for each in check.examine() if "clock" in each.text}
    assert set(told) == {"STONECHAT_REDIS_URL", "STONECHAT_MONGO_URL"}
    for text in told.values():
        assert text.endswith("s ahead of ours; expected 1 s at most")
        assert "clock is 9" in text or "clock is 89" in text


@pytest.mark.parametrize(
    ("hello", "build", "told"),
    [
        ({"maxWireVersion": 9, "setName": "a", "hosts": "abc"}, {"version": "4.4"}, ["4.4"]),
        ({"maxWireVersion": 21}, {}, ["no replica set"]),
        ({"maxWireVersion": 21, "setName": "a", "hosts": ["a"]}, {}, ["has 1"]),
        ({"maxWireVersion": 21, "setName": "a", "hosts": "abc", "readOnly": True}, {}, ["writes"]),
        ({"maxWireVersion": 21, "setName": "a", "hosts": "abc"}, {}, []),
        ({"maxWireVersion": 21, "msg": "isdbgrid"}, {}, []),
    ],
    ids=["old", "alone", "one", "read-only", "three", "sharded"],
)
def test_what_a_document_store_says_of_itself(
    hello: dict[str, object], build: dict[str, object], told: list[str]
) -> None:
    found = storechecks.mongo_facts(hello, build)
    assert len(found) == len(told)
    assert all(word in each.text for word, each in zip(told, found, strict=True))


def test_packages_that_are_not_those_of_the_lock_file_are_told(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "# a comment\nredis[hiredis]==0.0.1 \\\n    --hash=sha256:00\n    # via us\n"
        f"pytest=={pytest.__version__} ; python_version > '3'\n"
        "pytest==0.0.1 ; python_version < '3'\nnobody-has-this==1\n"
    )
    (found,) = versions.examine(lock)
    assert found.subject == "redis"
    assert found.text.endswith("expected 0.0.1, as requirements.lock")
    assert versions.examine(tmp_path / "none") == []


def test_a_lock_that_names_several_versions_means_any(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "orjson==0.0.1 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        f"orjson=={metadata.version('orjson')} ; python_full_version >= '3.12' \\\n"
    )
    assert versions.examine(lock) == []
    lock.write_text("orjson==0.0.1 ; python_version < '3.12'\norjson==0.0.2\n")
    (found,) = versions.examine(lock)
    assert "expected 0.0.1 or 0.0.2, as" in found.text


def test_the_settings_are_those_of_who_says_so_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STONECHAT_")]:
        monkeypatch.delenv(name)
    assert check.choose(None) is None
    Path("stonechat.env").touch()
    assert check.choose(None) == Path("stonechat.env")
    Path(".local").mkdir()
    Path(".local/settings.env").touch()
    assert check.choose(None) == Path(".local/settings.env")
    monkeypatch.setenv("STONECHAT_MONGO_URL", "mongodb://h")
    assert check.choose(None) is None
    assert check.choose(Path("mine.env")) == Path("mine.env")
