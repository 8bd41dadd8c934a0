"""Announcing entries: the frames of a stored entry, published to who listens to its log.

Everyone on the conversation's channels gets the entry; the sender's devices get it with its
`cid`, and the session that sent it gets none (it has the result).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import redis

from shared import bodies, channels, events, rpc
from shared.bus import Bus, Delivery, Item
from shared.collections import Document
from shared.conversation import parse
from shared.events import Happened
from shared.scripts import execute
from shared.tails import Tails
from shared.telemetry import STEP_SECONDS


@dataclass(frozen=True, slots=True)
class Announcement:
    """A stored entry, what all may see of it, the session that needs no telling, and people who
    are told besides those who listen."""

    document: Document
    shown: dict[str, Any]
    session: str | None = None
    also: tuple[str, ...] = ()


class Announcer:
    """Publishes entries, then moves the tails. Safe under threads."""

    def __init__(self, client: redis.Redis, bus: Bus, tails: Tails) -> None:
        self._redis = client
        self._bus = bus
        self._tails = tails

    def announce(self, announcements: Sequence[Announcement]) -> None:
        """Two round trips for all. The order is kept; a log's last one becomes its tail."""
        if not announcements:
            return
        routed = self._bus.route([each for item in announcements for each in deliveries(item)])
        self._publish(announcements, routed)

    @STEP_SECONDS.labels("publish").time()
    def _publish(
        self, announcements: Sequence[Announcement], routed: dict[str, list[Item]]
    ) -> None:
        last = {item.document["conv"]: item for item in announcements}
        with self._redis.pipeline(transaction=False) as pipe:
            self._bus.enqueue(pipe, routed)
            events.enqueue(pipe, [_created(each) for each in announcements if _is_message(each)])
            self._tails.advance(
                pipe,
                {
                    conv: (item.document["seq"], orjson.dumps(item.shown))
                    for conv, item in last.items()
                },
            )
            execute(pipe)

    def unannounced(self, documents: Sequence[Document]) -> list[Document]:
        """Those of which nobody may know yet: their log's tail stands below them."""
        convs = list({document["conv"] for document in documents})
        seqs = self._tails.seqs(convs)
        return [document for document in documents if seqs[document["conv"]] < document["seq"]]


def _is_message(item: Announcement) -> bool:
    return item.document["type"] in bodies.TYPES


def _created(item: Announcement) -> Happened:
    """The domain event `message.created`. It carries no content, which stays where it is sealed;
    and it has the entry's id, so that one that is announced again is known again."""
    document = item.document
    place = {name: document[name] for name in ("conv", "seq", "id", "sender", "type", "ts")}
    return Happened("message.created", place, document["id"], document["ts"])


def deliveries(item: Announcement) -> list[Delivery]:
    """What the bus is to deliver for one entry."""
    document = item.document
    conversation = parse(document["conv"])
    if conversation is None:
        return []
    listeners = channels.listeners(conversation) + tuple(map(channels.user, item.also))
    sender = document["sender"]
    own = channels.user(sender)
    frame = rpc.notification("entry", item.shown)
    if "cid" not in document or not (own in listeners or conversation.kind == "g"):
        return [Delivery(listeners, frame)]
    to_sender = rpc.notification("entry", {**item.shown, "cid": document["cid"]})
    others = tuple(name for name in listeners if name != own)
    result = [Delivery((own,), to_sender, skip_session=item.session)]
    if others:
        skip = (sender,) if conversation.kind == "g" else ()
        result.append(Delivery(others, frame, skip_users=skip))
    return result
