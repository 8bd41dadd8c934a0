"""What a client remembers: its sign-in, how far it has got, and what it still has to send."""

import sqlite3
from pathlib import Path
from typing import Any, Protocol

import orjson


class State(Protocol):
    """Where a client keeps what it remembers. Calls are quick and do not block for long."""

    def get(self, name: str) -> Any:
        """A value that was put, or None."""

    def put(self, name: str, value: Any) -> None:
        """Keeps a JSON value; None removes it."""

    def lasts(self) -> dict[str, int]:
        """For each conversation, the number of the last entry the app is done with."""

    def set_last(self, conv: str, seq: int) -> None: ...

    def keep(self, cid: str, method: str, params: dict[str, Any]) -> None:
        """A command that is about to be sent, until `drop`."""

    def drop(self, cid: str) -> None:
        """The command was answered."""

    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        """Commands that were never answered, oldest first."""

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

    def keep(self, cid: str, method: str, params: dict[str, Any]) -> None:
        """The client's outbox has it, and lives as long."""

    def drop(self, cid: str) -> None:
        """As above."""

    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        return []

    def close(self) -> None:
        """Nothing is open."""


class SqliteState:
    """Remembers in a file, readable by its owner only. What was put is there after the process was
    killed; a power cut may forget the last moments, of which nothing was acknowledged."""

    def __init__(self, path: str | Path) -> None:
        file = Path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        self._database = sqlite3.connect(file, isolation_level=None, timeout=5)
        self._database.executescript(
            """
            PRAGMA journal_mode = WAL;
            PRAGMA synchronous = NORMAL;
            CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL);
            CREATE TABLE IF NOT EXISTS lasts (conv TEXT PRIMARY KEY, seq INTEGER NOT NULL);
            CREATE TABLE IF NOT EXISTS commands (
                number INTEGER PRIMARY KEY AUTOINCREMENT, cid TEXT UNIQUE NOT NULL,
                method TEXT NOT NULL, params BLOB NOT NULL
            );
            """
        )

    def get(self, name: str) -> Any:
        row = self._database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return orjson.loads(row[0]) if row else None

    def put(self, name: str, value: Any) -> None:
        if value is None:
            self._database.execute("DELETE FROM facts WHERE name = ?", (name,))
        else:
            self._database.execute(
                "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, orjson.dumps(value))
            )

    def lasts(self) -> dict[str, int]:
        return dict(self._database.execute("SELECT conv, seq FROM lasts").fetchall())

    def set_last(self, conv: str, seq: int) -> None:
        self._database.execute("INSERT OR REPLACE INTO lasts VALUES (?, ?)", (conv, seq))

    def keep(self, cid: str, method: str, params: dict[str, Any]) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO commands (cid, method, params) VALUES (?, ?, ?)",
            (cid, method, orjson.dumps(params)),
        )

    def drop(self, cid: str) -> None:
        self._database.execute("DELETE FROM commands WHERE cid = ?", (cid,))

    def kept(self) -> list[tuple[str, dict[str, Any]]]:
        rows = self._database.execute("SELECT method, params FROM commands ORDER BY number")
        return [(method, orjson.loads(params)) for method, params in rows.fetchall()]

    def close(self) -> None:
        self._database.close()
