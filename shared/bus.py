"""The bus: from a channel's name to the connector nodes that have listeners on it.

A publish is one round trip, whatever the number of members: a script in Redis finds the nodes with
subscribers of the channels, and adds a single entry to the stream of each. An entry has three
fields: `items`, a JSON list of headers; `sizes`, a JSON list with the length of each one's frame;
and `frames`, these one behind the other, bytes to write as they are. A header is one of

    {"to": [channel, …], "skip_session": sid?, "skip_users": [uid, …]?,  deliver the frame
     "only_session": sid?}
    {"op": "subscribe" | "unsubscribe", "uid": uid, "channel": name,     change a user's channels
     "session": sid?, "rev": n?, "hint": conv?, "at": ms?, "along": name?}
    {"op": "close", "uid": uid, "device": did?, "code": n, "why": text}  close a user's sessions

A script holds Redis for as long as it runs, so a publish is cut into several, by frames' bytes and
by channels; their order is the items'. A delivery to more channels than one script takes is cut as
well: who listens to several hears it once where they are people's channels, else once a part.

A delivery's header names those of its channels that the node listens to. A control's frame, where
it has one, is written to the sessions it changed, after the change. Where a user's membership of a
channel has revisions, one that comes after a higher one is ignored; so controls may be repeated and
overtake each other. With `hint` the sessions are also told, when the change has taken effect, the
last number given out in that conversation, or to compare, where that is not known.

A subscription says what was so `at` a time of the publisher's clock. One that comes late (its
publisher stood still, and what it knew may not be so any more) is not believed: the functions that
have `session.channels` are asked for the sessions again. After a loss that is done for all
sessions, and what nobody gives any more is left: a channel that is given by controls alone is kept
only `along` with another, if that one is given again (a user's own always is).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, NamedTuple

import orjson
import redis
from redis.client import Pipeline

from shared import channels, keys
from shared.scripts import Script, execute
from shared.settings import settings
from shared.stores import redis_client

# KEYS are channels. ARGV: the streams' cap, what a stream's key begins with, how many characters a
# channel's does, and three for each item: which of the KEYS it is for, its header (of a delivery:
# what follows the channels) and its frame.
_PUBLISH = Script("""
local nodes, names = {}, {}
for index, channel in ipairs(KEYS) do
  nodes[index] = redis.call('SMEMBERS', channel)
  if #nodes[index] > 0 then names[index] = cjson.encode(string.sub(channel, ARGV[3] + 1)) end
