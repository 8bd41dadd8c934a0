"""Bodies shortened for lists: what is long in them is cut, and they stay what they are.

Text is cut at a character, lists after some items, and an address, which is of no use in part, is
left out.
"""

import unicodedata
from typing import Any

import orjson

_TEXT_OF_AN_ITEM = 32  # characters of a string that count as much as one item of a list
_ADDRESS = ("http://", "https://")


def shortened(entry: bytes, limit: int) -> bytes:
    """The entry, as JSON. A body of more than `limit` bytes is cut to that, and the entry says that
    it is `truncated`."""
    if len(entry) <= limit:
        return entry
    found = orjson.loads(entry)
    body = found.get("body")
    if body is None or len(orjson.dumps(body)) <= limit:
        return entry
    found["body"] = _fitted(body, limit)
    return orjson.dumps(found | {"truncated": True})


def _fitted(body: Any, limit: int) -> Any:
    """The longest cut of the body that fits; nothing of it where it is made of small things."""
    fits, too_long = 0, limit + 1
    best: Any = {}
    while too_long - fits > 1:
        level = (fits + too_long) // 2
        cut = _cut(body, level)
        if len(orjson.dumps(cut)) <= limit:
            fits, best = level, cut
        else:
            too_long = level
    return best


def _cut(value: Any, level: int) -> Any:
    """Strings of at most `level` characters, lists in proportion."""
    match value:
        case str():
            return value if len(value) <= level else _whole(value, level)
        case list():
            return [_cut(each, level) for each in value[: level // _TEXT_OF_AN_ITEM]]
        case dict():
            return {
                name: _cut(each, level) for name, each in value.items() if not _lost(each, level)
            }
        case _:
            return value


def _lost(value: Any, level: int) -> bool:
    return isinstance(value, str) and len(value) > level and value.startswith(_ADDRESS)


def _whole(text: str, length: int) -> str:
    """The beginning of a text, without a part of what people see as one character."""
    end = length
    while end > 0 and (_joins(text[end]) or text[end - 1] == "\u200d"):
        end -= 1
    return text[: end or length]


def _joins(character: str) -> bool:
    """Whether a character belongs to the one before it."""
    return (
        character == "\u200d"
        or "\U0001f3fb" <= character <= "\U0001f3ff"
        or unicodedata.category(character) in ("Mn", "Me", "Mc")
    )
