"""Groups: mutes that last, groups that ended, who is asked before being added, pages of lists."""

from collections.abc import Callable
from typing import Any

import pytest

from local.stack import Stack
from shared import keys
from shared.collections import MEMBERS
from shared.errors import CallError
from shared.members import groups_of
from shared.stores import database, redis_client
from tests.calling import Person, answers, house
from tests.soft import soft

TEXT = {"type": "text", "body": {"text": "x"}}


def grouped(*members: Person, **given: Any) -> str:
    owner, *others = members
    uids = [each.uid for each in others]
    return str(owner.do("group.create", name="g", members=uids, settings=given)["gid"])


def befriend(one: Person, other: Person) -> None:
    one.do("friend.request", uid=other.uid)
    other.do("friend.accept", uid=one.uid)


@pytest.mark.parametrize("out", ["leaves", "is removed", "is blocked"])
@pytest.mark.parametrize("whom", ["one", "everyone"])
def test_a_mute_outlasts_going_and_coming(stores: Stack, out: str, whom: str) -> None:
    owner, member = Person(), Person()
    gid = grouped(owner, member, join="open", edit="members")
    muted = {"uid": member.uid} if whom == "one" else {}
    owner.do("group.mute", gid=gid, until=2**50, **muted)
    if out == "leaves":
        member.do("group.leave", gid=gid)
    elif out == "is removed":
        owner.do("group.remove", gid=gid, uids=[member.uid])
    else:
        owner.do("group.block", gid=gid, uids=[member.uid])
        owner.do("group.unblock", gid=gid, uids=[member.uid])
    member.do("group.join", gid=gid)
    refusals: list[CallError] = [
        member.refused("message.send", conv=f"g:{gid}", **TEXT),
        member.refused("group.nickname", gid=gid, nickname="I say"),
        member.refused("group.update", gid=gid, name="I say"),
    ]
    assert [str(each.reason) for each in refusals] == ["muted"] * 3
    assert {each.data["until"] for each in refusals} == {2**50}
    (told,) = [each for each in owner.history(f"g:{gid}")[-1:] if each["type"] == "group"]
    assert told["body"].get("muted", {}) == ({member.uid: 2**50} if whom == "one" else {})
    owner.do("group.nickname", gid=gid, nickname="me")
    owner.do("group.mute", gid=gid, until=0, **muted)
    member.send(f"g:{gid}")
    member.do("group.nickname", gid=gid, nickname="me too")


def test_nobody_is_mute_who_owns_the_group(stores: Stack) -> None:
    owner, heir = Person(), Person()
    gid = grouped(owner, heir)
    owner.do("group.mute", gid=gid, uid=heir.uid, until=2**50)
    owner.do("group.transfer", gid=gid, uid=heir.uid)
    heir.send(f"g:{gid}")
    heir.do("group.nickname", gid=gid, nickname="heir")


