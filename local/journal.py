"""One readable log of all parts: `12:00:01 send        │ warning store_failed where=door …`."""

import json
import re
import time
from collections.abc import Callable
from typing import Any

import orjson

_COLOURS = (36, 32, 35, 34, 33, 96, 92, 95, 94)
_LEVELS = {"warning": 33, "error": 31, "critical": 31}
_HIDDEN = frozenset({"event", "level", "timestamp", "part", "exception"})
_WIDTH = 12
_PLAIN_LIMIT = 500  # characters
_UNCLEAR = re.compile(r'[\s="\\]|^[\[{]')


class Journal:
    """Renders lines of parts. JSON lines of our own parts become `level event key=value`."""

    def __init__(self, write: Callable[[str], object], colour: bool) -> None:
        self._write = write
        self._colour = colour
        self._known: dict[str, int] = {}

    def tell(self, part: str, line: str) -> None:
        """Prints one line of a part. What is no text is shown escaped, so that it can begin no
        line of its own, nor do anything to a terminal."""
        fields = _fields(line)
        if fields is None:
            self._print(part, line)
            return
        level = str(fields.get("level", "info"))
        # Functions speak through the gateway's output; a connector is one of several.
        speaker = part if part.startswith("connector") else str(fields.get("part", part))
        self._print(speaker, _told(fields), self._paint(level, _LEVELS.get(level, 0)) + " ")
        for each in str(fields.get("exception", "")).splitlines():
            self._print(speaker, "    " + each)

    def _print(self, part: str, text: str, level: str = "") -> None:
        number = self._known.setdefault(part, len(self._known))
        name = self._paint(f"{_escaped(part):<{_WIDTH}}", _COLOURS[number % len(_COLOURS)])
        self._write(f"{time.strftime('%H:%M:%S')} {name}│ {level}{_escaped(text)}\n")

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def plain(line: str) -> str:
    """A log line as text for people, in one line."""
    fields = _fields(line)
    return _escaped(line.strip() if fields is None else _told(fields))[:_PLAIN_LIMIT]


def is_routine(line: str) -> bool:
    """Whether a part of ours says with it that all is well."""
    fields = _fields(line) or {}
    return fields.get("level") == "info" and fields.get("part") in ("gateway", "connector")


def wrapped(part: str, line: str) -> str:
    """A line that says which part it is from, whatever it says itself."""
    fields = _fields(line) or {"event": line, "level": "info"}
    return json.dumps(
        fields | {"part": part}, separators=(",", ":")
    )  # in ASCII, as parts themselves do


def _fields(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _told(fields: dict[str, Any]) -> str:
    facts = [f"{name}={_value(fields[name])}" for name in fields if name not in _HIDDEN]
    return " ".join([str(fields["event"]), *facts])


def _value(value: object) -> str:
    """Text in quotes where it could be taken for several facts."""
    if isinstance(value, str) and value and not _UNCLEAR.search(value):
        return value
    return orjson.dumps(value).decode()


def _escaped(text: str) -> str:
    return "".join(
        each if each.isprintable() or each == "\t" else each.encode("unicode_escape").decode()
        for each in text
    )
