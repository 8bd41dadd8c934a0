"""Groups: made, ruled, joined, left, found."""

from collections.abc import Sequence
from typing import Any

from shared import channels, guarding
from shared.call import Call
from shared.collections import Document
from shared.conversation import Conversation
from shared.errors import CallError, Reason
from shared.function import Function
from shared.groups import groups
from shared.members import groups_of
from shared.membership import standing
from shared.params import NoParams
from shared.secretfiles import CONTENT_KEYS
from shared.shapes import Channels, Empty

from . import commands, lists, rules, views
from .batch import GroupCall, run
from .params import (
    Command,
    CommandOnPeople,
    CommandOnPerson,
    Create,
    ListMembers,
    ListRequests,
    Mute,
    Nickname,
    OfGroup,
    Page,
    Search,
    SetRole,
    Update,
)
from .results import (
    Created,
    Group,
    Groups,
    Invitations,
    PageOfGroups,
    PageOfMembers,
    Requests,
    Results,
    State,
)

group = Function("group", secrets=[CONTENT_KEYS])

SEARCH_RESULTS = 20


@group.batch("group.create", result=Created)
def create(calls: Sequence[Call[Create]]) -> list[Any]:
    """Makes a group owned by the caller, with these members (invited first, where the settings or
    they themselves want it; who cannot be added is left out). `gid` and `conv`. Refuses with
    `rate_limited` where all of them have been added by too many strangers of late."""

    def gid(call: GroupCall) -> str:
        return call.derived_id()

    return run(calls, commands.create, enters=True, gid=gid, make=commands.created)


@group.batch("group.update", result=Group)
def update(calls: Sequence[Call[Update]]) -> list[Any]:
    """Changes what is given (an empty avatar or description removes it), and returns the group.
    Refuses with `not_a_member`, `muted` and `forbidden`; settings are for admins."""
    return run(calls, commands.update)


@group.batch("group.invite", result=Results)
def invite(calls: Sequence[Call[CommandOnPeople]]) -> list[Any]:
    """`results`, a state for each uid: `member`, `invited` (where the group wants consent, or the
    person, or who left by themselves), `blocked`, `full` (the group, the person's groups, or what
    strangers may ask of the person), `not_found`. Refuses with `not_a_member`, `forbidden`, and
    `rate_limited` where strangers have asked too much of each of them."""
    return run(calls, commands.invite, enters=True)


@group.batch("group.remove", result=Results)
def remove(calls: Sequence[Call[CommandOnPeople]]) -> list[Any]:
    """`results`, a state for each uid: `removed`, or what it was. Refuses with `not_a_member`, and
    `forbidden` where the caller does not outrank each of them."""
    return run(calls, commands.remove)


@group.batch("group.block", result=Results)
def block(calls: Sequence[Call[CommandOnPeople]]) -> list[Any]:
    """`results` with `blocked` for each uid: removed, and cannot join or be invited. Refuses as
    `group.remove` does."""
    return run(calls, commands.block)


@group.batch("group.unblock", result=Results)
def unblock(calls: Sequence[Call[CommandOnPeople]]) -> list[Any]:
    """`results`, the state of each uid. Refuses with `not_a_member` and `forbidden`."""
    return run(calls, commands.unblock)


@group.batch("group.join", result=State)
def join(calls: Sequence[Call[Command]]) -> list[Any]:
    """`state`: `member`, or `pending` where admins decide. Refuses with `not_found` (also where one
    must be invited), `already_member`, `blocked`, and `conflict` where there is no room."""
    return run(calls, commands.join, enters=True)


@group.batch("group.leave", result=State)
def leave(calls: Sequence[Call[Command]]) -> list[Any]:
    """`state` is `left`; takes back a request to join. Of a dismissed group nobody
    else is told. Refuses with `not_a_member`, and `conflict` for the owner."""
    return run(calls, commands.leave, ended=True)


@group.batch("group.accept", result=State)
def accept(calls: Sequence[Call[Command]]) -> list[Any]:
    """Accepts an invitation: `state` is `member`. Refuses with `not_found` without one."""
    return run(calls, commands.accept, enters=True)


@group.batch("group.decline", result=State)
def decline(calls: Sequence[Call[Command]]) -> list[Any]:
    """Declines an invitation: `state` is `none`. Refuses with `not_found` without one."""
    return run(calls, commands.decline)


@group.batch("group.approve", result=State)
def approve(calls: Sequence[Call[CommandOnPerson]]) -> list[Any]:
    """Lets in who asked: `state` is `member`. Refuses with `not_a_member`, `forbidden`, `not_found`
    (no such request), `already_member`, `conflict` (no room)."""
    return run(calls, commands.approve, enters=True)


@group.batch("group.reject", result=State)
def reject(calls: Sequence[Call[CommandOnPerson]]) -> list[Any]:
    """Does not let in who asked: `state` is `none`. Refuses as `group.approve` does."""
    return run(calls, commands.reject)


