"""No command names more keys than a setting says, and the answers are the same."""

from types import SimpleNamespace
from typing import Any

import pytest

from local.stack import Stack
from shared import scripts
from shared.collections import USERS
from shared.entry import Draft, Entry
from shared.friendships import Relation, friendships
from shared.ids import new_id
from shared.log import log
from shared.members import NOBODY, members
from shared.stores import database, redis_client

LIMIT = 3


@pytest.fixture(autouse=True)
def narrow(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "settings", lambda: SimpleNamespace(redis_keys_limit=LIMIT))


class Heard:
    """What Redis was told meanwhile: how many names with one of our ids in each command."""

    def __init__(self, ours: list[str]) -> None:
        self._ours = ours
        self.most = 0

    def __enter__(self) -> "Heard":
        self._monitor = redis_client().monitor().__enter__()
        return self

    def __exit__(self, *failure: Any) -> None:
        redis_client().echo("the end")
        for said in self._monitor.listen():
            if said["command"] == "ECHO the end":
                break
            named = said["command"].split(" ")
            count = sum(any(name.endswith(each) for each in self._ours) for name in named)
            self.most = max(self.most, count)
        self._monitor.__exit__(*failure)


@pytest.mark.parametrize("count", [0, 1, LIMIT, LIMIT + 1, 4 * LIMIT + 2])
def test_logs(stores: Stack, count: int) -> None:
    convs = [f"g:{new_id()}" for _ in range(count)]
    drafts = [
        Draft(conv, "sender00", "test", str(n), "text", {}) for n in range(2) for conv in convs
    ]
    with Heard(convs) as heard:
        found = log().append(drafts)
        tails = log().tails.read(convs)
    assert [entry.seq for entry in found if isinstance(entry, Entry)] == [1] * count + [2] * count
    assert [tails[conv].seq for conv in convs] == [2] * count
    assert list(log().tails.entries(tails)) == convs
    assert heard.most == min(count, LIMIT)


@pytest.mark.parametrize("count", [0, 1, LIMIT, LIMIT + 1, 4 * LIMIT + 2])
def test_pairs_and_standings(stores: Stack, count: int) -> None:
    me, gid, *others = uids = [new_id() for _ in range(count + 2)]
    database()[USERS].insert_many([{"_id": uid, "username": f"u{uid}"} for uid in uids])
    pairs = [(me, other) for other in others]
    with Heard(others) as heard:
        for _ in range(2):  # from the store, then from the copies
            assert friendships().relations(pairs) == dict.fromkeys(pairs, Relation())
        known = members().standings({gid: others})
    assert known == {(gid, other): NOBODY for other in others}
    assert heard.most <= LIMIT


def test_pairs_with_nobody_leave_no_copy(stores: Stack) -> None:
    me, nobody = new_id(), new_id()
    database()[USERS].insert_one({"_id": me, "username": f"u{me}"})
    for pair in ((me, nobody), (nobody, me), (nobody, new_id())):
        assert friendships().relations([pair]) == {pair: Relation()}
    assert list(redis_client().scan_iter(f"*{nobody}*", count=10_000)) == []
