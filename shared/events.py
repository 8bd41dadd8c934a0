"""Domain events: what happened, told to the functions that announce an interest in it.

    emit([Happened("message.created", {"conv": conv, "seq": seq})])

A function subscribes with `@fn.event("message.created")` and the annotation `stonechat.events`.
Events wait in Redis streams, capped, from which the connectors hand them to each subscriber at
least once, in any order. Those of messages have a stream of their own: who does not want them need
not read them, and where nobody does, the stream does not even come to be. An entry of a stream
holds a batch: its field `events` is a JSON list of `{"id", "type", "ts", "data", "request_id"}`. A
repeated event has the same id.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from redis.client import Pipeline

from shared import keys, subjects
from shared.ids import new_id
from shared.settings import settings
from shared.stores import redis_client


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. `ts` is in UTC milliseconds, `data` a JSON object; `request_id` is of the request
    that caused it, empty where that is not known."""

    type: str
    data: dict[str, Any]
    id: str = field(default_factory=new_id)
    ts: int = field(default_factory=now_ms)
    request_id: str = field(default_factory=subjects.request_id)


def fields(events: Sequence[Happened], only: str | None = None) -> dict[Any, Any]:
    """The stream entry that holds these events, for one function only or for all that want them."""
    found: dict[Any, Any] = {b"events": orjson.dumps(list(events))}
    return found if only is None else found | {b"only": only.encode()}


def concerns(entry: Mapping[bytes, bytes], function: str) -> bool:
    """Whether the stream entry is for this function too."""
    return entry.get(b"only", function.encode()) == function.encode()


def parse(entry: Mapping[bytes, bytes]) -> list[Happened]:
    """The events in a stream entry. Raises `ValueError` where it holds none."""
    try:
        return [Happened(**each) for each in orjson.loads(entry[b"events"])]
    except (KeyError, TypeError) as error:
        raise ValueError(f"not a batch of events: {error!r}") from None


def emit(events: Sequence[Happened]) -> None:
    """Tells all subscribers, in one round trip. Raises `redis.RedisError`; repeat it then, since a
    subscriber copes with events that come twice."""
    if events:
        with redis_client().pipeline(transaction=False) as pipe:
            enqueue(pipe, events)
            pipe.execute()


def enqueue(pipe: Pipeline, events: Sequence[Happened]) -> None:
    """Adds the same to a pipeline: no round trip of its own."""
    batches: dict[str, list[Happened]] = {}
    for event in events:
        batches.setdefault(stream(event.type), []).append(event)
    for name, batch in batches.items():
        # The stream is made by its first subscriber; until then nobody would read it.
        pipe.xadd(
            name,
            fields(batch),
            maxlen=settings().events_stream_length,
            approximate=True,
            nomkstream=name == keys.MESSAGE_EVENTS,
        )


def stream(type_: str) -> str:
    """The stream that events of this type wait in."""
    return keys.MESSAGE_EVENTS if type_.startswith("message.") else keys.EVENTS
