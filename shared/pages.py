"""Pages of lists: cut by number and by bytes, and continued by a cursor.

A cursor is a place in an order of (number, name), not a position: what changes while somebody pages
shifts nothing, so no item is doubled or passed over for what happened to others.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Annotated, Any, NamedTuple

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from shared.settings import settings

_ENVELOPE = 1024  # bytes of an answer besides its items
_PLACE = re.compile(rb"(\d{1,16}) ([a-z0-9:]{1,100})")


class Place(NamedTuple):
    """Where an item stands in its list."""

    number: int
    name: str

    def cursor(self) -> str:
        """The place as clients get it, who only give it back."""
        text = b"%d %b" % (self.number, self.name.encode())
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def _parsed(cursor: Any) -> Place:
    if isinstance(cursor, str):
        try:
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True)
        except (binascii.Error, ValueError):
            text = b""
        found = _PLACE.fullmatch(text)
        if found is not None:
            return Place(int(found[1]), found[2].decode())
    raise PydanticCustomError("cursor", "not what an earlier page gave as `next`")


def up_to(limit: str) -> AfterValidator:
    """A number no higher than this setting says."""

    def bounded(value: int) -> int:
        most = getattr(settings(), limit)
        if value > most:
            raise PydanticCustomError("less_than_equal", "at most {most}", {"most": most})
        return value

    return AfterValidator(bounded)


Cursor = Annotated[Place, BeforeValidator(_parsed), WithJsonSchema({"type": "string"})]
Limit = Annotated[int, Field(ge=1), up_to("list_limit")]


def fitting(items: Iterable[Any]) -> list[orjson.Fragment]:
    """The first items, ready to go into one answer: as many as it has room for, and at least
    one."""
    room = settings().answer_bytes - _ENVELOPE
    taken: list[orjson.Fragment] = []
    for item in items:
        text = orjson.dumps(item)
        room -= len(text) + 1
        if taken and room < 0:
            break
        taken.append(orjson.Fragment(text))
    return taken
