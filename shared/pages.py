"""Pages: what grows with a person or a group is listed in parts, bounded in number and in bytes."""

from collections.abc import Sequence
from typing import TypeVar

import orjson

T = TypeVar("T")


def cut(items: Sequence[T], limit: int, size: int) -> tuple[list[T], bool]:
    """As many of the items as make a page: at most `limit`, and of at most `size` bytes as JSON,
    but one in any case; and whether there are more."""
    page: list[T] = []
    room = size
    for item in items[:limit]:
        room -= len(orjson.dumps(item)) + 1
        if page and room < 0:
            break
        page.append(item)
    return page, len(page) < len(items)
