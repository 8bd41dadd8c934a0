"""Friends over raw sockets: every method, every refusal, and what each side learns."""

import asyncio
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from local.stack import Stack
from shared import keys
from shared.collections import FRIENDSHIPS
from shared.friendships import Relation, friendships, key_of, states_of
from shared.ids import new_id
from shared.settings import settings
from shared.stores import database, redis_client
from tests.soft import soft
from tests.wire import Refused, Wire

SignIn = Callable[..., Coroutine[Any, Any, Wire]]
_cids = itertools.count()


@pytest.fixture
async def sign_in(stack: Stack, name: str) -> SignIn:
    urls = itertools.cycle(stack.layout.connector_urls)

    async def made(suffix: str, device: str = "test") -> Wire:
        return await Wire.sign_in(next(urls), name + suffix, device)

    return made


@pytest.fixture
async def pair(sign_in: SignIn) -> tuple[Wire, Wire]:
    """Two people on two connectors."""
    return await sign_in("a"), await sign_in("b")


async def act(wire: Wire, action: str, other: Wire | str, **params: Any) -> Any:
    """The state, or the friend, that an action leads to, or why it is refused."""
    uid = other if isinstance(other, str) else other.uid
    params = {"uid": uid, "cid": f"c{next(_cids)}"} | params
    try:
        result = await wire.call(f"friend.{action}", **params)
    except Refused as refused:
        return refused.reason
    return result["state"] if set(result) == {"state"} else result


async def listed(wire: Wire, state: str | None = None) -> list[dict[str, Any]]:
    params: dict[str, Any] = {"limit": 500} | ({"state": state} if state else {})
    found: list[dict[str, Any]] = []
    while True:
        page = await wire.call("friend.list", **params)
        found += page["friends"]
        if "next" not in page:
            return found
        params["after"] = page["next"]


async def states(wire: Wire) -> dict[str, str]:
    return {each["uid"]: each["state"] for each in await listed(wire)}


async def told(wire: Wire) -> list[tuple[str, str, str]]:
    """(event, uid, state) of all entries in the inbox, as history has them."""
    found = await wire.call("message.history", conv=f"u:{wire.uid}", after=0, limit=200)
    assert not found["more"]
    bodies = [each["body"] for each in found["entries"] if each["type"] == "friend"]
    return [(body["event"], body["uid"], body["state"]) for body in bodies]


async def befriend(one: Wire, other: Wire) -> None:
    assert await act(one, "request", other) == "outgoing"
    assert await act(other, "accept", one) == "friend"


