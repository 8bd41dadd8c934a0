"""Entries: what a log is made of, from draft to stored document to what a client is shown."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson
import structlog

from shared.collections import Document
from shared.content import ContentUnreadableError, Keyring
from shared.ids import new_id

logger = structlog.get_logger(__name__)

VOID = "void"
_SHOWN = ("ref", "reply_to", "mentions", "forwarded", "edited", "recalled")
SYSTEM = "system"  # the sender of entries that no person sent


@dataclass(slots=True)
class Draft:
    """An entry before it has a place. `command` is the method that makes it (see `commands`): a
    repeated (`sender`, `command`, `cid`) in one conversation is the same entry. Where a `slot` is
    given it counts in place of the `cid`: of several commands for one slot a single one is stored,
    and all get its entry."""

    conv: str
    sender: str
    command: str
    cid: str
    type: str
    body: dict[str, Any]
    ref: int | None = None
    reply_to: int | None = None
    mentions: list[str] | None = None
    forwarded: dict[str, Any] | None = None  # the first sender and ts of what is passed on
    session: str | None = None  # the sender's own, which gets the result and no `entry`
    also: tuple[str, ...] = ()  # people who are told though they listen no more
    outside: bool = False  # whether the sender listens no more, and is not told
    late: tuple[str, ...] | None = ()  # members who may not see its body, None where they are many
    slot: str | None = None
    id: str = field(default_factory=new_id)
    key: str = field(init=False)  # the document's `_id`: unique for what may be stored once
    _text: bytes = field(default=b"", init=False)

    def __post_init__(self) -> None:
        self.key = f"{self.conv} {self.sender} {self.command} {self.slot or self.cid}"

    def text(self) -> bytes:
        """The body as JSON. Raises `TypeError` where it is none."""
        self._text = self._text or orjson.dumps(self.body)
        return self._text


class Entry(NamedTuple):
    """An entry in its place. `fresh` is whether this very append made it."""

    conv: str
    seq: int
    id: str
    ts: int
    fresh: bool = True

    def as_result(self) -> dict[str, Any]:
        return {"conv": self.conv, "seq": self.seq, "id": self.id, "ts": self.ts}


def stored(draft: Draft, seq: int, ts: int, keyring: Keyring) -> Document:
    """The document to store: all but the body in clear."""
    document: Document = {
        "_id": draft.key,
        "conv": draft.conv,
        "seq": seq,
        "id": draft.id,
        "ts": ts,
        "sender": draft.sender,
        "type": draft.type,
        "cid": draft.cid,
        "body": keyring.seal(draft.conv, draft.key, draft.text()),
    }
    return document | _extras(draft)


def void(conv: str, seq: int, ts: int) -> Document:
    """What closes a hole for good."""
    return {
        "_id": f"{conv} {SYSTEM} {VOID} {seq}",
        "conv": conv,
        "seq": seq,
        "id": new_id(),
        "ts": ts,
        "sender": SYSTEM,
        "type": VOID,
    }


def shown(
    document: Document, viewer: str | None, keyring: Keyring, first: int = 1
) -> dict[str, Any]:
    """The protocol's entry, as `viewer` may see it (None: anyone but the sender), whose sight of
    the log begins with the number `first`: what is about an earlier entry has no body. One whose
    body does not open has none either, and says that it is `unreadable`."""
    return shown_all([document], viewer, keyring, first)[0]


def shown_all(
    documents: Iterable[Document], viewer: str | None, keyring: Keyring, first: int = 1
) -> list[dict[str, Any]]:
    """The same for many. What is unreadable is logged once for all."""
    entries = [_shown(each, viewer, keyring, first) for each in documents]
    lost = [entry for entry in entries if "unreadable" in entry]
    if lost:
        conv, seq = lost[0]["conv"], lost[0]["seq"]
        logger.warning("entries_unreadable", conv=conv, seq=seq, count=len(lost))
    return entries


def _shown(document: Document, viewer: str | None, keyring: Keyring, first: int) -> dict[str, Any]:
    entry = {name: document[name] for name in ("conv", "seq", "id", "ts", "sender", "type")}
    if "body" in document and document.get("ref", first) >= first:
        try:
            sealed = keyring.open(document["conv"], document["_id"], document["body"])
            entry["body"] = orjson.loads(sealed)
        except (ContentUnreadableError, ValueError, TypeError):  # TypeError: these are not bytes
            entry["unreadable"] = True
    for name in _SHOWN:
        if name in document:
            entry[name] = document[name]
    if viewer == document["sender"] and "cid" in document:
        entry["cid"] = document["cid"]
    return entry


def public(draft: Draft, document: Document) -> dict[str, Any]:
    """What `shown` gives to anyone but the sender, without opening what was just sealed."""
    entry: dict[str, Any] = {
        "conv": draft.conv,
        "seq": document["seq"],
        "id": draft.id,
        "ts": document["ts"],
        "sender": draft.sender,
        "type": draft.type,
        "body": draft.body,
    }
    return entry | _extras(draft)


def unbodied(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry, stored or shown, as it is for who may not see what it is about."""
    return {name: value for name, value in entry.items() if name != "body"}


def listed(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as lists of conversations have it, the same for all members: an edit may be of a
    message that some of them may not see."""
    return unbodied(entry) if entry["type"] == "edit" else entry


def _extras(draft: Draft) -> dict[str, Any]:
    """What only some entries have."""
    extras: dict[str, Any] = {}
    if draft.ref is not None:
        extras["ref"] = draft.ref
    if draft.reply_to is not None:
        extras["reply_to"] = draft.reply_to
    if draft.mentions:
        extras["mentions"] = draft.mentions
    if draft.forwarded is not None:
        extras["forwarded"] = draft.forwarded
    return extras