@group.batch("group.set_role", result=Empty)
def set_role(calls: Sequence[Call[SetRole]]) -> list[Any]:
    """Makes a member an admin or an admin a member. Refuses with `not_a_member`, `forbidden`,
    `not_found` (not a member), `conflict` (one's own role, too many admins)."""
    return run(calls, commands.set_role)


@group.batch("group.transfer", result=Empty)
def transfer(calls: Sequence[Call[CommandOnPerson]]) -> list[Any]:
    """Makes another member the owner; who was it becomes an admin. Refuses as `group.set_role`."""
    return run(calls, commands.transfer)


@group.batch("group.mute", result=Empty)
def mute(calls: Sequence[Call[Mute]]) -> list[Any]:
    """Mutes a member, or without `uid` everyone but admins, until a time in ms; 0 lifts it. Refuses
    with `not_a_member`, `forbidden`, `not_found` (not a member). It outlasts leaving and joining
    again."""
    return run(calls, commands.mute)


@group.batch("group.nickname", result=Empty)
def nickname(calls: Sequence[Call[Nickname]]) -> list[Any]:
    """Sets the caller's name in the group; an empty one removes it. Refuses with `not_a_member` and
    `muted`."""
    return run(calls, commands.nickname)


@group.batch("group.dismiss", result=Empty)
def dismiss(calls: Sequence[Call[Command]]) -> list[Any]:
    """Ends the group; its members may read on. Refuses with `not_a_member` and `forbidden`."""
    return run(calls, commands.dismiss)


@group.method("group.get", result=Group, reads=True)
def get(call: Call[OfGroup]) -> dict[str, Any]:
    """A group: to its members, to those it invited, and to anyone where it is listed or open to
    join. Refuses all others with `not_a_member`."""
    found = groups().get(call.params.gid)
    if found is None:
        raise CallError(Reason.NOT_A_MEMBER)
    known = groups().members(call.params.gid, [call.uid]).get(call.uid, {})
    state = known.get("state", "none")
    settings = found["settings"]
    public = settings["listed"] or settings["join"] != "invite"
    if state not in ("member", "invited") and (state == "blocked" or not public):
        raise CallError(Reason.NOT_A_MEMBER)
    return views.group(found, call.uid, member=state == "member")


@group.method("group.list", result=PageOfGroups, reads=True)
def list_groups(call: Call[Page]) -> dict[str, Any]:
    """`groups` of which the caller is a member, by gid, those behind `after`; `next` where there
    are more."""
    return lists.of_groups(call.uid, call.params)


@group.method("group.members", result=PageOfMembers, reads=True)
def list_members(call: Call[ListMembers]) -> dict[str, Any]:
    """`members` by uid, those behind `after`, of this role where one is given; `next` where there
    are more. Admins may also list who is `blocked`, and which members are `muted`. Refuses with
    `not_a_member` and `forbidden`."""
    params = call.params
    right = "group.members" if params.state == "member" else f"group.members {params.state}"
    return lists.of_members(_group_of(call, params.gid, right), params)


@group.method("group.requests", result=Requests, reads=True)
def list_requests(call: Call[ListRequests]) -> dict[str, Any]:
    """`requests` to join by uid, those behind `after`; `next` where there are more. Refuses with
    `not_a_member` and `forbidden`."""
    params = call.params
    _group_of(call, params.gid, "group.requests")
    return lists.of_requests(params.gid, params)


@group.method("group.invitations", result=Invitations, reads=True)
def list_invitations(call: Call[Page]) -> dict[str, Any]:
    """`invitations` that the caller has not answered, by gid, those behind `after`; `next` where
    there are more."""
    return lists.of_invitations(call.uid, call.params)


@group.method("group.search", result=Groups, reads=True)
def search(call: Call[Search]) -> dict[str, Any]:
    """`groups` that are listed and whose name begins with `q`, at most 20."""
    found = groups().search(call.params.q.casefold(), SEARCH_RESULTS)
    mine = groups_of([call.uid])[call.uid]
    return {"groups": [views.group(each, call.uid, member=each["_id"] in mine) for each in found]}


@group.batch("session.channels", result=Channels, reads=True)
def give_channels(calls: Sequence[Call[NoParams]]) -> list[Any]:
    """The channels of the callers' groups, for sessions that are being opened."""
    found = groups_of(dict.fromkeys(call.uid for call in calls))
    return guarding.each(
        calls,
        lambda call: {"channels": [channels.group(gid) for gid in found[call.uid]]},
        "session.channels",
    )


def _group_of(call: Call[Any], gid: str, right: str) -> Document:
    """The group, in which the caller has this right. Raises `not_a_member` and `forbidden`."""
    found = groups().get(gid)
    if found is None:
        raise CallError(Reason.NOT_A_MEMBER)
    role = standing(call.uid, Conversation("g", (gid,))).role
    rules.require(right, found, call.uid, role is not None)
    return found


start = group.start
handle = group.handle
ready = group.ready
