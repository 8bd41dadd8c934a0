"""Announcing entries: the frames of a stored entry, published to who listens to its log.

Everyone on the conversation's channels gets the entry; the sender's devices get it with its
`cid`, and the session that sent it gets none (it has the result).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import orjson
import redis

from shared import bodies, channels, events, keys, rpc
from shared.bus import Bus, Delivery
from shared.collections import Document
from shared.conversation import Conversation, parse
from shared.entry import Draft, unbodied
from shared.events import Happened
from shared.generations import Generation, Generations
from shared.tails import Newest, Tails
from shared.telemetry import STEP_SECONDS

_PLACE = ("conv", "seq", "id", "sender", "type", "ts")


class Announcement(NamedTuple):
    """A stored entry, what all may see of it as JSON, the session that needs no telling, and people
    who are told besides those who listen. `outside` is whether its sender is not told. Those who
    are `late` may not see its body; where they are too many to name (None), all are told to fetch
    it. `begun_in` is the generation in which one that was stored just now got its number."""

    document: Document
    shown: bytes
    session: str | None = None
    also: tuple[str, ...] = ()
    outside: bool = False
    late: tuple[str, ...] | None = ()
    begun_in: Generation | None = None

    @classmethod
    def of(cls, document: Document, entry: dict[str, Any]) -> Self:
        """That of an entry that was stored before."""
        return cls(document, orjson.dumps(entry))

    @classmethod
    def fresh(
        cls, document: Document, entry: dict[str, Any], draft: Draft, begun_in: Generation
    ) -> Self:
        """That of an entry that was made of the draft just now."""
        text = orjson.dumps(entry)
        return cls(document, text, draft.session, draft.also, draft.outside, draft.late, begun_in)

    @property
    def unbodied(self) -> bytes:
        """As those have it who may not see what it is about."""
        return orjson.dumps(unbodied(orjson.loads(self.shown)))

    @property
    def listed(self) -> bytes:
        """As lists of conversations have it."""
        return self.unbodied if self.document["type"] == "edit" else self.shown


class Announcer:
    """Publishes entries, then moves the tails. Safe under threads."""

    def __init__(
        self, client: redis.Redis, bus: Bus, generations: Generations, tails: Tails
    ) -> None:
        self._redis = client
        self._bus = bus
        self._generations = generations
        self._tails = tails
        self._events_wanted = True  # whether somebody subscribed, when last looked

    def announce(self, announcements: Sequence[Announcement]) -> None:
        """One round trip for all. The order is kept; a log's last one becomes its tail."""
        if announcements:
            self._publish(announcements)

    @STEP_SECONDS.labels("publish").time()
    def _publish(self, announcements: Sequence[Announcement]) -> None:
        items = [each for item in announcements for each in deliveries(item)]
        told = self._events_wanted

        def work(now: Generation) -> None:
            tails = {item.document["conv"]: _newest(item, now) for item in announcements}
            with self._redis.pipeline(transaction=False) as pipe:
                pipe.exists(keys.MESSAGE_EVENTS)
                self._bus.enqueue(pipe, items)
                if told:
                    events.enqueue(pipe, _created(announcements))
                advanced = self._tails.advance(now, pipe, tails)
                answers = now.execute(pipe)
            self._events_wanted = bool(answers[0])
            self._tails.settle(now, tails, answers[-advanced:])

        self._generations.within(work)
        if self._events_wanted and not told:
            events.emit(_created(announcements))

    def unannounced(self, documents: Sequence[Document]) -> list[Document]:
        """Those of which nobody may know yet: their log's tail stands below them, or is missing."""
        kept = self._tails.kept(list({document["conv"] for document in documents}))
        return [each for each in documents if kept.get(each["conv"], 0) < each["seq"]]


def _newest(item: Announcement, now: Generation) -> Newest:
    """The entry as its log's tail, which the first one makes. In another generation than that of
    its number there may be later ones."""
    seq = item.document["seq"]
    return Newest(seq, item.listed, makes=seq == 1 and item.begun_in == now)


def _created(announcements: Sequence[Announcement]) -> list[Happened]:
    """The domain events `message.created`. They carry no content, which stays where it is sealed;
    and they have the entry's id, so that one that is announced again is known again."""
    happened = []
    for document in (item.document for item in announcements):
        if document["type"] in bodies.TYPES:
            place = {name: document[name] for name in _PLACE}
            happened.append(Happened("message.created", place, document["id"], document["ts"]))
    return happened


def deliveries(item: Announcement) -> list[Delivery]:
    """What the bus is to deliver for one entry."""
    document = item.document
    conversation = parse(document["conv"])
    if conversation is None:
        return []
    if item.late is None:
        return [_hint(item, conversation)]
    listeners = channels.listeners(conversation) + tuple(map(channels.user, item.also))
    sender = document["sender"]
    own = channels.user(sender)
    result = []
    skip = item.late
    others = listeners
    if not item.outside and "cid" in document and (own in listeners or conversation.kind == "g"):
        own_entry = b'%b,"cid":%b}' % (item.shown[:-1], orjson.dumps(document["cid"]))
        to_sender = rpc.notification_of("entry", own_entry)
        result.append(Delivery((own,), to_sender, skip_session=item.session))
        others = tuple(name for name in listeners if name != own)
        skip = (sender, *skip) if conversation.kind == "g" else skip
    if others:
        frame = rpc.notification_of("entry", item.shown)
        result.append(Delivery(others, frame, skip_users=skip))
    if item.late:
        frame = rpc.notification_of("entry", item.unbodied)
        result.append(Delivery(tuple(map(channels.user, item.late)), frame))
    return result


def _hint(item: Announcement, conversation: Conversation) -> Delivery:
    place = {"conv": item.document["conv"], "last_seq": item.document["seq"]}
    frame = rpc.notification("conversation.hint", place)
    return Delivery(channels.listeners(conversation), frame, skip_session=item.session)
