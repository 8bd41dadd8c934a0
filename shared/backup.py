"""A copy of the record, all of MongoDB, in a folder of compressed files; and the way back.

    python -m shared.backup write FOLDER       copies what is there now, while people write
    python -m shared.backup verify FOLDER      says whether the copy is whole
    python -m shared.backup restore FOLDER     puts it into an empty database, and empties Redis

Bodies stay sealed, so a copy is worth nothing without `stonechat-content-keys`, and those are not
in it. Everything else, such as usernames and password hashes, can be read in it: its files are for
their owner alone.

All is read at one point in time, by a snapshot, for which MongoDB keeps five minutes of the past
(`minSnapshotHistoryWindowInSeconds`). A server that has no snapshots across collections, as the one
of `make up`, gives each as it is when its turn comes. So they are read in an order: what refers to
something before what it refers to, such as marks before entries and entries before people. What was
acknowledged before the copy began is in it in either case; of a command that was under way, half
may be.

What is there when a copy or a restore breaks off is refused as a copy, and as an empty database.
"""

import argparse
import gzip
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

import bson
import orjson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.client_session import ClientSession
from pymongo.database import Database
from pymongo.errors import PyMongoError
from redis.exceptions import RedisError

from shared import collections, startup
from shared.collections import Document
from shared.settings import settings
from shared.stores import redis_client

FORM = 1
MANIFEST = "manifest.json"
_BATCH = 500  # documents
_SOCKET_MS = 120_000  # for one batch

# Read behind all others: entries behind the marks and memberships that name their numbers, people
# behind everybody who names them.
_LAST = (collections.MESSAGES, collections.GROUPS, collections.USERS)


class BackupError(RuntimeError):
    """It could not be done. One line for people."""


def write(folder: Path) -> dict[str, int]:
    """Copies the database into this folder, which is empty or not there; how many documents of each
    collection. Raises `BackupError`, and what the driver raises."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise BackupError(f"{folder} is not empty")
    os.chmod(folder, 0o700)
    began = time.time_ns() // 1_000_000
    files: dict[str, Document] = {}
    with _database() as database, database.client.start_session(snapshot=True) as session:
        for name in _names(database):
            files[name] = _copy(database, name, folder, session)
    manifest = {"form": FORM, "began": began, "ended": time.time_ns() // 1_000_000, "files": files}
    with _created(folder / MANIFEST) as file:
        file.write(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
    return {name: each["documents"] for name, each in files.items()}


def verify(folder: Path) -> dict[str, int]:
    """How many documents of each collection the copy has. Raises `BackupError` where it is not
    whole."""
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
        form, files = manifest["form"], manifest["files"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        raise BackupError(
            f"{folder} has no {MANIFEST}: it is no copy, or was not finished"
        ) from None
    if form != FORM:
        raise BackupError(f"{folder} has the form {form}, this release reads {FORM}")
    for name, said in files.items():
        if not _is(folder / _file(name), said["sha256"]):
            raise BackupError(f"{_file(name)} is missing, or not what was written")
    return {name: int(said["documents"]) for name, said in files.items()}


def restore(folder: Path, *, replace: bool = False) -> dict[str, int]:
    """Puts a copy that is whole into a database that is empty, or empties it first (`replace`), and
    empties Redis, which remembers other numbers; how many documents of each collection. Nothing may
    use the database meanwhile. Raises as `write` does, and `redis.RedisError`."""
    counts = verify(folder)
    redis_client().ping()
    with _database() as database:
        present = [name for name in _names(database) if database[name].find_one({}, {"_id": True})]
        if present and not replace:
            raise BackupError(f"the database is not empty, there is something in {present}")
        for name in present:
            database.drop_collection(name)
        collections.create_indexes(database)
        for name, count in counts.items():
            written = 0
            for batch in _batches(folder / _file(name)):
                database[name].insert_many(batch, ordered=False)
                written += len(batch)
            if written != count:
                raise BackupError(f"{_file(name)} has {written} documents, it should have {count}")
    redis_client().flushdb()
    return counts


@contextmanager
def _database() -> Iterator[Database[RawBSONDocument]]:
    """With a client of its own: a cursor over everything outlasts the time of a call."""
    config = settings()
    with pymongo.MongoClient[RawBSONDocument](
        config.mongo_url,
        w="majority",
        journal=True,
        serverSelectionTimeoutMS=int(config.store_timeout * 1000),
        connectTimeoutMS=2000,
        socketTimeoutMS=_SOCKET_MS,
        document_class=RawBSONDocument,
    ) as client:
        yield client[config.mongo_database]


def _names(database: Database[RawBSONDocument]) -> list[str]:
    """All collections, those of functions that we do not know as well, in the order of reading."""
    found = {name for name in database.list_collection_names() if not name.startswith("system.")}
    return [*sorted(found.difference(_LAST)), *(name for name in _LAST if name in found)]


def _copy(
    database: Database[RawBSONDocument], name: str, folder: Path, session: ClientSession
) -> Document:
    count = 0
    with (
        _created(folder / _file(name)) as file,
        gzip.GzipFile(fileobj=file, mode="wb", compresslevel=6) as packed,
    ):
        for document in database[name].find({}, session=session, batch_size=_BATCH):
            packed.write(document.raw)
            count += 1
    return {"documents": count, "sha256": _sum(folder / _file(name))}


def _batches(path: Path) -> Iterator[list[RawBSONDocument]]:
    batch: list[RawBSONDocument] = []
    with gzip.open(path, "rb") as packed:
        file = cast("IO[bytes]", packed)
        for document in bson.decode_file_iter(file, CodecOptions(RawBSONDocument)):
            batch.append(document)
            if len(batch) == _BATCH:
                yield batch
                batch = []
    if batch:
        yield batch


def _file(name: str) -> str:
    return f"{name}.bson.gz"


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """A new file that only its owner reads, on the disk when it is closed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def _sum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is(path: Path, wanted: str) -> bool:
    return path.is_file() and _sum(path) == wanted


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m shared.backup")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("write", "verify", "restore"):
        command = commands.add_parser(name)
        command.add_argument("folder", type=Path, metavar="FOLDER")
        if name == "restore":
            command.add_argument(
                "--replace", action="store_true", help="remove what the database has"
            )
    given = parser.parse_args()
    startup.require_of_command()
    work: dict[str, Callable[..., dict[str, int]]] = {
        "write": write,
        "verify": verify,
        "restore": restore,
    }
    options: dict[str, Any] = {"replace": True} if getattr(given, "replace", False) else {}
    try:
        counts = work[given.command](given.folder, **options)
    except (BackupError, PyMongoError, RedisError, OSError) as error:
        print(f"failed: {error}", file=sys.stderr)
        return 1
    for name, count in counts.items():
        print(f"{count:>12,} {name}")
    print(f"{sum(counts.values()):>12,} in all")
    return 0


if __name__ == "__main__":
    sys.exit(main())
