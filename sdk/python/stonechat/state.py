"""What a client remembers: its sign-in, how far it has got, and what it still has to send."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import orjson

from stonechat.errors import StateInUse, UnusableState

_DEVICE = ("device",)  # what of the facts is not the account's
Kept = tuple[str, dict[str, Any]]  # (method, params with their cid)


class State(Protocol):
    """Where a client keeps what it remembers. Calls are quick and do not block for long."""

    def get(self, name: str) -> Any:
        """A value that was put, or None."""

    def put(self, name: str, value: Any) -> None:
        """Keeps a JSON value; None removes it."""

    def lasts(self) -> dict[str, int]:
        """For each conversation, the number of the last entry the app is done with."""

    def set_last(self, conv: str, seq: int) -> None:
        """The app is done with this entry, and with those before it."""

    def begin(self, lasts: dict[str, int]) -> None:
        """Where a client without a past begins: sets these, and the value `begun`, at once."""

    def keep(self, commands: Sequence[Kept]) -> None:
        """Commands that are about to be sent, until `drop`. On return they are safe."""

    def drop(self, cid: str) -> None:
        """The command was answered."""

    def kept(self) -> list[Kept]:
        """Commands that were never answered, oldest first."""

    def forget(self) -> None:
        """Another account signs in: forgets everything but the device."""

    def close(self) -> None: ...


class MemoryState:
    """Remembers for as long as the process lives."""

    def __init__(self) -> None:
        self._values: dict[str, Any] = {}
        self._lasts: dict[str, int] = {}

    def get(self, name: str) -> Any:
        return self._values.get(name)

    def put(self, name: str, value: Any) -> None:
        self._values[name] = value

    def lasts(self) -> dict[str, int]:
        return dict(self._lasts)

    def set_last(self, conv: str, seq: int) -> None:
        self._lasts[conv] = seq

    def begin(self, lasts: dict[str, int]) -> None:
        self._lasts.update(lasts)
        self._values["begun"] = True

    def keep(self, commands: Sequence[Kept]) -> None:
        """The client's outbox has them, and lives as long."""

    def drop(self, cid: str) -> None:
        """As above."""

    def kept(self) -> list[Kept]:
        return []

    def forget(self) -> None:
        self._values = {name: self._values[name] for name in _DEVICE if name in self._values}
        self._lasts.clear()

    def close(self) -> None:
        """Nothing is open."""


class SqliteState:
    """Remembers in a file, readable by its owner only, of one process at a time.

    What was put is there after the process was killed. After a power cut the sign-in and the
    commands are there too; the last answers and the last entries handled may be forgotten, so
    commands are repeated (the server stores them once) and the app may get those entries again.
    """

    def __init__(self, path: str | Path, *, patience: float = 5.0) -> None:
        """Waits `patience` seconds for another process to close it, then raises `StateInUse`. Two
        at once would spend each other's refresh token, which signs the device out. Raises
        `UnusableState` where this is another file, and `OSError` where there can be none."""
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        self._database = sqlite3.connect(file, isolation_level=None, timeout=patience)
        try:
            # The lock lasts as long as the connection, and dies with its process.
            self._database.executescript(
                """
                PRAGMA locking_mode = EXCLUSIVE;
                PRAGMA journal_mode = WAL;
                PRAGMA synchronous = NORMAL;
                BEGIN IMMEDIATE;
                CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
                CREATE TABLE IF NOT EXISTS lasts (conv TEXT PRIMARY KEY, seq INTEGER NOT NULL);
                CREATE TABLE IF NOT EXISTS commands (
                    number INTEGER PRIMARY KEY AUTOINCREMENT, cid TEXT UNIQUE NOT NULL,
                    method TEXT NOT NULL, params BLOB NOT NULL
                );
                COMMIT;
                """
            )
        except sqlite3.DatabaseError as error:
            self._database.close()
            if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise StateInUse(f"{file} is in use by another process") from None
            raise UnusableState(f"{file} cannot be used: {error}") from None

    def get(self, name: str) -> Any:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def put(self, name: str, value: Any) -> None:
        with self._safely():
            if value is None:
                self._database.execute("DELETE FROM facts WHERE name = ?", (name,))
            else:
                self._put(name, value)

    def lasts(self) -> dict[str, int]:
        return dict(self._database.execute("SELECT conv, seq FROM lasts").fetchall())

    def set_last(self, conv: str, seq: int) -> None:
        self._database.execute(_SET_LAST, (conv, seq))

    def begin(self, lasts: dict[str, int]) -> None:
        with self._safely():
            self._database.executemany(_SET_LAST, lasts.items())
            self._put("begun", True)

    def keep(self, commands: Sequence[Kept]) -> None:
        with self._safely():
            self._database.executemany(
                "INSERT OR IGNORE INTO commands (cid, method, params) VALUES (?, ?, ?)",
                [(params["cid"], method, orjson.dumps(params)) for method, params in commands],
            )

    def drop(self, cid: str) -> None:
        self._database.execute("DELETE FROM commands WHERE cid = ?", (cid,))

    def kept(self) -> list[Kept]:
        rows = self._database.execute("SELECT method, params FROM commands ORDER BY number")
        return [(method, orjson.loads(params)) for method, params in rows.fetchall()]

    def forget(self) -> None:
        with self._safely():
            self._database.execute("DELETE FROM facts WHERE name <> ?", _DEVICE)
            self._database.execute("DELETE FROM lasts")
            self._database.execute("DELETE FROM commands")

    def close(self) -> None:
        self._database.close()

    def _put(self, name: str, value: Any) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, orjson.dumps(value))
        )

    @contextmanager
    def _safely(self) -> Iterator[None]:
        """One transaction, on the disk at its end."""
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        else:
            self._database.execute("COMMIT")
        finally:
            self._database.execute("PRAGMA synchronous = NORMAL")


_SET_LAST = "INSERT OR REPLACE INTO lasts VALUES (?, ?)"
