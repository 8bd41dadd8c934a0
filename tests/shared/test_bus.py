"""Publishing, seen from a node's stream: how it is cut, and that nobody hears twice."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from local.stack import Stack
from shared import channels, keys
from shared.bus import Bus, Close, Delivery, Item, Membership
from shared.ids import new_id
from shared.stores import redis_client

LIMIT = 5


class Node:
    """A node that listens to some people's channels and to others."""

    def __init__(self, people: int) -> None:
        self.id = new_id()
        self.uids = [new_id() for _ in range(people)]
        self.names = [channels.user(uid) for uid in self.uids]
        self.bus = Bus(redis_client(), 1000, 1 << 20, LIMIT)
        self.listen(*self.names)

    def listen(self, *names: str) -> None:
        for name in names:
            redis_client().sadd(keys.channel(name), self.id)
        self.names = list(dict.fromkeys([*self.names, *names]))

    def publish(self, *items: Item) -> list[list[tuple[dict[str, Any], bytes]]]:
        """What came: for each entry of the stream its headers, each with its frame."""
        self.bus.publish(items)
        entries: Any = redis_client().xrange(keys.node(self.id))
        redis_client().delete(keys.node(self.id))
        return [list(_items(fields)) for _, fields in entries]

    def leave(self) -> None:
        for name in self.names:
            redis_client().srem(keys.channel(name), self.id)


def _items(fields: dict[bytes, bytes]) -> Iterator[tuple[dict[str, Any], bytes]]:
    start, frames = 0, fields[b"frames"]
    headers, sizes = orjson.loads(fields[b"items"]), orjson.loads(fields[b"sizes"])
    for header, size in zip(headers, sizes, strict=True):
        yield header, frames[start : start + size]
        start += size


@pytest.fixture
def node(stores: Stack) -> Iterator[Node]:
    made = Node(3 * LIMIT)
    yield made
    made.leave()


@pytest.mark.parametrize(
    ("named", "parts"),
    [(0, 0), (1, 1), (LIMIT - 1, 1), (LIMIT, 1), (LIMIT + 1, 2), (2 * LIMIT, 2), (3 * LIMIT, 3)],
)
def test_a_delivery_to_many_channels_is_cut(node: Node, named: int, parts: int) -> None:
    wanted = node.names[:named]
    found = node.publish(Delivery(tuple(wanted), b"news", "a-session", ("somebody",)))
    assert len(found) == parts
    headers = [header for entry in found for header, frame in entry if frame == b"news"]
    assert [name for header in headers for name in header["to"]] == wanted
    told: list[str] = []
    for header in headers:
        assert (header["skip_session"], header["skip_users"]) == (
            "a-session",
            ["somebody", *told],
        )
        told += [uid for uid in node.uids if channels.user(uid) in header["to"]]


@pytest.mark.parametrize("each", [1, 2, LIMIT, LIMIT + 1])
def test_many_deliveries_are_cut_by_channels_in_their_order(node: Node, each: int) -> None:
    items = [
        Delivery(tuple(node.names[start : start + each]), b"%d" % start)
        for start in range(0, 3 * LIMIT, each)
    ]
    found = node.publish(*items)
    assert all(sum(len(header["to"]) for header, _ in entry) <= LIMIT for entry in found)
    frames = [frame for entry in found for _, frame in entry]
    assert list(dict.fromkeys(frames)) == [item.frame for item in items]
    assert frames == sorted(frames, key=int)
    if each == 1:
        assert [len(entry) for entry in found] == [LIMIT] * 3


def test_controls_keep_their_place_between_parts(node: Node) -> None:
    uid = node.uids[0]
    wide = Delivery(tuple(node.names), b"wide")
    found = node.publish(
        Membership("subscribe", uid, "a", rev=1),
        wide,
        Membership("unsubscribe", uid, "a", rev=2),
        Close(uid, 4001, "signed out", frame=b"bye"),
    )
    came = [header.get("op", "deliver") for entry in found for header, _ in entry]
    assert came == ["subscribe", *["deliver"] * 3, "unsubscribe", "close"]


def test_who_was_told_in_one_part_is_skipped_in_the_next(node: Node) -> None:
    """Somebody may listen to a channel of their own and to one of many: they hear it once."""
    node.listen("presence:crowd")
    found = node.publish(Delivery((*node.names[:LIMIT], "presence:crowd"), b"away"))
    first, second = (entry[0][0] for entry in found)
    assert first["to"] == node.names[:LIMIT]
    assert second == {"to": ["presence:crowd"], "skip_users": node.uids[:LIMIT]}