def test_a_dismissed_group_counts_for_nothing(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, member, asked, waits = Person(), Person(), Person(), Person()
    gid, conv = grouped(owner, member, join="approval"), ""
    conv = f"g:{gid}"
    waits.do("group.join", gid=gid)
    asked.do("user.update", group_policy="nobody")
    owner.do("group.invite", gid=gid, uids=[asked.uid])
    assert "last_seen" in member.call("presence.get", uids=[owner.uid])["presence"][0]
    owner.send(conv, "what was said")
    owner.do("group.dismiss", gid=gid)
    everybody = (owner, member, asked, waits)
    assert groups_of(each.uid for each in everybody) == {each.uid: set() for each in everybody}
    assert member.call("presence.get", uids=[owner.uid])["presence"] == [
        {"uid": owner.uid, "status": "offline"}
    ]
    assert member.refused("presence.watch", conv=conv).reason == "not_a_member"
    assert answers(member.event("session.channels")) == [{"channels": []}]
    assert member.call("group.list") == {"groups": []}
    assert asked.call("group.invitations") == {"invitations": []}
    assert asked.refused("group.accept", gid=gid).reason == "not_found"
    with house(monkeypatch, groups_limit="1"):
        grouped(member)
        assert member.refused("group.create", name="one too many").reason == "conflict"
    for each in (owner, member):
        assert [entry["type"] for entry in each.history(conv)][-2:] == ["text", "group"]
        assert each.refused("message.send", conv=conv, **TEXT).reason == "not_a_member"
        assert each.refused("group.get", gid=gid).reason == "not_a_member"


def test_a_dismissed_group_is_left_unnoticed(stores: Stack) -> None:
    owner, member, stranger = Person(), Person(), Person()
    gid = grouped(owner, member)
    conv = f"g:{gid}"
    owner.send(conv, "what was said")
    owner.do("group.dismiss", gid=gid)
    before = [entry["id"] for entry in owner.history(conv)]
    for each in (member, owner):
        assert each.call("group.leave", gid=gid, cid="l") == {"state": "left"}
        assert each.call("group.leave", gid=gid, cid="l") == {"state": "left"}
        assert each.refused("group.leave", gid=gid).reason == "not_a_member"
        assert [entry["id"] for entry in each.history(conv)] == before
        (told,) = each.history(f"u:{each.uid}")
        assert (told["body"]["event"], told["body"]["gid"]) == ("left", gid)
    assert stranger.refused("group.leave", gid=gid).reason == "not_a_member"
    assert stranger.refused("message.history", conv=conv).reason == "not_a_member"


def listed(person: Person, conv: str) -> dict[str, Any]:
    """The conversation as it is listed, whatever is copied."""
    found = []
    for _ in range(2):
        items = person.call("conversation.list")["conversations"]
        found += [each for each in items if each["conv"] == conv]
        redis_client().delete(soft(keys.states(person.uid)), soft(keys.tail(conv)))
    one, again = ({k: v for k, v in each.items() if k != "changed_at"} for each in found)
    assert one == again
    return one


def test_lists_and_histories_of_a_dismissed_group_agree(stores: Stack) -> None:
    """To its end for those who were in it, up to the leaving for who left it then."""
    owner, member, leaver = Person(), Person(), Person()
    conv = f"g:{(gid := grouped(owner, member, leaver))}"
    seq = member.send(conv, "what was said")
    assert "left" not in listed(member, conv)
    owner.do("group.dismiss", gid=gid)
    leaver.do("group.leave", gid=gid)
    end = owner.history(conv)[-1]
    member.do("message.recall", conv=conv, ref=seq)
    for each, last in ((owner, "recall"), (member, "recall"), (leaver, "group")):
        item, entry = listed(each, conv), each.history(conv)[-1]
        assert item["left"]
        assert (item["last_seq"], entry["type"]) == (entry["seq"], last)
        assert all("body" not in told for told in each.history(conv) if told["seq"] == seq)
    assert leaver.history(conv)[-1]["id"] == end["id"]


def test_dismissed_and_left_in_one_batch(stores: Stack) -> None:
    owner, member = Person(), Person()
    gid = grouped(owner, member)
    events = [
        owner.event("group.dismiss", gid=gid, cid="d"),
        owner.event("group.dismiss", gid=gid, cid="e"),
    ]
    assert answers(*events) == [{}, "not_a_member"]
    leave = {"gid": gid, "cid": "l"}
    found = answers(member.event("group.leave", **leave), owner.event("group.leave", **leave))
    assert found == [{"state": "left"}] * 2


POLICIES = [
    ("anyone", False, "member"),
    ("anyone", True, "member"),
    ("friends", False, "invited"),
    ("friends", True, "member"),
    ("nobody", False, "invited"),
    ("nobody", True, "invited"),
]


@pytest.mark.parametrize(("policy", "friends", "state"), POLICIES)
@pytest.mark.parametrize("said_by", ["the person", "the house"])
def test_who_adds_one_to_a_group(
    stores: Stack,
    monkeypatch: pytest.MonkeyPatch,
    policy: str,
    friends: bool,
    state: str,
    said_by: str,
) -> None:
    owner, person = Person(), Person()
    if friends:
        befriend(owner, person)
    house_says = "anyone" if said_by == "the person" else policy
    with house(monkeypatch, group_policy=house_says):
        if said_by == "the person":
            said = person.do("user.update", group_policy=policy)
            assert said["group_policy"] == policy
        gid = grouped(owner)
        found = owner.do("group.invite", gid=gid, uids=[person.uid])
        assert found["results"] == [{"uid": person.uid, "state": state}]
        made = grouped(owner, person)
    invited = {each["gid"] for each in person.call("group.invitations")["invitations"]}
    inside = {each["gid"] for each in person.call("group.list")["groups"]}
    assert (inside, invited) == (
        ({gid, made}, set()) if state == "member" else (set(), {gid, made})
    )
    if state == "invited":
        assert person.do("group.accept", gid=gid) == {"state": "member"}
        assert person.do("group.decline", gid=made) == {"state": "none"}


def test_who_left_is_asked_before_coming_back(stores: Stack) -> None:
    owner, member = Person(), Person()
    befriend(owner, member)
    gid = grouped(owner, member)
    invite = {"gid": gid, "uids": [member.uid]}

    def state() -> str:
        return str(owner.do("group.invite", **invite)["results"][0]["state"])

    member.do("group.leave", gid=gid)
    assert state() == "invited"
    member.do("group.decline", gid=gid)
    assert state() == "invited"
    member.do("group.accept", gid=gid)
    owner.do("group.remove", gid=gid, uids=[member.uid])
    assert state() == "member"


def test_who_asked_to_join_need_not_be_asked(stores: Stack) -> None:
    owner, person = Person(), Person()
    person.do("user.update", group_policy="nobody")
    gid = grouped(owner, join="approval")
    person.do("group.join", gid=gid)
    found = owner.do("group.invite", gid=gid, uids=[person.uid])
    assert found["results"] == [{"uid": person.uid, "state": "member"}]


def test_what_strangers_may_do_to_one_person(
    stores: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    person, other, friend = Person(), Person(), Person()
    befriend(person, friend)
    with house(monkeypatch, added_per_day="2"):
        for _ in range(2):
            grouped(Person(), person)
        stranger = Person()
        refused = stranger.refused("group.create", name="g", members=[person.uid])
        assert refused.reason == "rate_limited"
        assert 86000 < refused.data["retry_after"] <= 86400
        gid = grouped(stranger, person, other)
        assert [each["uid"] for each in stranger.call("group.members", gid=gid)["members"]] == (
            sorted([stranger.uid, other.uid])
        )
        third = Person()
        found = stranger.do("group.invite", gid=gid, uids=[person.uid, third.uid])["results"]
        assert [each["state"] for each in found] == ["full", "member"]
        alone = stranger.refused("group.invite", gid=gid, uids=[person.uid])
        assert alone.reason == "rate_limited"
        grouped(friend, person)
        day = {"$inc": {"added": -86_401_000}}
        database()[MEMBERS].update_many({"uid": person.uid, "added": {"$gt": 0}}, day)
        stranger.do("group.invite", gid=gid, uids=[person.uid])
    person.do("user.update", group_policy="nobody")
    with house(monkeypatch, open_invitations_limit="2"):
        for _ in range(2):
            grouped(Person(), person)
        refused = Person().refused("group.create", name="g", members=[person.uid])
        assert (refused.reason, refused.data["retry_after"] > 0) == ("rate_limited", True)
        grouped(friend, person)
        for each in person.call("group.invitations")["invitations"]:
            person.do("group.decline", gid=each["gid"])
        grouped(Person(), person)


def test_requests_of_strangers_are_bounded(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    person = Person()
    with house(monkeypatch, open_requests_limit="2"):
        first = Person()
        for each in (first, Person()):
            each.do("friend.request", uid=person.uid)
        refused = Person().refused("friend.request", uid=person.uid)
        assert (refused.reason, refused.data["retry_after"] > 0) == ("rate_limited", True)
        person.do("friend.request", uid=Person().uid)
        person.do("friend.accept", uid=first.uid)
        Person().do("friend.request", uid=person.uid)


def all_pages(ask: Callable[..., dict[str, Any]], name: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    after: dict[str, str] = {}
    while True:
        page = ask(limit=limit, **after)
        assert 0 < len(page[name]) <= limit
        found += page[name]
        if "next" not in page:
            return found
        after = {"after": page["next"]}


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 500])
def test_lists_have_pages(stores: Stack, limit: int) -> None:
    owner, guest = Person(), Person()
    guest.do("user.update", group_policy="nobody")
    others = [Person() for _ in range(3)]
    gids = [grouped(owner, guest, *others, join="approval") for _ in range(4)]
    listed = all_pages(lambda **page: owner.call("group.list", **page), "groups", limit)
    assert [each["gid"] for each in listed] == sorted(gids)
    asked = all_pages(lambda **page: guest.call("group.invitations", **page), "invitations", limit)
    assert [(each["gid"], each["by"]) for each in asked] == [
        (gid, owner.uid) for gid in sorted(gids)
    ]
    gid = gids[0]
    waiting = [Person() for _ in range(4)]
    for each in waiting:
        each.do("group.join", gid=gid)
    found = all_pages(
        lambda **page: owner.call("group.requests", gid=gid, **page), "requests", limit
    )
    assert [each["uid"] for each in found] == sorted(each.uid for each in waiting)
    inside = all_pages(
        lambda **page: owner.call("group.members", gid=gid, **page), "members", limit
    )
    assert [each["uid"] for each in inside] == sorted(each.uid for each in (owner, *others))


def test_members_by_state_and_role(stores: Stack) -> None:
    owner, admin, muted, member, blocked, stranger = [Person() for _ in range(6)]
    gid = grouped(owner, admin, muted, member, blocked)
    owner.do("group.set_role", gid=gid, uid=admin.uid, role="admin")
    owner.do("group.mute", gid=gid, uid=muted.uid, until=2**50)
    owner.do("group.mute", gid=gid, uid=member.uid, until=1)
    owner.do("group.block", gid=gid, uids=[blocked.uid, stranger.uid])

    def found(person: Person = admin, **which: Any) -> dict[str, str]:
        page = person.call("group.members", gid=gid, **which)
        return {each["uid"]: each["role"] for each in page["members"]}

    assert found(role="owner") == {owner.uid: "owner"}
    assert found(role="admin") == {admin.uid: "admin"}
    assert found(role="member") == {muted.uid: "member", member.uid: "member"}
    assert found(member) == found(state="member")
    assert found(state="blocked") == {blocked.uid: "none", stranger.uid: "none"}
    assert found(state="muted") == {muted.uid: "member"}
    assert found(state="muted", role="admin") == {}
    for state in ("blocked", "muted"):
        assert member.refused("group.members", gid=gid, state=state).reason == "forbidden"
        assert stranger.refused("group.members", gid=gid, state=state).reason == "not_a_member"


def test_a_page_is_bounded_in_bytes(stores: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Person()
    gids = {grouped(owner) for _ in range(5)}
    for gid in gids:
        owner.do("group.update", gid=gid, description="d" * 1000)
    with house(monkeypatch, answer_bytes="4096"):
        first = owner.call("group.list")
        assert len(first["groups"]) == 2
        listed = all_pages(lambda **page: owner.call("group.list", **page), "groups", 500)
    assert {each["gid"] for each in listed} == gids
