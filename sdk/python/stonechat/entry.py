"""Entries, as an app gets them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from stonechat import shape
from stonechat.errors import BadAnswer

_TYPES: dict[str, type] = {
    "conv": str,
    "seq": int,
    "id": str,
    "ts": int,
    "sender": str,
    "type": str,
    "body": dict,
    "ref": int,
    "reply_to": int,
    "mentions": list,
    "forwarded": dict,
    "cid": str,
    "edited": int,
    "recalled": int,
    "unreadable": bool,
    "expired": bool,
    "truncated": bool,
}
_NEEDED = ("id", "ts", "sender", "type")  # beside its place


@dataclass(frozen=True, slots=True)
class Forwarded:
    """Who first wrote a message that was passed on, and when (UTC milliseconds)."""

    sender: str
    ts: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a conversation. `ts`, `edited` and `recalled` are UTC milliseconds; `cid` is
    there on one's own entries. `body` is empty where it was recalled, has `expired`, or is
    `unreadable`: to the server, or to this library, which then has what came in `raw`; and for a
    `void`, a number that nothing was written at. In a list of conversations a long body is
    `truncated`."""

    conv: str
    seq: int
    id: str
    ts: int
    sender: str
    type: str
    body: Mapping[str, Any]
    ref: int | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    cid: str | None = None
    edited: int | None = None
    recalled: int | None = None
    forwarded: Forwarded | None = None
    unreadable: bool = False
    expired: bool = False
    truncated: bool = False
    raw: Any = None

    @classmethod
    def parse(cls, fields: Any, conv: str | None = None, seq: int | None = None) -> Self:
        """From the protocol's form. Names that are not known are ignored. What makes no sense is
        an entry all the same, `unreadable` and with `raw`, so that numbers go on; `conv` and `seq`
        are its place where it does not tell it well. Raises `BadAnswer` where nothing tells it."""
        given = fields if isinstance(fields, dict) else {}
        good: dict[str, Any] = {}
        strange = given is not fields
        for name, value in given.items():
            kind = _TYPES.get(name)
            if kind is None or value is None:
                continue
            if type(value) is kind and (kind is not int or shape.is_number(value)):
                good[name] = value
            else:
                strange = True
        place, number = conv or good.get("conv"), good.get("seq", seq)
        if not place or number is None or number < 1:
            if not place or seq is None:
                raise BadAnswer("an entry without a place")
            number, strange = seq, True
        lacking = any(name not in good for name in _NEEDED)
        lost = lacking or ("body" not in good and given.get("body") is not None)
        return cls(
            conv=place,
            seq=number,
            id=good.get("id", ""),
            ts=good.get("ts", 0),
            sender=good.get("sender", ""),
            type=good.get("type", ""),
            body=good.get("body") or {},
            ref=good.get("ref"),
            reply_to=good.get("reply_to"),
            mentions=tuple(each for each in good.get("mentions", ()) if isinstance(each, str)),
            cid=good.get("cid"),
            edited=good.get("edited"),
            recalled=good.get("recalled"),
            forwarded=_forwarded(good.get("forwarded")),
            unreadable=lost or good.get("unreadable", False),
            expired=good.get("expired", False),
            truncated=good.get("truncated", False),
            raw=fields if strange or lost else None,
        )


def _forwarded(fields: Any) -> Forwarded | None:
    try:
        return None if fields is None else Forwarded.parse(fields)
    except BadAnswer:
        return None
