"""One readable log of all parts: `12:00:01 send        │ warning store_failed where=door …`."""

import sys
import time
from collections.abc import Callable
from typing import Any

import orjson

_COLOURS = (36, 32, 35, 34, 33, 96, 92, 95, 94)
_LEVELS = {"warning": 33, "error": 31, "critical": 31}
_HIDDEN = frozenset({"event", "level", "timestamp", "part", "exception"})
_WIDTH = 12


class Journal:
    """Renders lines of parts. JSON lines of our own parts become `event key=value`."""

    def __init__(self, write: Callable[[str], object], colour: bool) -> None:
        self._write = write
        self._colour = colour
        self._known: dict[str, int] = {}

    def tell(self, part: str, line: str) -> None:
        """Prints one line of a part."""
        fields = _fields(line)
        if fields is None:
            self._print(part, line)
            return
        level = str(fields.get("level", "info"))
        facts = " ".join(f"{name}={_value(fields[name])}" for name in fields if name not in _HIDDEN)
        text = f"{self._paint(level, _LEVELS.get(level, 0))} {fields['event']} {facts}".rstrip()
        # Functions speak through the gateway's output; a connector is one of several.
        speaker = part if part.startswith("connector") else str(fields.get("part", part))
        self._print(speaker, text)
        for each in str(fields.get("exception", "")).splitlines():
            self._print(speaker, "    " + each)

    def _print(self, part: str, text: str) -> None:
        number = self._known.setdefault(part, len(self._known))
        name = self._paint(f"{part:<{_WIDTH}}", _COLOURS[number % len(_COLOURS)])
        self._write(f"{time.strftime('%H:%M:%S')} {name}│ {text}\n")

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour and colour else text


def to_terminal() -> Journal:
    """A journal on standard output."""

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    return Journal(write, sys.stdout.isatty())


def _fields(line: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) and "event" in found else None


def _value(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return f'"{text}"' if " " in text else text
