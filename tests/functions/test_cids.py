"""A `cid` counts for one user, method and target, as long as what it made exists."""

import importlib
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from local import reference
from local.stack import Stack
from shared.call import Call, Caller
from shared.collections import MESSAGES
from shared.commands import entry_command
from shared.ids import new_id
from shared.params import Params
from shared.stores import database
from tests.calling import Person, answers, forget
from tests.wire import direct

TARGETS = ("conv", "gid", "uid", "file", "call", "id")


def commands() -> list[tuple[str, type[BaseModel]]]:
    """All methods of shipped functions that take a cid, and their params."""
    found = []
    for file in sorted((reference.ROOT / "functions").glob("*/handler.py")):
        name = file.parent.name
        function = getattr(importlib.import_module(f"functions.{name}.handler"), name)
        for method in function.methods.values():
            model = method.params._type
            if "cid" in model.model_fields:
                found.append((method.name, model))
    return found


def test_every_method_counts_a_cid_for_its_target(layout: object) -> None:
    found = commands()
    assert len(found) >= 30

    def key(method: str, model: type[BaseModel], **given: Any) -> str:
        params = model.model_construct(**({"cid": "c"} | given))
        return Call(method, params, Caller("u" * 8), given.get("cid", "c")).key

    for method, model in found:
        named = [name for name in model.model_fields if name in TARGETS]
        given = {name: f"{name}one" for name in named}
        first = key(method, model, **given)
        assert first == key(method, model, **given)
        assert first != key(method, model, **given, cid="d")
        others = {key(method, model, **(given | {name: "other"})) for name in named}
        assert len(others - {first}) == len(named), method
        rest = {
            name: "changed"
            for name in model.model_fields
            if name not in (*named, "cid") and (named or name != "role")
        }
        assert key(method, model, **given, **rest) == first, method


def test_keys_do_not_run_into_each_other() -> None:
    class Named(Params):
        conv: str | None = None
        file: str | None = None
        role: str | None = None

    def key(cid: str, **params: str) -> str:
        return Call("m", Named(**params), Caller("u" * 8), cid).key

    found = [
        key("a b", role="c"),
        key("b", role="c a"),
        key("b", role="c,a"),
        key("b", conv="c", file="a"),
        key("b", role="c%20a"),
        key("a b", role="c "),
        key("b"),
        key(" b"),
    ]
    assert len(set(found)) == len(found)
    assert entry_command("group.mute", "gid00000,uid00000", "g:gid00000") == "group.mute,uid00000"
    assert entry_command("message.edit", "g:gid00000", "g:gid00000") == "message.edit"


def test_a_cid_used_again_elsewhere_is_another_command(stores: Stack) -> None:
    alice, bob, carol = Person(), Person(), Person()
    secrets = {}
    for other in (bob, carol):
        conv = direct(alice.uid, other.uid)
        secrets[conv] = alice.send(conv, "secret")
        edit = {"conv": conv, "ref": secrets[conv], "body": {"text": f"for {other.uid}"}}
        alice.call("message.edit", cid="same", **edit)
        assert other.history(conv)[0]["body"] == {"text": f"for {other.uid}"}
        alice.call("message.react", cid="same", conv=conv, ref=secrets[conv], emoji="👍")
        assert [each["type"] for each in other.history(conv)] == ["text", "edit", "reaction"]
        alice.call("message.recall", cid="same", conv=conv, ref=secrets[conv])
        assert "body" not in other.history(conv)[0]
        assert alice.call("friend.request", uid=other.uid, cid="same") == {"state": "outgoing"}
        assert other.call("friend.list", state="incoming")["friends"][0]["uid"] == alice.uid
    gids = [
        alice.do("group.create", name="g", members=[bob.uid, carol.uid])["gid"] for _ in range(2)
    ]
    for gid in gids:
        for other in (bob, carol):
            mute = {"gid": gid, "uid": other.uid, "until": 2**50}
            alice.call("group.mute", cid="same", **mute)
            assert (
                str(
                    other.refused(
                        "message.send", conv=f"g:{gid}", type="text", body={"text": "x"}
                    ).reason
                )
                == "muted"
            )
        assert carol.call("group.leave", gid=gid, cid="same") == {"state": "left"}
        assert carol.refused("group.leave", gid=gid).reason == "not_a_member"
    assert alice.call("group.create", name="a", cid="same") == alice.call(
        "group.create", name="b", cid="same"
    )


def test_two_targets_with_one_cid_in_one_batch(stores: Stack) -> None:
    alice, bob, carol = Person(), Person(), Person()
    convs = [direct(alice.uid, other.uid) for other in (bob, carol)]
    for conv in convs:
        alice.send(conv)
    react = {"cid": "same", "ref": 1, "emoji": "👍"}
    events = [alice.event("message.react", conv=conv, **react) for conv in (*convs, *convs)]
    found = answers(*events)
    assert found[:2] == found[2:]
    assert [len(alice.history(conv)) for conv in convs] == [2, 2]
    missing = react | {"cid": "second", "conv": convs[0]}
    events = [alice.event("message.react", **missing | {"ref": ref}) for ref in (9, 1, 1)]
    assert answers(*events) == ["not_found", found[0], found[0]]


class Case(NamedTuple):
    """A command, and what undoes it. `who` acts, `then` undoes."""

    who: str
    method: str
    params: dict[str, Any]
    then: str
    undo: str
    given: dict[str, Any]


