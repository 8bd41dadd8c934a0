"""Groups from outside: who may do what, who gets what, and what everybody knows in the end."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest

from local.stack import Stack
from tests.members import GroupView
from tests.wire import Refused, Wire

cids = (f"cid{number}" for number in itertools.count())


async def refusal(wire: Wire, method: str, **params: Any) -> str:
    with pytest.raises(Refused) as refused:
        await wire.call(method, cid=next(cids), **params)
    return refused.value.reason


async def command(wire: Wire, method: str, **params: Any) -> Any:
    return await wire.call(method, cid=next(cids), **params)


class Cast:
    """An owner, an admin, two members and a stranger, on two connectors, and their group."""

    def __init__(self, people: dict[str, Wire], gid: str) -> None:
        self.people = people
        self.gid = gid
        self.conv = f"g:{gid}"

    def __getitem__(self, name: str) -> Wire:
        return self.people[name]

    async def role(self, name: str) -> str:
        page = await self["owner"].call("group.members", gid=self.gid)
        roles = {each["uid"]: each["role"] for each in page["members"]}
        return str(roles.get(self[name].uid, "none"))


ROLES = ("owner", "admin", "member", "other", "stranger")


@pytest.fixture
async def cast(stack: Stack, name: str) -> AsyncIterator[Cast]:
    urls = itertools.cycle(stack.layout.connector_urls)
    people = {role: await Wire.sign_in(next(urls), f"{name}{role}") for role in ROLES}
    uids = [people[role].uid for role in ("admin", "member", "other")]
    made = await command(people["owner"], "group.create", name="team", members=uids)
    uid = people["admin"].uid
    await command(people["owner"], "group.set_role", gid=made["gid"], uid=uid, role="admin")
    yield Cast(people, made["gid"])
    for wire in people.values():
        await wire.close()


async def test_a_group_is_made_once_and_everybody_in_it_can_talk(cast: Cast) -> None:
    create = {"cid": "same", "name": "twice", "members": [cast["member"].uid]}
    first = await cast["owner"].call("group.create", **create)
    assert await cast["owner"].call("group.create", **create) == first
    sent = await cast["member"].send(cast.conv, "c1", "hello all")
    for name in ("owner", "admin", "other"):
        entries = await cast[name].until("entry", 1)
        while entries[-1]["type"] != "text":
            entries = await cast[name].until("entry", len(entries) + 1)
        assert (entries[-1]["seq"], entries[-1]["body"]) == (sent["seq"], {"text": "hello all"})
    assert cast["stranger"].entries(cast.conv) == []


# Who may do what: a row for each command, the roles that may, and what the others are told.
ALL, STAFF, OWNER = {"owner", "admin", "member"}, {"owner", "admin"}, {"owner"}
TABLE: list[tuple[str, dict[str, Any], set[str]]] = [
    ("group.get", {}, ALL),
    ("group.members", {}, ALL),
    ("group.nickname", {"nickname": "x"}, ALL),
    ("group.update", {"name": "new"}, STAFF),
    ("group.update", {"settings": {"receipts": True}}, STAFF),
    ("group.requests", {}, STAFF),
    ("group.remove", {"uids": ["other"]}, STAFF),
    ("group.block", {"uids": ["other"]}, STAFF),
    ("group.unblock", {"uids": ["other"]}, STAFF),
    ("group.invite", {"uids": ["other"]}, ALL),
    ("group.mute", {"until": 0}, STAFF),
    ("group.mute", {"uid": "other", "until": 0}, STAFF),
    ("group.set_role", {"uid": "other", "role": "admin"}, OWNER),
    ("group.transfer", {"uid": "other"}, OWNER),
    ("group.dismiss", {}, OWNER),
]


def filled(cast: Cast, params: dict[str, Any]) -> dict[str, Any]:
    """With names in place of uids."""
    given = dict(params)
    if "uid" in given:
        given["uid"] = cast[given["uid"]].uid
    if "uids" in given:
        given["uids"] = [cast[name].uid for name in given["uids"]]
    return given | {"gid": cast.gid}


@pytest.mark.parametrize("actor", ["owner", "admin", "member", "stranger"])
async def test_the_table_of_rights(cast: Cast, actor: str) -> None:
    for method, params, allowed in TABLE:
        given = filled(cast, params)
        if actor in allowed:
            await command(cast[actor], method, **given)
            if method == "group.transfer":
                assert await cast.role(actor) == "admin"
                back = {"gid": cast.gid, "uid": cast[actor].uid}
                await command(cast["other"], "group.transfer", **back)
        else:
            expected = "not_a_member" if actor == "stranger" else "forbidden"
            assert await refusal(cast[actor], method, **given) == expected
            guessed = given | {"gid": "0" * 20}
            assert await refusal(cast[actor], method, **guessed) == "not_a_member"


@pytest.mark.parametrize("method", ["group.remove", "group.block", "group.mute"])
@pytest.mark.parametrize(
    ("actor", "target", "may"),
    [
        ("owner", "admin", True),
        ("owner", "member", True),
        ("admin", "member", True),
        ("admin", "owner", False),
        ("admin", "admin", False),
        ("member", "other", False),
        ("owner", "owner", False),
    ],
)
async def test_who_acts_on_another_outranks_them(
    cast: Cast, method: str, actor: str, target: str, may: bool
) -> None:
    uid = cast[target].uid
    about = {"uid": uid, "until": 2**50} if method == "group.mute" else {"uids": [uid]}
    if not may:
        assert await refusal(cast[actor], method, gid=cast.gid, **about) == "forbidden"
        return
    await command(cast[actor], method, gid=cast.gid, **about)
    reason = {"group.mute": "muted"}.get(method, "not_a_member")
    body = {"conv": cast.conv, "type": "text", "body": {"text": "x"}}
    assert await refusal(cast[target], "message.send", **body) == reason


async def test_settings_widen_and_narrow_rights(cast: Cast) -> None:
    settings = {"edit": "members", "invite": "admins"}
    await command(cast["owner"], "group.update", gid=cast.gid, settings=settings)
    renamed = await command(cast["member"], "group.update", gid=cast.gid, name="ours")
    assert renamed["name"] == "ours"
    uids = [cast["stranger"].uid]
    assert await refusal(cast["member"], "group.invite", gid=cast.gid, uids=uids) == "forbidden"
    settings = {"settings": {"edit": "admins"}}
    assert await refusal(cast["member"], "group.update", gid=cast.gid, **settings) == "forbidden"
    unknown = {"settings": {"edit": "nobody"}}
    assert await refusal(cast["owner"], "group.update", gid=cast.gid, **unknown) == "invalid_params"


async def test_the_ways_into_a_group(cast: Cast) -> None:
    stranger, owner, gid = cast["stranger"], cast["owner"], cast.gid
    assert await refusal(stranger, "group.join", gid=gid) == "not_found"
    assert await refusal(stranger, "group.join", gid="0" * 20) == "not_found"
    await command(owner, "group.update", gid=gid, settings={"join": "approval"})
    assert await command(stranger, "group.join", gid=gid) == {"state": "pending"}
    asked = await cast["admin"].call("group.requests", gid=gid)
    assert [each["uid"] for each in asked["requests"]] == [stranger.uid]
    rejected = await command(owner, "group.reject", gid=gid, uid=stranger.uid)
    assert rejected == {"state": "none"}
    assert await refusal(owner, "group.approve", gid=gid, uid=stranger.uid) == "not_found"
    await command(stranger, "group.join", gid=gid)
    approved = await command(cast["admin"], "group.approve", gid=gid, uid=stranger.uid)
    assert approved == {"state": "member"}
    assert await refusal(stranger, "group.join", gid=gid) == "already_member"
    assert await command(stranger, "group.leave", gid=gid) == {"state": "left"}
    await command(owner, "group.update", gid=gid, settings={"join": "open"})
    assert await command(stranger, "group.join", gid=gid) == {"state": "member"}
    await command(owner, "group.block", gid=gid, uids=[stranger.uid])
    assert await refusal(stranger, "group.join", gid=gid) == "blocked"
    invited = await command(owner, "group.invite", gid=gid, uids=[stranger.uid])
    assert invited["results"] == [{"uid": stranger.uid, "state": "blocked"}]
    await command(owner, "group.unblock", gid=gid, uids=[stranger.uid])
    assert await command(stranger, "group.join", gid=gid) == {"state": "member"}


async def test_the_invited_are_asked_where_the_group_wants_it(cast: Cast) -> None:
    stranger, owner, gid = cast["stranger"], cast["owner"], cast.gid
    assert await refusal(stranger, "group.accept", gid=gid) == "not_found"
    await command(owner, "group.update", gid=gid, settings={"consent": True})
    invite = {"gid": gid, "uids": [stranger.uid]}
    invited = await command(cast["member"], "group.invite", **invite)
    assert invited["results"] == [{"uid": stranger.uid, "state": "invited"}]
    found = (await stranger.call("group.invitations"))["invitations"]
    assert [(each["gid"], each["by"]) for each in found] == [(gid, cast["member"].uid)]
    assert (await stranger.until("entry", 1))[0]["body"]["event"] == "invited"
    assert await command(stranger, "group.decline", gid=gid) == {"state": "none"}
    assert (await stranger.call("group.invitations"))["invitations"] == []
    await command(cast["member"], "group.invite", **invite)
    assert await command(stranger, "group.accept", gid=gid) == {"state": "member"}
    assert (await stranger.call("group.get", gid=gid))["role"] == "member"


async def test_a_group_can_be_found_where_it_wants_to(cast: Cast, name: str) -> None:
    stranger = cast["stranger"]
    title = f"Öffentlich {name}"
    await command(cast["owner"], "group.update", gid=cast.gid, name=title)
    assert (await stranger.call("group.search", q="öffentlich"))["groups"] == []
    await command(cast["owner"], "group.update", gid=cast.gid, settings={"listed": True})
    found = (await stranger.call("group.search", q=title[:20].upper()))["groups"]
    assert [(each["gid"], each["role"], each["size"]) for each in found] == [(cast.gid, "none", 4)]
    assert (await stranger.call("group.get", gid=cast.gid))["name"] == title
    await command(cast["owner"], "group.dismiss", gid=cast.gid)
    assert (await stranger.call("group.search", q=title))["groups"] == []


async def test_one_sees_a_group_from_joining_on_and_up_to_leaving(cast: Cast) -> None:
    owner, stranger = cast["owner"], cast["stranger"]
    await owner.send(cast.conv, "before")
    await command(owner, "group.invite", gid=cast.gid, uids=[stranger.uid])
    await owner.send(cast.conv, "during")
    await command(stranger, "group.leave", gid=cast.gid)
    await owner.send(cast.conv, "after")

    async def seen() -> list[tuple[str, Any]]:
        page = await stranger.call("message.history", conv=cast.conv, after=0)
        backward = await stranger.call("message.history", conv=cast.conv, before=2**53)
        assert page["entries"] == backward["entries"]
        assert not page["more"]
        assert page["last_seq"] == page["entries"][-1]["seq"]
        return [(each["type"], each["body"].get("event")) for each in page["entries"]]

    only = [("group", "joined"), ("text", None), ("group", "left")]
    assert await seen() == only
    listed = (await stranger.call("conversation.list"))["conversations"][0]
    assert (listed["conv"], "last_entry" in listed) == (cast.conv, False)
    react = {"conv": cast.conv, "ref": 1, "emoji": "👍"}
    assert await refusal(stranger, "message.react", **react) == "not_a_member"
    await command(owner, "group.update", gid=cast.gid, settings={"history": "all"})
    assert await seen() == only
    again = await command(owner, "group.invite", gid=cast.gid, uids=[stranger.uid])
    assert again["results"] == [{"uid": stranger.uid, "state": "invited"}]
    await command(stranger, "group.accept", gid=cast.gid)
    everything = await seen()
    assert everything[0] == ("group", "created")
    assert len(everything) == listed["last_seq"] + 3


async def test_muted_and_dismissed_groups_take_no_messages(cast: Cast) -> None:
    text = {"conv": cast.conv, "type": "text", "body": {"text": "x"}}
    await command(cast["admin"], "group.mute", gid=cast.gid, until=2**50)
    assert await refusal(cast["member"], "message.send", **text) == "muted"
    await command(cast["admin"], "message.send", **text)
    await command(cast["admin"], "group.mute", gid=cast.gid, until=0)
    sent = await command(cast["member"], "message.send", **text)
    edit = {"conv": cast.conv, "ref": sent["seq"], "body": {"text": "y"}}
    uid = cast["member"].uid
    await command(cast["admin"], "group.mute", gid=cast.gid, uid=uid, until=2**50)
    assert await refusal(cast["member"], "message.edit", **edit) == "muted"
    assert await refusal(cast["member"], "conversation.typing", conv=cast.conv) == "muted"
    await command(cast["owner"], "group.dismiss", gid=cast.gid)
    assert await refusal(cast["admin"], "message.send", **text) == "not_a_member"
    assert await refusal(cast["owner"], "group.update", gid=cast.gid, name="x") == "not_a_member"
    assert (await cast["owner"].call("group.list"))["groups"] == []
    page = await cast["member"].call("message.history", conv=cast.conv, after=0)
    assert page["entries"][-1]["body"]["event"] == "dismissed"


async def test_admins_mention_everyone_and_recall_what_others_wrote(cast: Cast) -> None:
    text = {"conv": cast.conv, "type": "text", "body": {"text": "x"}, "mentions": ["@all"]}
    assert await refusal(cast["member"], "message.send", **text) == "forbidden"
    await command(cast["admin"], "message.send", **text)
    sent = await command(cast["member"], "message.send", **(text | {"mentions": []}))
    recall = {"conv": cast.conv, "ref": sent["seq"]}
    assert await refusal(cast["other"], "message.recall", **recall) == "forbidden"
    await command(cast["admin"], "message.recall", **recall)
    page = await cast["other"].call("message.history", conv=cast.conv, after=sent["seq"] - 1)
    assert "body" not in page["entries"][0]


async def test_the_owner_cannot_leave_and_can_hand_over(cast: Cast) -> None:
    owner, member = cast["owner"], cast["member"]
    assert await refusal(owner, "group.leave", gid=cast.gid) == "conflict"
    uid = cast["stranger"].uid
    assert await refusal(owner, "group.transfer", gid=cast.gid, uid=uid) == "not_found"
    await command(owner, "group.transfer", gid=cast.gid, uid=member.uid)
    assert (await cast.role("owner"), await cast.role("member")) == ("admin", "owner")
    assert await command(owner, "group.leave", gid=cast.gid) == {"state": "left"}


async def test_a_transfer_that_races_a_dismissal(cast: Cast) -> None:
    """Whichever comes second finds the first one done."""
    owner, member = cast["owner"], cast["member"]
    for _ in range(5):
        made = await command(owner, "group.create", name="race", members=[member.uid])
        gid = made["gid"]
        race = [
            owner.start("group.transfer", gid=gid, cid=next(cids), uid=member.uid),
            owner.start("group.dismiss", gid=gid, cid=next(cids)),
        ]
        transferred, dismissed = await asyncio.gather(*race)
        assert "result" in transferred or "result" in dismissed
        if "result" in transferred and "result" not in dismissed:
            assert dismissed["error"]["data"]["reason"] == "forbidden"
            assert (await member.call("group.get", gid=gid))["role"] == "owner"
        else:
            assert (await owner.call("group.list"))["groups"][0]["gid"] != gid


async def test_what_is_repeated_changes_nothing(cast: Cast) -> None:
    owner, gid = cast["owner"], cast.gid
    promote = {"gid": gid, "cid": "p", "uid": cast["member"].uid, "role": "admin"}
    first = await owner.call("group.set_role", **promote)
    await command(owner, "group.set_role", gid=gid, uid=cast["member"].uid, role="member")
    assert await owner.call("group.set_role", **promote) == first
    assert await cast.role("member") == "member"
    nothing = {"gid": gid, "cid": "n", "uid": cast["member"].uid, "role": "member"}
    await owner.call("group.set_role", **nothing)
    await command(owner, "group.set_role", gid=gid, uid=cast["member"].uid, role="admin")
    await owner.call("group.set_role", **nothing)
    assert await cast.role("member") == "admin"


async def test_receipts_are_told_where_the_group_wants_them(cast: Cast) -> None:
    sent = await cast["owner"].send(cast.conv, "c1")
    await cast["member"].call("conversation.read", conv=cast.conv, seq=sent["seq"])
    await command(cast["owner"], "group.update", gid=cast.gid, settings={"receipts": True})
    await cast["other"].call("conversation.read", conv=cast.conv, seq=sent["seq"])
    (told,) = await cast["owner"].until("read", 1)
    assert told == {"conv": cast.conv, "uid": cast["other"].uid, "seq": sent["seq"]}


async def test_a_device_that_opens_later_hears_the_group(cast: Cast, stack: Stack) -> None:
    second = await Wire.connect(stack.layout.connector_urls[0])
    await second.open(cast["member"].tokens["access_token"])
    await cast["owner"].send(cast.conv, "c1", "for all devices")
    assert (await second.until("entry", 1))[0]["body"] == {"text": "for all devices"}
    await command(cast["owner"], "group.remove", gid=cast.gid, uids=[cast["member"].uid])
    await cast["owner"].send(cast.conv, "c2", "not for you")
    await cast["other"].until("entry", 3)
    assert [each["type"] for each in second.entries(cast.conv)] == ["text", "group"]


async def test_everybody_knows_the_same_in_the_end(cast: Cast) -> None:
    """A client that applied entries only, against what a fresh one is told, after every command."""
    gid, owner, stranger = cast.gid, cast["owner"], cast["stranger"]
    uid = {name: cast[name].uid for name in ROLES}
    view = GroupView(cast["admin"].uid)
    for entry in (await cast["admin"].call("message.history", conv=cast.conv, after=0))["entries"]:
        view.apply(entry)
    commands: list[tuple[Wire, str, dict[str, Any]]] = [
        (owner, "group.update", {"name": "renamed", "description": "d", "ext": {"k": "v"}}),
        (owner, "group.update", {"settings": {"join": "open", "receipts": True}}),
        (stranger, "group.join", {}),
        (stranger, "group.nickname", {"nickname": "newbie"}),
        (owner, "group.set_role", {"uid": uid["other"], "role": "admin"}),
        (owner, "group.mute", {"uid": uid["stranger"], "until": 2**50}),
        (owner, "group.mute", {"until": 2**50}),
        (stranger, "group.leave", {}),
        (stranger, "group.join", {}),
        (owner, "group.remove", {"uids": [uid["other"]]}),
        (owner, "group.block", {"uids": [uid["stranger"]]}),
        (owner, "group.transfer", {"uid": uid["member"]}),
        (cast["member"], "group.update", {"description": ""}),
    ]
    for number, (wire, method, params) in enumerate(commands, 1):
        await command(wire, method, gid=gid, **params)
        live = (await cast["admin"].until("entry", number + 1))[number:]
        for entry in live:
            view.apply(entry)
        known = await cast["admin"].call("group.get", gid=gid)
        members = await cast["admin"].call("group.members", gid=gid)
        assert view.as_told() == (known, members["members"]), method