async def test_a_request_is_accepted(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    assert await act(alice, "request", bob, note="it is me") == "outgoing"
    (mine,), (theirs,) = await listed(alice), await listed(bob)
    assert (mine["uid"], mine["state"], mine["note"]) == (bob.uid, "outgoing", "it is me")
    assert (theirs["uid"], theirs["state"], theirs["note"]) == (alice.uid, "incoming", "it is me")
    assert mine["since"] == theirs["since"]
    assert await act(bob, "accept", alice) == "friend"
    (mine,) = await listed(alice)
    assert set(mine) == {"uid", "state", "since"}
    assert mine["since"] > theirs["since"]
    assert await listed(alice, "outgoing") == []
    assert await listed(alice, "friend") == [mine]
    assert await told(alice) == [
        ("requested", bob.uid, "outgoing"),
        ("accepted", bob.uid, "friend"),
    ]
    assert await told(bob) == [
        ("requested", alice.uid, "incoming"),
        ("accepted", alice.uid, "friend"),
    ]


async def test_entries_come_live_to_all_devices_of_both(sign_in: SignIn) -> None:
    alice, bob = await sign_in("a"), await sign_in("b")
    others = [await sign_in(suffix, "second") for suffix in ("a", "b")]
    await befriend(alice, bob)
    for wire in (alice, bob, *others):
        entries = await wire.until("entry", 2)
        assert [entry["conv"] for entry in entries] == [f"u:{wire.uid}"] * 2
        assert [entry["seq"] for entry in entries] == [1, 2]
        assert [entry["sender"] for entry in entries] == [alice.uid, bob.uid]
        assert ["cid" in entry for entry in entries] == [
            sender == wire.uid for sender in (alice.uid, bob.uid)
        ]
    (inbox,) = (await bob.call("conversation.list"))["conversations"]
    assert (inbox["conv"], inbox["last_seq"], inbox["unread"]) == (f"u:{bob.uid}", 2, 2)


async def test_turned_down_withdrawn_and_ended(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    await act(alice, "request", bob)
    assert await act(bob, "decline", alice) == "none"
    await act(alice, "request", bob)
    assert await act(alice, "remove", bob) == "none"
    await befriend(alice, bob)
    assert await act(bob, "remove", alice) == "none"
    assert (await states(alice), await states(bob)) == ({}, {})
    events = ["requested", "declined", "requested", "removed", "requested", "accepted", "removed"]
    assert [event for event, _, _ in await told(alice)] == events
    assert [event for event, _, _ in await told(bob)] == events


async def test_repeating_oneself_changes_nothing(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    for _ in range(3):
        assert await act(alice, "request", bob) == "outgoing"
    await act(bob, "accept", alice)
    assert await act(alice, "request", bob) == "friend"
    for _ in range(3):
        assert await act(alice, "block", bob) == "blocked"
    assert [event for event, _, _ in await told(alice)] == ["requested", "accepted", "blocked"]


async def test_a_repeated_cid_has_its_first_result(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    assert await act(alice, "request", bob, cid="1") == "outgoing"
    assert await act(alice, "request", bob, cid="2") == "outgoing"
    assert await act(bob, "accept", alice, cid="1") == "friend"
    assert await act(alice, "update", bob, cid="1", alias="Bobby") == (
        first := await act(alice, "update", bob, cid="1", alias="other")
    )
    assert first["alias"] == "Bobby"
    assert await act(alice, "remove", bob, cid="1") == "none"
    # Were they run again, each of these would change something or be refused.
    assert await act(alice, "request", bob, cid="1") == "outgoing"
    assert await act(alice, "request", bob, cid="2") == "outgoing"
    assert await act(alice, "request", new_id(), cid="2") == "not_found"
    assert await act(bob, "accept", alice, cid="1") == "friend"
    assert await act(alice, "update", bob, cid="1", alias="x") == first
    assert await act(alice, "remove", bob, cid="1") == "none"
    assert (await states(alice), await states(bob)) == ({}, {})
    assert len(await told(alice)) == 4
    # Refused is not done: the same command may succeed later.
    assert await act(bob, "accept", alice, cid="9") == "not_found"
    await act(alice, "request", bob)
    assert await act(bob, "accept", alice, cid="9") == "friend"


async def test_one_cid_at_the_same_time_is_one_command(sign_in: SignIn) -> None:
    alice, bob = await sign_in("a"), await sign_in("b")
    second = await sign_in("a", "second")
    for cid in map(str, range(10)):
        found = await asyncio.gather(
            *(act(wire, "request", bob, cid=cid) for wire in (alice, second) for _ in range(3))
        )
        assert set(found) == {"outgoing"}
        await act(alice, "remove", bob)
    assert len(await told(bob)) == 20


async def test_crossing_requests_befriend(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    for number in range(30):
        found = await asyncio.gather(act(alice, "request", bob), act(bob, "request", alice))
        assert sorted(found) == ["friend", "outgoing"]
        assert await states(alice) == {bob.uid: "friend"}
        assert await states(bob) == {alice.uid: "friend"}
        assert await act((alice, bob)[number % 2], "remove", (bob, alice)[number % 2]) == "none"
    for wire in pair:
        events = [event for event, _, _ in await told(wire)]
        assert events == ["requested", "accepted", "removed"] * 30


async def test_whatever_both_do_at_once_they_agree(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    actions = ("request", "accept", "remove", "block", "unblock", "decline")
    agreed = {("friend", "friend"), ("outgoing", "incoming"), ("incoming", "outgoing")}
    for mine, theirs in itertools.product(actions, actions):
        await asyncio.gather(act(alice, mine, bob), act(bob, theirs, alice))
        one = (await states(alice)).get(bob.uid, "none")
        other = (await states(bob)).get(alice.uid, "none")
        assert (one, other) in agreed or {one, other} <= {"none", "blocked"}
        assert applied(await inbox_bodies(alice)) == await listed(alice)
        assert applied(await inbox_bodies(bob)) == await listed(bob)


async def inbox_bodies(wire: Wire) -> list[dict[str, Any]]:
    bodies: list[dict[str, Any]] = []
    after, more = 0, True
    while more:
        page = await wire.call("message.history", conv=f"u:{wire.uid}", after=after, limit=200)
        bodies += [each["body"] for each in page["entries"] if each["type"] == "friend"]
        after, more = after + len(page["entries"]), page["more"]
    return bodies


def applied(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The list of friends of a client that did nothing but apply the entries of its inbox."""
    known: dict[str, dict[str, Any]] = {}
    for body in bodies:
        known.pop(body["uid"], None)
        if body["state"] != "none":
            known[body["uid"]] = {name: body[name] for name in body if name != "event"}
    return sorted(known.values(), key=lambda each: (each["since"], each["uid"]))


async def test_state_equals_events(sign_in: SignIn) -> None:
    """For every action, the entries told what a fresh list says."""
    alice, bob, carol, dave = [await sign_in(suffix) for suffix in "abcd"]
    await act(alice, "request", bob, note="hello")
    await act(carol, "request", alice, note="from carol")
    await befriend(dave, alice)
    everyone = (alice, bob, carol, dave)

    async def agree() -> None:
        for wire in everyone:
            assert applied(await inbox_bodies(wire)) == await listed(wire)

    await agree()
    await act(alice, "update", dave, alias="D", tags=["x", "y"], ext={"k": "v"})
    await agree()
    await act(alice, "update", dave, tags=[], ext={})
    await act(bob, "accept", alice)
    await act(alice, "decline", carol)
    await agree()
    await act(alice, "block", dave)
    await act(dave, "block", alice)
    await agree()
    await act(alice, "unblock", dave)
    await act(alice, "block", carol)
    await act(bob, "remove", alice)
    await agree()
    live = [n["params"]["body"] for n in alice.notifications if n["method"] == "entry"]
    assert live == await inbox_bodies(alice)


async def test_what_one_notes_of_a_friend(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    assert await act(alice, "update", bob, alias="B") == "conflict"
    await befriend(alice, bob)
    noted = await act(alice, "update", bob, alias="B", tags=["work"], ext={"colour": "red"})
    assert noted == {
        "uid": bob.uid,
        "state": "friend",
        "since": noted["since"],
        "alias": "B",
        "tags": ["work"],
        "ext": {"colour": "red"},
    }
    assert await listed(alice) == [noted]
    assert "alias" not in (await listed(bob))[0]
    assert await told(bob) == (await told(bob))[:2]
    cleared = await act(alice, "update", bob, alias="", ext={})
    assert cleared == {name: noted[name] for name in ("uid", "state", "since", "tags")}
    # It goes with the friendship.
    await act(bob, "remove", alice)
    await befriend(bob, alice)
    assert "tags" not in (await listed(alice))[0]


async def test_notes_are_short(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    await befriend(alice, bob)
    room = settings().friend_notes_limit - len('{"ext":{"a":"","b":"","c":""}}')
    ext = {"a": "x" * 400, "b": "x" * 400, "c": "x" * (room - 800)}
    assert (await act(alice, "update", bob, ext=ext))["ext"] == ext
    assert await act(alice, "update", bob, alias="A") == "too_large"
    assert await act(alice, "update", bob, ext=ext | {"c": ext["c"] + "x"}) == "too_large"
    assert (await listed(alice))[0]["ext"] == ext


@pytest.mark.parametrize(
    ("method", "params", "loc"),
    [
        ("request", {"uid": "?"}, ["uid"]),
        ("request", {"note": "x" * 201}, ["note"]),
        ("request", {"cid": None}, ["cid"]),
        ("update", {"alias": "x" * 65}, ["alias"]),
        ("update", {"tags": ["x"] * 21}, ["tags"]),
        ("update", {"tags": ["x" * 33]}, ["tags", 0]),
        ("update", {"ext": {"a.b": "x"}}, ["ext", "a.b", "[key]"]),
        ("update", {"ext": {"a": "x" * 501}}, ["ext", "a"]),
        ("list", {"state": "none"}, ["state"]),
    ],
)
async def test_params_that_do_not_fit(
    pair: tuple[Wire, Wire], method: str, params: dict[str, Any], loc: list[Any]
) -> None:
    alice, bob = pair
    with pytest.raises(Refused) as refused:
        await alice.call(f"friend.{method}", **{"uid": bob.uid, "cid": "c"} | params)
    assert refused.value.reason == "invalid_params"
    assert loc in [error["loc"] for error in refused.value.data["errors"]]


async def test_oneself_and_nobody(pair: tuple[Wire, Wire]) -> None:
    alice, _ = pair
    for action in ("request", "accept", "decline", "remove", "block", "unblock", "update"):
        assert await act(alice, action, alice) == "invalid_params"
    nobody = {
        action: await act(alice, action, new_id())
        for action in ("request", "accept", "decline", "remove", "block", "unblock", "update")
    }
    assert nobody == {
        "request": "not_found",
        "accept": "not_found",
        "decline": "not_found",
        "remove": "conflict",
        "block": "not_found",
        "unblock": "conflict",
        "update": "conflict",
    }


async def test_whom_one_lets_in(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    await bob.call("user.update", cid="1", friend_policy="nobody")
    assert await act(alice, "request", bob) == "forbidden"
    # It is about being asked: what bob asks for himself is answered.
    assert await act(bob, "request", alice) == "outgoing"
    assert await act(alice, "request", bob) == "friend"
    await act(alice, "remove", bob)
    await bob.call("user.update", cid="2", friend_policy="open")
    assert await act(alice, "request", bob) == "friend"
    assert (await told(bob))[-1] == ("accepted", alice.uid, "friend")


async def test_a_block_ends_everything_and_is_not_told(pair: tuple[Wire, Wire]) -> None:
    alice, bob = pair
    await befriend(alice, bob)
    assert await act(bob, "block", alice) == "blocked"
    assert (await told(alice))[-1] == ("removed", bob.uid, "none")
    assert (await told(bob))[-1] == ("blocked", alice.uid, "blocked")
    assert (await states(alice), await states(bob)) == ({}, {alice.uid: "blocked"})
    assert await listed(bob, "friend") == []
    assert await act(alice, "request", bob) == "blocked"
    assert await act(bob, "request", alice) == "conflict"
    # Both may block, and neither learns of the other's.
    since = (await listed(bob))[0]["since"]
    count = len(await told(bob))
    assert await act(alice, "block", bob) == "blocked"
    assert await act(alice, "request", bob) == "conflict"
    assert ((await listed(bob))[0]["since"], len(await told(bob))) == (since, count)
    assert await act(bob, "unblock", alice) == "none"
    assert await act(bob, "request", alice) == "blocked"
    assert await act(alice, "unblock", bob) == "none"
    assert (await states(alice), await states(bob)) == ({}, {})
    await befriend(alice, bob)


async def test_a_block_of_a_stranger_shows_nowhere(sign_in: SignIn) -> None:
    """But for the request itself, all that a blocked one can ask is answered as to a stranger."""
    alice, bob, carol = [await sign_in(suffix) for suffix in "abc"]
    assert await act(bob, "block", alice) == "blocked"
    answers = []
    for other in (bob, carol):
        found = [
            await act(alice, action, other)
            for action in ("accept", "decline", "remove", "unblock", "update")
        ]
        answers.append((found, await told(alice), await listed(alice)))
    assert answers[0] == answers[1]
    assert (await alice.call("conversation.list"))["conversations"] == []
    with pytest.raises(Refused, match="not_a_member"):
        await alice.call("message.history", conv=f"u:{bob.uid}")


async def test_relations_for_hot_paths(sign_in: SignIn) -> None:
    alice, bob, carol = [await sign_in(suffix) for suffix in "abc"]
    known, strangers = friendships(), Relation(False, False, False)
    pairs = [(alice.uid, bob.uid), (bob.uid, alice.uid), (alice.uid, carol.uid)]
    assert known.relations(pairs) == dict.fromkeys(pairs, strangers)
    assert known.relations([]) == {}
    assert known.relations([(bob.uid, bob.uid)]) == {(bob.uid, bob.uid): Relation(True)}

    async def holds(one: Relation, other: Relation) -> None:
        """In the copies, as soon as an action is answered; and again, from the record."""
        for _ in range(2):
            assert list(known.relations(pairs).values()) == [one, other, strangers]
            redis_client().delete(soft(keys.friendship(key_of(alice.uid, bob.uid))))

    await act(alice, "request", bob)
    await holds(strangers, strangers)
    await act(bob, "accept", alice)
    await holds(Relation(friends=True), Relation(friends=True))
    assert known.friends_of([alice.uid, carol.uid]) == {alice.uid: {bob.uid}, carol.uid: set()}
    await act(alice, "block", bob)
    await holds(Relation(blocked=True), Relation(blocked_by=True))
    assert known.friends_of([alice.uid]) == {alice.uid: set()}
    assert known.blocked_of([alice.uid, bob.uid]) == {alice.uid: {bob.uid}, bob.uid: set()}
    await act(bob, "block", alice)
    await holds(Relation(False, True, True), Relation(False, True, True))
    await act(alice, "unblock", bob)
    await holds(Relation(blocked_by=True), Relation(blocked=True))


def fill(uid: str, state: str, count: int) -> None:
    """Gives a person so many others."""
    theirs = {"friend": "friend", "blocked": "none"}[state]
    documents = []
    for _ in range(count):
        other = new_id()
        people = {uid: state, other: theirs}
        documents.append(
            {
                "_id": key_of(uid, other),
                "rev": 1,
                "states": states_of(people),  # type: ignore[arg-type]
                "sides": {each: {"since": 1} for each in people if people[each] != "none"},
            }
        )
    database()[FRIENDSHIPS].insert_many(documents, ordered=False)


async def test_a_person_has_so_many_friends(sign_in: SignIn) -> None:
    alice, bob, carol, dave = [await sign_in(suffix) for suffix in "abcd"]
    limit = settings().friends_limit
    fill(alice.uid, "friend", limit - 1)
    assert await act(bob, "request", alice) == "outgoing"
    # Now there is no room for anybody else, in neither direction.
    assert await act(alice, "request", carol) == "conflict"
    assert await act(carol, "request", alice) == "conflict"
    assert await act(alice, "accept", bob) == "friend"
    assert len(await listed(alice, "friend")) == limit
    assert await act(alice, "request", carol) == "conflict"
    # Blocks are always possible, and make room.
    assert await act(alice, "block", bob) == "blocked"
    assert await act(alice, "request", carol) == "outgoing"
    assert await act(dave, "request", alice) == "conflict"


async def test_a_person_blocks_so_many(sign_in: SignIn) -> None:
    alice, bob, carol = [await sign_in(suffix) for suffix in "abc"]
    fill(alice.uid, "blocked", settings().blocks_limit - 1)
    assert await act(alice, "block", bob) == "blocked"
    assert await act(alice, "block", carol) == "conflict"
    assert await act(alice, "block", bob) == "blocked"
    await act(alice, "unblock", bob)
    assert await act(alice, "block", carol) == "blocked"


async def test_many_steps_of_one_batch(sign_in: SignIn) -> None:
    people = [await sign_in(suffix) for suffix in "abcdef"]
    await asyncio.gather(
        *(act(one, "request", other) for one, other in itertools.permutations(people, 2))
    )
    for wire in people:
        assert await states(wire) == {other.uid: "friend" for other in people if other is not wire}
        assert applied(await inbox_bodies(wire)) == await listed(wire)
