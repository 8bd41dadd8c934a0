"""The bus: from a channel's name to the connector nodes that have listeners on it.

A publish is two round trips, whatever the number of members: one pipeline asks which nodes have
subscribers of the channels, one adds a single stream entry for each such node. An entry of a
node's stream has a field `items`, a JSON list of headers, and a field `0`, `1`, … for each
frame, bytes to write as they are. A header is one of

    {"to": [channel, …], "skip_session": sid?, "skip_users": [uid, …]?,  deliver the frame
     "only_session": sid?}
    {"op": "subscribe" | "unsubscribe", "uid": uid, "channel": name,     change a user's channels
     "session": sid?, "rev": n?, "hint": conv?}
    {"op": "close", "uid": uid, "device": did?, "code": n, "why": text}  close a user's sessions

A delivery's header names those of its channels that the node listens to. A control's frame, where
it has one, is written to the sessions it changed, after the change. Where a user's membership of a
channel has revisions, one that comes after a higher one is ignored; so controls may be repeated and
overtake each other. With `hint` the sessions are also told, when the change has taken effect, the
last number given out in that conversation.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

import orjson
import redis
from redis.client import Pipeline

from shared import channels, keys
from shared.scripts import Script, execute
from shared.settings import settings
from shared.stores import redis_client
from shared.telemetry import STEP_SECONDS

# The nodes of each channel, in one command.
_NODES = Script("""
local nodes = {}
for index, channel in ipairs(KEYS) do nodes[index] = redis.call('SMEMBERS', channel) end
return nodes
""")


@dataclass(frozen=True, slots=True)
class Delivery:
    """A frame for every session on any of the channels, once, but for the ones to skip; or for
    only one of them."""

    to: tuple[str, ...]
    frame: bytes
    skip_session: str | None = None
    skip_users: tuple[str, ...] = ()
    only_session: str | None = None

    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = {"to": self.to}
        if self.skip_session is not None:
            header["skip_session"] = self.skip_session
        if self.skip_users:
            header["skip_users"] = self.skip_users
        if self.only_session is not None:
            header["only_session"] = self.only_session
        return header


@dataclass(frozen=True, slots=True)
class Membership:
    """All sessions of a user (or only `session`) join or leave a channel; then `frame` is written
    to them."""

    op: Literal["subscribe", "unsubscribe"]
    uid: str
    channel: str
    frame: bytes = b""
    rev: int | None = None
    hint: str | None = None
    session: str | None = None

    @property
    def to(self) -> tuple[str, ...]:
        return (channels.user(self.uid),)

    def header(self) -> dict[str, Any]:
        header: dict[str, Any] = {"op": self.op, "uid": self.uid, "channel": self.channel}
        if self.rev is not None:
            header["rev"] = self.rev
        if self.hint is not None:
            header["hint"] = self.hint
        if self.session is not None:
            header["session"] = self.session
        return header


@dataclass(frozen=True, slots=True)
class Close:
    """A user's sessions (of one device, where given) are closed, accepted calls answered first."""

    uid: str
    code: int
    why: str
    device: str | None = None
    frame: bytes = b""

    @property
    def to(self) -> tuple[str, ...]:
        return (channels.user(self.uid),)

    def header(self) -> dict[str, Any]:
        header = {"op": "close", "uid": self.uid, "code": self.code, "why": self.why}
        if self.device is not None:
            header["device"] = self.device
        return header


Item = Delivery | Membership | Close


class Bus:
    """Publishes to channels. Safe under threads."""

    def __init__(self, client: redis.Redis, stream_length: int, entry_limit: int) -> None:
        self._redis = client
        self._stream_length = stream_length
        self._entry_limit = entry_limit

    def publish(self, items: Sequence[Item]) -> None:
        """Puts the items, in order, into the stream of every node with listeners."""
        routed = self.route(items)
        if routed:
            with self._redis.pipeline(transaction=False) as pipe:
                self.enqueue(pipe, routed)
                pipe.execute()

    @STEP_SECONDS.labels("route").time()
    def route(self, items: Sequence[Item]) -> dict[str, list[Item]]:
        """The items of each node that has listeners, in order. One round trip."""
        names = list(dict.fromkeys(name for item in items for name in item.to))
        if not names:
            return {}
        with self._redis.pipeline(transaction=False) as pipe:
            _NODES.add(pipe, tuple(map(keys.channel, names)))
            nodes: dict[str, list[bytes]] = dict(zip(names, execute(pipe)[0], strict=True))
        routed: dict[str, list[Item]] = {}
        for item in items:
            there: dict[bytes, list[str]] = {}
            for name in item.to:
                for node in nodes[name]:
                    there.setdefault(node, []).append(name)
            for node, listened in there.items():
                routed.setdefault(node.decode(), []).append(_narrowed(item, tuple(listened)))
        return routed

    def enqueue(self, pipe: Pipeline, routed: dict[str, list[Item]]) -> None:
        """Adds what `route` found to a pipeline: no round trip of its own."""
        for node, items in routed.items():
            for part in self._parts(items):
                pipe.xadd(
                    keys.node(node), _fields(part), maxlen=self._stream_length, approximate=True
                )

    def _parts(self, items: Iterable[Item]) -> Iterable[list[Item]]:
        part: list[Item] = []
        size = 0
        for item in items:
            if part and size + len(item.frame) > self._entry_limit:
                yield part
                part, size = [], 0
            part.append(item)
            size += len(item.frame)
        yield part


def _narrowed(item: Item, to: tuple[str, ...]) -> Item:
    """The item for a node that listens to these of its channels."""
    return replace(item, to=to) if isinstance(item, Delivery) and item.to != to else item


def _fields(items: Sequence[Item]) -> dict[Any, Any]:
    fields: dict[Any, Any] = {b"items": orjson.dumps([item.header() for item in items])}
    for index, item in enumerate(items):
        fields[b"%d" % index] = item.frame
    return fields


@cache
def bus() -> Bus:
    """This process's bus, on the Redis of its settings."""
    config = settings()
    return Bus(redis_client(), config.node_stream_length, config.bus_entry_limit)