OPEN, GONE = {"settings": {"join": "open"}}, {"settings": {"join": "invite"}}
CASES = [
    Case("owner", "group.update", OPEN, "owner", "group.update", GONE),
    Case("owner", "group.invite", {"uids": ["out"]}, "owner", "group.remove", {"uids": ["out"]}),
    Case("owner", "group.remove", {"uids": ["in"]}, "owner", "group.invite", {"uids": ["in"]}),
    Case("owner", "group.block", {"uids": ["out"]}, "owner", "group.unblock", {"uids": ["out"]}),
    Case("owner", "group.unblock", {"uids": ["shut"]}, "owner", "group.block", {"uids": ["shut"]}),
    Case("in", "group.nickname", {"nickname": "n"}, "in", "group.nickname", {"nickname": "m"}),
    Case("in", "group.leave", {}, "in", "group.accept", {}),
    Case("owner", "group.mute", {"until": 2**50}, "owner", "group.mute", {"until": 0}),
    Case(
        *("owner", "group.mute", {"uid": "in", "until": 2**50}),
        *("owner", "group.mute", {"uid": "in", "until": 0}),
    ),
    Case(
        *("owner", "group.set_role", {"uid": "in", "role": "admin"}),
        *("owner", "group.set_role", {"uid": "in", "role": "member"}),
    ),
    Case("owner", "group.transfer", {"uid": "in"}, "in", "group.transfer", {"uid": "owner"}),
    Case("owner", "friend.request", {"uid": "out"}, "owner", "friend.remove", {"uid": "out"}),
    Case("owner", "friend.block", {"uid": "out"}, "owner", "friend.unblock", {"uid": "out"}),
    Case(
        "owner",
        "friend.update",
        {"uid": "in", "alias": "a"},
        "owner",
        "friend.update",
        {"uid": "in", "alias": "b"},
    ),
    Case("owner", "friend.remove", {"uid": "in"}, "owner", "friend.request", {"uid": "in"}),
    Case(
        "owner",
        "message.react",
        {"emoji": "👍"},
        "owner",
        "message.react",
        {"emoji": "👍", "remove": True},
    ),
    Case(
        "owner",
        "message.edit",
        {"body": {"text": "1"}},
        "owner",
        "message.edit",
        {"body": {"text": "2"}},
    ),
    Case("owner", "user.update", {"about": "1"}, "owner", "user.update", {"about": "2"}),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.method} {sorted(case.params)}")
def test_repeated_long_after_it_changes_nothing_that_came_later(stores: Stack, case: Case) -> None:
    cast = {name: Person() for name in ("owner", "in", "out", "shut")}
    owner, shut = cast["owner"], cast["shut"]
    owner.do("friend.request", uid=cast["in"].uid)
    cast["in"].do("friend.accept", uid=owner.uid)
    gid = owner.do("group.create", name="g", members=[cast["in"].uid])["gid"]
    owner.do("group.block", gid=gid, uids=[shut.uid])
    ref = owner.send(f"g:{gid}")

    def filled(method: str, params: dict[str, Any]) -> dict[str, Any]:
        given = dict(params)
        if "uids" in given:
            given["uids"] = [cast[name].uid for name in given["uids"]]
        if "uid" in given:
            given["uid"] = cast[given["uid"]].uid
        if method.startswith("group."):
            given["gid"] = gid
        if method.startswith("message."):
            given |= {"conv": f"g:{gid}", "ref": ref}
        return given

    def known() -> list[Any]:
        convs = [f"g:{gid}", *(f"u:{person.uid}" for person in cast.values())]
        members = [
            owner.call("group.members", gid=gid, state=state) for state in ("member", "blocked")
        ]
        return [
            owner.call("group.get", gid=gid),
            members,
            owner.call("friend.list"),
            database()[MESSAGES].count_documents({"conv": {"$in": convs}}),
            owner.history(f"g:{gid}"),
        ]

    who, then = cast[case.who], cast[case.then]
    command = filled(case.method, case.params) | {"cid": "once"}
    first = who.call(case.method, **command)
    if case.undo == "group.accept":
        owner.do("group.invite", gid=gid, uids=[who.uid])
    then.do(case.undo, **filled(case.undo, case.given))
    before = known()
    assert who.call(case.method, **command) == first
    forget()
    again = who.call(case.method, **command)
    if case.method != "user.update":
        assert again == first
    else:
        assert again["about"] == "2"
    assert known() == before


def test_a_group_is_made_once_for_all_time(stores: Stack) -> None:
    owner, heir, gone = Person(), Person(), Person()
    create = {"cid": "once", "name": "g", "members": [heir.uid, gone.uid]}
    made = owner.call("group.create", **create)
    gid = made["gid"]
    gone.do("group.leave", gid=gid)
    owner.do("group.transfer", gid=gid, uid=heir.uid)
    heir.do("group.block", gid=gid, uids=[owner.uid])
    before = heir.call("group.get", gid=gid), heir.history(made["conv"])
    forget()
    assert owner.call("group.create", **create | {"name": "other"}) == made
    assert (heir.call("group.get", gid=gid), heir.history(made["conv"])) == before
    assert owner.refused("message.send", conv=made["conv"], type="text", body={"text": "x"}).reason
    assert before[0]["size"] == 1
    heir.do("group.dismiss", gid=gid)
    forget()
    assert owner.call("group.create", **create) == made


def test_the_same_command_twice_in_one_batch(stores: Stack) -> None:
    owner, other = Person(), Person()
    gid = owner.do("group.create", name="g", members=[other.uid])["gid"]
    cid = new_id()
    mute = owner.event("group.mute", gid=gid, cid=cid, until=5)
    assert answers(mute, mute) == [{}, {}]
    events = [each["body"]["event"] for each in owner.history(f"g:{gid}")]
    assert events == ["created", "muted"]
