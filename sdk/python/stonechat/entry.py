"""Entries, as an app gets them."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a conversation. `ts` is UTC milliseconds; `cid` is there on one's own entries;
    `body` is empty where it was recalled."""

    conv: str
    seq: int
    id: str
    ts: int
    sender: str
    type: str
    body: dict[str, Any]
    ref: int | None = None
    reply_to: int | None = None
    mentions: tuple[str, ...] = ()
    cid: str | None = None
    edited: Any = None
    recalled: Any = None

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> Self:
        """From the protocol's form. Names that are not known are ignored."""
        return cls(
            conv=fields["conv"],
            seq=fields["seq"],
            id=fields["id"],
            ts=fields["ts"],
            sender=fields["sender"],
            type=fields["type"],
            body=fields.get("body") or {},
            ref=fields.get("ref"),
            reply_to=fields.get("reply_to"),
            mentions=tuple(fields.get("mentions") or ()),
            cid=fields.get("cid"),
            edited=fields.get("edited"),
            recalled=fields.get("recalled"),
        )
