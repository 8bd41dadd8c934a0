"""Changes of groups that are carried out late, by who knows nothing of later ones."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from local.stack import Stack
from shared import channels, keys
from shared.clock import now_ms
from shared.collections import Document
from shared.groups import groups
from shared.ids import new_id
from shared.stores import redis_client
from tests.calling import Person

Helpers = list[Callable[[], None]]


@pytest.fixture
def helpers(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> Helpers:
    """What carries out each change that is made, once more, as it was then."""
    carriers: Helpers = []
    changes = groups()._changes
    carry_out = changes._carry_out

    def noted(document: Document) -> None:
        then = copy.deepcopy(document)
        carriers.append(lambda: carry_out(then))
        carry_out(document)

    monkeypatch.setattr(changes, "_carry_out", noted)
    return carriers


class Node:
    """A connector that hears of people."""

    def __init__(self, *uids: str) -> None:
        self.id = new_id()
        self._channels = [keys.channel(channels.user(uid)) for uid in uids]
        for name in self._channels:
            redis_client().sadd(name, self.id)

    def told(self) -> list[dict[str, Any]]:
        """The controls since this was asked last."""
        found: Any = redis_client().xrange(keys.node(self.id))
        redis_client().delete(keys.node(self.id))
        return [header for _, fields in found for header in orjson.loads(fields[b"items"])]

    def close(self) -> None:
        for name in self._channels:
            redis_client().srem(name, self.id)
        redis_client().delete(keys.node(self.id))


def joined(node: Node) -> Iterator[str]:
    for header in node.told():
        if header.get("op") == "subscribe":
            assert abs(now_ms() - header["at"]) < 60_000
            yield header["uid"]


@pytest.mark.parametrize("out", ["remove", "leave", "dismiss"])
def test_a_join_is_told_of_those_who_are_still_in(helpers: Helpers, out: str) -> None:
    owner, stays, goes = Person(), Person(), Person()
    gid = owner.do("group.create", name="g")["gid"]
    node = Node(stays.uid, goes.uid)
    try:
        helpers.clear()
        owner.do("group.invite", gid=gid, uids=[stays.uid, goes.uid])
        [late] = helpers
        assert set(joined(node)) == {stays.uid, goes.uid}
        match out:
            case "remove":
                owner.do("group.remove", gid=gid, uids=[goes.uid])
            case "leave":
                goes.do("group.leave", gid=gid)
            case "dismiss":
                owner.do("group.dismiss", gid=gid)
        node.told()
        late()
        assert set(joined(node)) == (set() if out == "dismiss" else {stays.uid})
    finally:
        node.close()