end
local entries = {}
for at = 4, #ARGV, 3 do
  local header, frame, there = ARGV[at + 1], ARGV[at + 2], {}
  for found in string.gmatch(ARGV[at], '%d+') do
    local index = tonumber(found)
    for _, node in ipairs(nodes[index]) do
      local listened = there[node]
      if listened then listened[#listened + 1] = names[index] else there[node] = {names[index]} end
    end
  end
  for node, listened in pairs(there) do
    local entry = entries[node]
    if not entry then
      entry = {items = {}, sizes = {}, frames = {}}
      entries[node] = entry
    end
    local number = #entry.items + 1
    local control = string.sub(header, 1, 1) == '{'
    entry.items[number] = control and header
      or '{"to":[' .. table.concat(listened, ',') .. ']' .. header
    entry.sizes[number] = #frame
    entry.frames[number] = frame
  end
end
for node, entry in pairs(entries) do
  redis.call(
    'XADD', ARGV[2] .. node, 'MAXLEN', '~', ARGV[1], '*',
    'items', '[' .. table.concat(entry.items, ',') .. ']',
    'sizes', '[' .. table.concat(entry.sizes, ',') .. ']',
    'frames', table.concat(entry.frames)
  )
end
return #KEYS
""")
_ITEMS = 1000  # in one entry, at most


class Delivery(NamedTuple):
    """A frame for every session on any of the channels, once, but for the ones to skip; or for
    only one of them."""

    to: tuple[str, ...]
    frame: bytes
    skip_session: str | None = None
    skip_users: tuple[str, ...] = ()
    only_session: str | None = None

    def header(self) -> bytes:
        """What follows the channels."""
        header: dict[str, Any] = {}
        if self.skip_session is not None:
            header["skip_session"] = self.skip_session
        if self.skip_users:
            header["skip_users"] = self.skip_users
        if self.only_session is not None:
            header["only_session"] = self.only_session
        return b"," + orjson.dumps(header)[1:] if header else b"}"


@dataclass(frozen=True, slots=True)
class Membership:
    """All sessions of a user (or only `session`) join or leave a channel; then `frame` is written
    to them. Whoever subscribes says when (`at`, ms) it was read that the user may hear it."""

    op: Literal["subscribe", "unsubscribe"]
    uid: str
    channel: str
    frame: bytes = b""
    rev: int | None = None
    hint: str | None = None
    session: str | None = None
    at: int | None = None
    along: str | None = None

    @property
    def to(self) -> tuple[str, ...]:
        return (channels.user(self.uid),)

    def header(self) -> bytes:
        header: dict[str, Any] = {"op": self.op, "uid": self.uid, "channel": self.channel}
        for name in ("rev", "hint", "session", "at", "along"):
            if (value := getattr(self, name)) is not None:
                header[name] = value
        return orjson.dumps(header)


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

    def header(self) -> bytes:
        header = {"op": "close", "uid": self.uid, "code": self.code, "why": self.why}
        if self.device is not None:
            header["device"] = self.device
        return orjson.dumps(header)


Item = Delivery | Membership | Close


class Bus:
    """Publishes to channels. Safe under threads."""

    def __init__(
        self, client: redis.Redis, stream_length: int, entry_limit: int, channels_limit: int
    ) -> None:
        """One script gets items of `entry_limit` bytes and `channels_limit` channels, or one."""
        self._redis = client
        self._stream_length = stream_length
        self._entry_limit = entry_limit
        self._channels_limit = channels_limit

    def publish(self, items: Sequence[Item]) -> None:
        """Puts the items, in order, into the stream of every node with listeners."""
        if items:
            with self._redis.pipeline(transaction=False) as pipe:
                self.enqueue(pipe, items)
                execute(pipe)

    def enqueue(self, pipe: Pipeline, items: Sequence[Item]) -> None:
        """Adds the same to a pipeline (run by `scripts.execute`): no round trip of its own."""
        prefix = keys.channel("")
        for part in self._parts(items):
            numbers: dict[str, int] = {}
            arguments: list[Any] = [self._stream_length, keys.node(""), len(prefix)]
            for item in part:
                to = [str(numbers.setdefault(name, len(numbers) + 1)) for name in item.to]
                arguments += (" ".join(to), item.header(), item.frame)
            # Whole: what follows in the pipeline must not overtake it.
            _PUBLISH.add_whole(pipe, tuple(map(keys.channel, numbers)), *arguments)

    def _parts(self, items: Iterable[Item]) -> Iterable[list[Item]]:
        part: list[Item] = []
        size = named = 0
        for item in itertools.chain.from_iterable(map(self._narrow, items)):
            size += len(item.frame)
            named += len(item.to)
            if part and (
                size > self._entry_limit or named > self._channels_limit or len(part) == _ITEMS
            ):
                yield part
                part, size, named = [], len(item.frame), len(item.to)
            part.append(item)
        if part:
            yield part

    def _narrow(self, item: Item) -> Iterable[Item]:
        """The item, or the same for some of its channels at a time. Those who were reached by a
        part are skipped in the next."""
        if not isinstance(item, Delivery) or len(item.to) <= self._channels_limit:
            return (item,)
        told: tuple[str, ...] = ()
        parts = []
        for start in range(0, len(item.to), self._channels_limit):
            to = item.to[start : start + self._channels_limit]
            parts.append(item._replace(to=to, skip_users=(*item.skip_users, *told)))
            told += tuple(filter(None, map(channels.uid_of, to)))
        return parts


@cache
def bus() -> Bus:
    """This process's bus, on the Redis of its settings."""
    config = settings()
    return Bus(
        redis_client(),
        config.node_stream_length,
        config.bus_entry_limit,
        config.bus_channels_limit,
    )
