"""Messages: sending them, what becomes of them, and reading back."""

import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from stonechat import shape
from stonechat.entry import Entry
from stonechat.errors import BadAnswer
from stonechat.params import Call, given

PAGE = 200  # entries in one answer

Command = Callable[[str, dict[str, Any]], Awaitable[Any]]  # waits as long as it takes


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that is stored: its place, and when it got it (UTC milliseconds)."""

    conv: str
    seq: int
    id: str
    ts: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Appended:
    """The entry that a change of a message became."""

    seq: int
    ts: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a conversation, ascending and without gaps. `first_seq` and `last_seq` are the
    first and the last number that there is for oneself."""

    entries: Sequence[Entry]
    first_seq: int
    last_seq: int
    more: bool

    @classmethod
    def parse(cls, fields: Any, conv: str, after: int | None = None) -> Self:
        """From the protocol's form. An entry that makes no sense has the place that it stands at.
        Raises `BadAnswer` where there is no list of entries."""
        items = fields.get("entries") if isinstance(fields, dict) else None
        if not isinstance(items, list):
            raise BadAnswer("there is no list of entries")
        first, last, more = (fields.get(name) for name in ("first_seq", "last_seq", "more"))
        entries: list[Entry] = []
        following = None if after is None else max(after + 1, first if _is(first) else 0)
        for item in items:
            try:
                entry = Entry.parse(item, conv, following)
            except BadAnswer:
                continue
            if not _is(last) or entry.seq <= last:
                entries.append(entry)
                following = entry.seq + 1
        return cls(entries, first if _is(first) else 0, last if _is(last) else 0, more is True)


class Messages:
    """`client.messages`, whose methods the client has too. What changes something is repeated with
    the same `cid` until there is an answer, through lost connections and, with a lasting state,
    through the end of the process; to stop waiting does not take it back. Raises `StonechatError`
    where it is refused, `TooLarge` before it is sent, and `OutboxFull`."""

    def __init__(self, call: Call, command: Command) -> None:
        self._call = call
        self._command = command

    async def send(
        self,
        *,
        conv: str | None = None,
        to: str | None = None,
        text: str | None = None,
        type: str = "text",
        body: Mapping[str, Any] | None = None,
        reply_to: int | None = None,
        mentions: Sequence[str] = (),
        cid: str | None = None,
    ) -> Sent:
        """Sends a message to a conversation, or to a person by uid; returns when it is stored.
        Either a `text`, or a `body` of any `type`.

        Messages get their order from the server: those sent one after the other without waiting
        keep it, but where the server fails one of them, some that were under way already may come
        before it. To rule that out, wait for each.
        """
        if (text is None) == (body is None):
            raise ValueError("give either text or body")
        content = {"type": type, "body": {"text": text} if body is None else dict(body)}
        return await self._send(_address(conv, to), content, reply_to, mentions, cid)

    async def forward(
        self,
        source: str,
        seq: int,
        *,
        conv: str | None = None,
        to: str | None = None,
        reply_to: int | None = None,
        mentions: Sequence[str] = (),
        cid: str | None = None,
    ) -> Sent:
        """Passes the message `seq` of the conversation `source` on to another conversation, or to
        a person by uid. The entry says who first wrote it (`forwarded`)."""
        content = {"forward": {"conv": source, "seq": seq}}
        return await self._send(_address(conv, to), content, reply_to, mentions, cid)

    async def edit(
        self,
        conv: str,
        ref: int,
        *,
        text: str | None = None,
        body: Mapping[str, Any] | None = None,
        cid: str | None = None,
    ) -> Appended:
        """Gives one's message `ref` another text, or another body of its type."""
        if (text is None) == (body is None):
            raise ValueError("give either text or body")
        changed = {"text": text} if body is None else dict(body)
        return await self._change("edit", cid, conv=conv, ref=ref, body=changed)

    async def recall(self, conv: str, ref: int, *, cid: str | None = None) -> Appended:
        """Takes a message back: its body is gone from the record. Admins of a group may recall
        what others wrote."""
        return await self._change("recall", cid, conv=conv, ref=ref)

    async def react(
        self, conv: str, ref: int, emoji: str, *, remove: bool = False, cid: str | None = None
    ) -> Appended:
        """Adds a reaction to a message, or takes one's own away. Where it stands already, the
        place is the one that it has."""
        gone = {"remove": True} if remove else {}
        return await self._change("react", cid, conv=conv, ref=ref, emoji=emoji, **gone)

    async def history(
        self, conv: str, *, after: int | None = None, before: int | None = None, limit: int = 50
    ) -> list[Entry]:
        """Entries that follow `after`, that precede `before`, or the last ones; ascending, at most
        `limit`, in as many calls as it takes."""
        if after is not None and before is not None:
            raise ValueError("give either after or before")
        entries: list[Entry] = []
        while len(entries) < limit:
            asked = {"conv": conv, "limit": min(limit - len(entries), PAGE)}
            answer = await self._call("message.history", asked | given(after=after, before=before))
            page = Page.parse(answer, conv, after)
            read = list(page.entries)
            entries = read + entries if after is None else entries + read
            if not read or not page.more:
                break
            after, before = (None, read[0].seq) if after is None else (read[-1].seq, None)
        return entries

    async def _send(
        self,
        address: dict[str, Any],
        content: dict[str, Any],
        reply_to: int | None,
        mentions: Sequence[str],
        cid: str | None,
    ) -> Sent:
        more = given(reply_to=reply_to, mentions=list(mentions) or None)
        params = {"cid": cid or uuid.uuid4().hex} | content | address | more
        return Sent.parse(await self._command("message.send", params))

    async def _change(self, action: str, cid: str | None, **params: Any) -> Appended:
        keyed = {"cid": cid or uuid.uuid4().hex} | params
        return Appended.parse(await self._command(f"message.{action}", keyed))


def _address(conv: str | None, to: str | None) -> dict[str, Any]:
    if (conv is None) == (to is None):
        raise ValueError("give either conv or to: a conversation, or a person's uid")
    return given(conv=conv, to=to)


def _is(value: Any) -> bool:
    return shape.is_number(value)
