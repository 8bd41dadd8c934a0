"""JSON from outside: read only where it can be written again.

orjson reads 1,024 levels and writes 254, so what is too deep to write must be refused where it
comes in.
"""

from typing import Any

import orjson

_CONTAINERS = (dict, list)
LEVELS = 64  # objects and arrays within each other, of what clients and raw requests send


class TooDeepError(ValueError):
    """The JSON is nested deeper than allowed."""


def loads(text: bytes, levels: int = LEVELS) -> Any:
    """The value. Raises `TooDeepError`, and `orjson.JSONDecodeError` where the text is not JSON."""
    value = orjson.loads(text)
    if brackets(text) > levels and is_deeper(value, levels):
        raise TooDeepError(f"more than {levels} levels")
    return value


def brackets(text: bytes) -> int:
    """How many objects and arrays begin in a text, at most: as deep it can be. Those in strings
    are counted too, and only cost a closer look."""
    return text.count(b"{") + text.count(b"[")


def is_deeper(value: Any, levels: int) -> bool:
    """Whether a value has more than so many objects and arrays within each other."""
    containers = [value] if type(value) in _CONTAINERS else []
    for _ in range(levels):
        if not containers:
            return False
        outers, containers = containers, []
        for outer in outers:
            for inner in outer.values() if type(outer) is dict else outer:
                if type(inner) in _CONTAINERS:
                    containers.append(inner)  # no comprehension: most have nothing to make one for
    return bool(containers)
