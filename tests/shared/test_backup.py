"""Copies of a database, whole and not; `tests/system/test_backup.py` has those of a house."""

import gzip
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import bson
import orjson
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from local.layout import ROOT
from local.stack import Stack
from shared.ids import new_id
from shared.settings import settings

# One document of each form that BSON has, in our collections and in one that we do not know.
DOCUMENTS: dict[str, list[dict[str, Any]]] = {
    "users": [{"_id": f"u{n}", "username": f"u{n}", "at": datetime.now(UTC)} for n in range(1203)],
    "messages": [
        {"_id": "a", "conv": "g:a", "seq": 1, "body": b"\x00\x01sealed", "n": 2**62},
        {"_id": "b", "conv": "g:a", "seq": 2, "deep": {"a": [1.5, None, True, {"b": "ü\u0000"}]}},
    ],
    "votes.of-a-poll": [{"_id": bson.ObjectId(), "by": bson.Decimal128("1.10")}],
}

Run = Callable[..., subprocess.CompletedProcess[str]]
Place = Database[dict[str, Any]]


@pytest.fixture
def database(stores: Stack) -> Iterator[Place]:
    """A database of its own."""
    with MongoClient[dict[str, Any]](settings().mongo_url, w="majority") as client:
        name = f"copy-{new_id()}"
        yield client[name]
        client.drop_database(name)


@pytest.fixture
def run(database: Place) -> Run:
    """The command, on that database and on an empty part of Redis."""
    redis_url = settings().redis_url.rsplit("/", 1)[0] + "/9"
    environment = os.environ | {
        "STONECHAT_MONGO_DATABASE": database.name,
        "STONECHAT_REDIS_URL": redis_url,
        "PYTHONPATH": str(ROOT),
    }

    def ran(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "shared.backup", *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return ran


def fill(database: Place) -> None:
    for name, documents in DOCUMENTS.items():
        database[name].insert_many(documents)


def found(database: Place) -> dict[str, list[bytes]]:
    """All that is there, byte by byte, but for collections that are empty."""
    everything = {
        name: [bson.encode(each) for each in database[name].find().sort("_id")]
        for name in database.list_collection_names()
    }
    return {name: documents for name, documents in everything.items() if documents}


def test_what_was_written_comes_back_as_it_was(database: Place, run: Run, tmp_path: Path) -> None:
    fill(database)
    before = found(database)
    written = run("write", tmp_path / "copy")
    assert written.returncode == 0, written.stderr
    assert "1,206 in all" in written.stdout
    database.client.drop_database(database.name)
    restored = run("restore", tmp_path / "copy")
    assert restored.returncode == 0, restored.stderr
    assert restored.stdout == written.stdout
    assert found(database) == before
    assert "username" in database["users"].index_information()


def test_a_copy_is_for_its_owner_alone(database: Place, run: Run, tmp_path: Path) -> None:
    fill(database)
    assert run("write", tmp_path / "copy").returncode == 0
    assert (tmp_path / "copy").stat().st_mode & 0o777 == 0o700
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "copy").iterdir()} == {0o600}


def test_nothing_is_written_over(database: Place, run: Run, tmp_path: Path) -> None:
    fill(database)
    assert run("write", tmp_path / "copy").returncode == 0
    again = run("write", tmp_path / "copy")
    assert (again.returncode, "is not empty" in again.stderr) == (1, True)
    database["users"].delete_one({"_id": "u7"})
    before = found(database)
    restored = run("restore", tmp_path / "copy")
    assert (restored.returncode, "the database is not empty" in restored.stderr) == (1, True)
    assert found(database) == before
    assert run("restore", "--replace", tmp_path / "copy").returncode == 0
    assert database["users"].find_one({"_id": "u7"}) is not None
    assert database["users"].count_documents({}) == len(DOCUMENTS["users"])


def _cut(folder: Path) -> None:
    file = folder / "users.bson.gz"
    file.write_bytes(file.read_bytes()[:-20])


def _change(folder: Path) -> None:
    with gzip.open(folder / "users.bson.gz", "wb") as file:
        file.write(bson.encode({"_id": "mallory", "username": "alice"}))


def _lose(folder: Path) -> None:
    (folder / "votes.of-a-poll.bson.gz").unlink()


def _not_finish(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def _come_of_another_release(folder: Path) -> None:
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    (folder / "manifest.json").write_bytes(orjson.dumps(manifest | {"form": 99}))


@pytest.mark.parametrize(
    "spoil", [_cut, _change, _lose, _not_finish, _come_of_another_release], ids=lambda f: f.__name__
)
def test_what_is_not_whole_is_not_restored(
    database: Place, run: Run, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    fill(database)
    assert run("write", tmp_path / "copy").returncode == 0
    assert run("verify", tmp_path / "copy").returncode == 0
    database.client.drop_database(database.name)
    spoil(tmp_path / "copy")
    for command in ("verify", "restore"):
        refused = run(command, tmp_path / "copy")
        assert (refused.returncode, refused.stderr.startswith("failed: ")) == (1, True)
    assert found(database) == {}
