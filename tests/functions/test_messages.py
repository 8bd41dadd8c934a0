"""Messages that change: who may edit, recall and react, and who sees it."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson
import pytest

from functions.send.emojis import is_emoji
from local.stack import Stack
from shared.announcer import Announcement, deliveries
from shared.clock import LEEWAY
from shared.collections import COMMANDS, MESSAGES
from shared.ids import new_id
from shared.members import late
from shared.settings import settings
from shared.stores import database
from tests.calling import Person, answers, forget, house
from tests.wire import direct


@pytest.fixture
def pair(stores: Stack) -> tuple[Person, Person, str]:
    alice, bob = Person(), Person()
    return alice, bob, direct(alice.uid, bob.uid)


def grouped(*members: Person, **given: Any) -> tuple[str, str]:
    owner, *others = members
    uids = [each.uid for each in others]
    made = owner.do("group.create", name="g", members=uids, settings=given)
    return made["gid"], made["conv"]


def test_what_was_passed_on_is_not_edited(pair: tuple[Person, Person, str]) -> None:
    alice, bob, conv = pair
    alice.send(conv, "hers")
    for source in (conv, direct(bob.uid, bob.uid)):
        notes = direct(bob.uid, bob.uid)
        sent = bob.do("message.send", conv=notes, forward={"conv": source, "seq": 1})
        edit = {"conv": notes, "ref": sent["seq"], "body": {"text": "his"}}
        assert bob.refused("message.edit", **edit).reason == "forbidden"
    assert {each["body"]["text"] for each in bob.history(notes)} == {"hers"}
    bob.do("message.recall", conv=notes, ref=1)


def test_what_one_does_not_see_is_not_found(stores: Stack) -> None:
    owner, member, newer = Person(), Person(), Person()
    gid, conv = grouped(owner, member)
    ref = owner.send(conv, "before her time")
    owner.do("group.invite", gid=gid, uids=[newer.uid])
    owner.do("group.set_role", gid=gid, uid=newer.uid, role="admin")
    react = {"conv": conv, "ref": ref, "emoji": "👍"}
    assert newer.refused("message.react", **react).reason == "not_found"
    assert newer.refused("message.react", **react, remove=True).reason == "not_found"
    assert newer.refused("message.recall", conv=conv, ref=ref).reason == "not_found"
    edit = {"conv": conv, "ref": ref, "body": {"text": "x"}}
    assert newer.refused("message.edit", **edit).reason == "not_found"
    owner.do("group.update", gid=gid, settings={"history": "all"})
    newer.do("message.react", **react)
    newer.do("message.recall", conv=conv, ref=ref)


@pytest.mark.parametrize("what", ["message.edit", "message.react", "message.recall"])
def test_what_is_about_an_unseen_message_has_no_body(stores: Stack, what: str) -> None:
    owner, member, newer = Person(), Person(), Person()
    gid, conv = grouped(owner, member)
    old = owner.send(conv, "old")
    owner.do("group.invite", gid=gid, uids=[newer.uid])
    new = owner.send(conv, "new")
    given: dict[str, dict[str, Any]] = {
        "message.edit": {"body": {"text": "secret"}},
        "message.react": {"emoji": "👻"},
    }
    for ref in (old, new):
        owner.do(what, conv=conv, ref=ref, **given.get(what, {}))

    def about(person: Person, ref: int) -> dict[str, Any]:
        (found,) = [each for each in person.history(conv) if each.get("ref") == ref]
        return found

    assert "body" not in about(newer, old)
    for person, ref in ((newer, new), (member, old), (member, new), (owner, old)):
        assert "body" in about(person, ref)
    listed = newer.call("conversation.list")["conversations"]
    assert "secret" not in str([each.get("last_entry") for each in listed])
    owner.do("group.update", gid=gid, settings={"history": "all"})
    assert "body" in about(newer, old)


def test_where_many_joined_later_all_fetch_an_edit(stores: Stack) -> None:
    owner, others = Person(), [Person() for _ in range(3)]
    gid, conv = grouped(owner)
    ref = owner.send(conv)
    owner.do("group.invite", gid=gid, uids=[each.uid for each in others])
    assert set(late(gid, ref, 3) or ()) == {each.uid for each in others}
    assert late(gid, ref, 2) is None
    assert late(gid, owner.send(conv), 0) == ()
    place = {"conv": conv, "seq": 7, "sender": owner.uid, "type": "edit", "cid": "c"}
    (told,) = deliveries(Announcement(place, b'{"body":{"text":"secret"}}', late=None))
    assert b"secret" not in told.frame
    hint = {"conv": conv, "last_seq": 7}
    assert (orjson.loads(told.frame)["params"], told.to) == (hint, (f"group:{gid}",))


def test_the_past_is_open_to_present_members_only(stores: Stack) -> None:
    owner, left, expelled, stays = Person(), Person(), Person(), Person()
    gid, conv = grouped(owner)
    owner.send(conv, "the first")
    owner.do("group.invite", gid=gid, uids=[left.uid, expelled.uid, stays.uid])
    owner.send(conv, "the second")
    left.do("group.leave", gid=gid)
    before = left.history(conv)
    owner.do("group.update", gid=gid, settings={"history": "all"})
    assert stays.history(conv)[0]["seq"] == 1
    assert left.history(conv) == before
    owner.do("group.block", gid=gid, uids=[expelled.uid])
    owner.send(conv, "the last")
    texts = [each["body"].get("text") for each in expelled.history(conv)]
    assert "the first" not in texts
    assert "the second" in texts
    assert "the last" not in texts


def test_ones_own_is_recalled_also_after_leaving(stores: Stack) -> None:
    owner, member, other = Person(), Person(), Person()
    gid, conv = grouped(owner, member, other)
    mine = member.send(conv, "my secret")
    hers = other.send(conv, "hers")
    member.do("group.leave", gid=gid)
    recalled = member.call("message.recall", conv=conv, ref=mine, cid="r")
    assert recalled["seq"] > hers
    assert "body" not in owner.history(conv)[mine - 1]
    assert "secret" not in str(member.history(conv))
    forget()
    assert member.call("message.recall", conv=conv, ref=mine, cid="r") == recalled
    assert member.refused("message.recall", conv=conv, ref=hers).reason == "forbidden"
    edit = {"conv": conv, "ref": mine, "body": {"text": "x"}}
    assert member.refused("message.edit", **edit).reason == "not_a_member"
    assert Person().refused("message.recall", conv=conv, ref=hers).reason == "not_a_member"
    later = other.send(conv, "later")
    assert member.refused("message.recall", conv=conv, ref=later).reason == "not_found"


def test_admins_recall_whatever_its_age_and_others_for_a_while(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, member = Person(), Person()
    _, conv = grouped(owner, member)
    refs = [member.send(conv), member.send(conv)]
    age = {"$inc": {"ts": -(settings().recall_window + LEEWAY) * 1000 - 1000}}
    database()[MESSAGES].update_many({"conv": conv, "seq": {"$in": refs}}, age)
    refusal = member.refused("message.recall", conv=conv, ref=refs[0])
    assert (refusal.reason, refusal.message) == ("forbidden", "too late to recall")
    owner.do("message.recall", conv=conv, ref=refs[0])
    with house(monkeypatch, recall_window="0"):
        member.do("message.recall", conv=conv, ref=refs[1])


def test_a_recalled_text_is_in_no_list(pair: tuple[Person, Person, str]) -> None:
    alice, bob, conv = pair
    alice.send(conv, "the secret")
    alice.do("message.edit", conv=conv, ref=1, body={"text": "another secret"})
    assert "secret" not in str(bob.call("conversation.list")["conversations"])
    alice.do("message.recall", conv=conv, ref=1)
    assert "secret" not in str(bob.call("conversation.list")["conversations"])
    assert "secret" not in str(bob.history(conv))


@pytest.mark.parametrize(
    "text",
    [
        "👍",
        "👍🏽",
        "❤️",
        "❤",
        "🇩🇪",
        "👨‍👩‍👧‍👦",
        "#️⃣",
        "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
        "©️",
        "🧑🏿‍🚀",
        ":party_parrot:",
        ":+1:",
        ":a:",
    ],
)
def test_one_emoji(text: str) -> None:
    assert is_emoji(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "1",
        "#",
        "👍👍",
        "👍 ",
        " 👍",
        "🏽",
        "🇩",
        "\u200d",
        "\ufe0f",
        "::",
        ":Big:",
        ":a b:",
        ":a:\n",
        f":{'a' * 33}:",
        ":a",
        "a:",
        "👍🇩",
        "<b>",
        "\u202e",
        "👨‍👩‍",
    ],
)
def test_no_emoji(pair: tuple[Person, Person, str], text: str) -> None:
    alice, _, conv = pair
    alice.send(conv)
    react = {"conv": conv, "ref": 1, "emoji": text}
    assert alice.refused("message.react", **react).reason == "invalid_params"


def test_a_reaction_stands_once(pair: tuple[Person, Person, str]) -> None:
    alice, bob, conv = pair
    alice.send(conv)
    (message,) = alice.history(conv)
    react = {"conv": conv, "ref": 1, "emoji": "👍"}
    of_message = {"seq": 1, "ts": message["ts"]}
    assert bob.do("message.react", **react, remove=True) == of_message
    stands = bob.do("message.react", **react)
    assert stands["seq"] == 2
    assert bob.do("message.react", **react) == stands
    hers = alice.do("message.react", **react)
    heart = bob.do("message.react", **react | {"emoji": ":heart:"})
    assert (hers["seq"], heart["seq"]) == (3, 4)
    gone = bob.do("message.react", **react, remove=True)
    assert gone["seq"] == 5
    assert bob.do("message.react", **react, remove=True) == gone
    assert bob.do("message.react", **react | {"emoji": ":heart:"}) == heart
    assert bob.do("message.react", **react)["seq"] == 6
    forget()
    assert bob.do("message.react", **react)["seq"] == 6
    assert len(bob.history(conv)) == 6
    assert bob.refused("message.react", **react | {"ref": 2}).reason == "not_found"
    assert bob.refused("message.react", **react | {"ref": 99}).reason == "not_found"


def test_reactions_at_once_leave_one_standing(pair: tuple[Person, Person, str]) -> None:
    alice, bob, conv = pair
    alice.send(conv)
    start = threading.Barrier(8)

    def react(emoji: str) -> Any:
        start.wait()
        return bob.do("message.react", conv=conv, ref=1, emoji=emoji)

    with ThreadPoolExecutor(8) as pool:
        for emoji in ("👍", "🎉", ":x:"):
            found = list(pool.map(react, [emoji] * 8))
            assert all(each == found[0] for each in found)
    assert len(bob.history(conv)) == 4


def test_a_batch_of_reactions_is_its_calls_one_by_one(pair: tuple[Person, Person, str]) -> None:
    alice, bob, conv = pair
    for _ in range(3):
        alice.send(conv)
    alice.do("message.recall", conv=conv, ref=2)

    def react(person: Person, ref: int, emoji: str = "👍", **also: Any) -> Any:
        given = {"conv": conv, "ref": ref, "emoji": emoji, "cid": new_id()} | also
        return person.event("message.react", **given)

    repeated = react(bob, 1)
    events = [
        repeated,
        react(bob, 2),
        react(alice, 1),
        react(bob, 1, remove=True),
        react(bob, 1, "🎉"),
        react(bob, 77),
        react(bob, 1),
        react(bob, 1),
        react(bob, 3, conv="g:0000000000"),
        react(bob, 1, "no"),
        repeated,
    ]
    found = answers(*events)
    told = [each if isinstance(each, str) else "ok" for each in found]
    assert told == [
        *("ok", "conflict", "ok", "ok", "ok", "not_found", "ok", "ok"),
        *("not_a_member", "invalid_params", "ok"),
    ]
    assert found[0] == found[10]
    assert found[6] == found[7]
    bodies = [each["body"] for each in bob.history(conv) if each["type"] == "reaction"]
    own = [{"emoji": "👍"}, {"emoji": "👍", "remove": True}, {"emoji": "🎉"}, {"emoji": "👍"}]
    assert sorted(map(str, bodies)) == sorted(map(str, [*own, {"emoji": "👍"}]))


def test_a_reaction_that_nobody_was_told_of(pair: tuple[Person, Person, str]) -> None:
    """Repeating it says the same, whatever became of the first run."""
    alice, bob, conv = pair
    alice.send(conv)
    react = {"conv": conv, "ref": 1, "emoji": "👍", "cid": "once"}
    first = bob.call("message.react", **react)
    database()[COMMANDS].delete_many({})
    alice.do("friend.block", uid=bob.uid)
    assert bob.call("message.react", **react) == first
    assert bob.refused("message.react", **react | {"cid": "twice"}).reason == "blocked"


def test_first_messages_to_strangers_are_counted(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, friend, others = Person(), Person(), [Person() for _ in range(4)]
    alice.do("friend.request", uid=friend.uid)
    friend.do("friend.accept", uid=alice.uid)
    others[3].send(direct(alice.uid, others[3].uid))
    with house(monkeypatch, first_messages_per_hour="2"):
        alice.send(direct(alice.uid, alice.uid))
        alice.send(others[0].uid)
        alice.send(others[0].uid)
        alice.send(friend.uid)
        alice.send(others[3].uid)
        alice.send(others[1].uid)
        message = {"type": "text", "body": {"text": "x"}}
        # Noting something of a conversation that is none begins none.
        refusal = alice.refused("message.send", to=others[2].uid, **message)
        assert refusal.reason == "rate_limited"
        assert 0 < refusal.data["retry_after"] <= 3600
        assert others[2].call("conversation.list")["conversations"] == []
        alice.send(others[1].uid)
        alice.send(friend.uid)
        others[2].send(alice.uid)
        alice.send(others[2].uid)


def test_a_batch_begins_as_many_conversations_as_one_may(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice, other, people = Person(), Person(), [Person() for _ in range(4)]
    message = {"type": "text", "body": {"text": "x"}}
    with house(monkeypatch, first_messages_per_hour="3"):
        events = [
            each.event("message.send", to=to.uid, cid=new_id(), **message)
            for each in (alice, other)
            for to in people
            for _ in range(2)
        ]
        found = ["ok" if isinstance(each, dict) else each for each in answers(*events)]
    assert found == [*["ok"] * 6, *["rate_limited"] * 2] * 2
