"""The changes of a group, one function each: what a command does to a scene.

A command returns its result and raises `CallError` to refuse; then it has changed nothing. The
people it is about are in `scene.members`, if they were ever heard of, and `strangers` holds the
uids that belong to nobody.
"""

from collections.abc import Collection
from typing import Any

from shared import people
from shared.call import Call
from shared.errors import CallError, Reason
from shared.events import now_ms
from shared.members import ENDED
from shared.settings import settings

from . import views
from .bringing import ways
from .params import (
    Command,
    CommandOnPeople,
    CommandOnPerson,
    Create,
    Mute,
    Nickname,
    SetRole,
    Settings,
    Update,
)
from .rules import DEFAULTS
from .scene import Scene

GONE = {"left", "removed", "none"}


def created(call: Call[Create], gid: str) -> dict[str, Any]:
    """The document of a group before anything happened in it."""
    return {
        "gid": gid,
        "name": call.params.name,
        "settings": DEFAULTS | _given(call.params.settings),
        "owner": call.uid,
        "admins": [],
        "size": 0,
        "muted_until": 0,
        "dismissed": False,
        "created_at": now_ms(),
    } | _searchable(call.params.name, listed=bool(call.params.settings.listed))


def create(scene: Scene, call: Call[Create]) -> dict[str, Any]:
    """Makes a group of these people, or asks them first. A group that is there stays as it is: the
    command made it once."""
    group = scene.group
    made = {"gid": group["gid"], "conv": f"g:{group['gid']}"}
    if "rev" in group:
        return made
    others = [uid for uid in dict.fromkeys(call.params.members) if uid != call.uid]
    found = ways(scene, call.uid, others)
    entering = [call.uid, *found.add]
    if len(entering) > settings().group_members_limit:
        raise CallError(Reason.CONFLICT, "a group has not so many members")
    scene.require_time(call.uid)
    entering = [uid for uid in entering if uid not in scene.busy]
    told = {name: group[name] for name in ("name", "settings", "created_at")}
    scene.enter(call, "created", entering, strangers=found.strangers, **told)
    _ask(scene, call, found.ask)
    return made


def update(scene: Scene, call: Call[Update]) -> dict[str, Any]:
    """Changes what is given; an empty avatar or description removes it."""
    given = call.params.model_dump(exclude_none=True, exclude={"gid", "cid"})
    scene.require("group.update settings" if "settings" in given else "group.update", call.uid)
    scene.require_voice(call.uid)
    group = scene.group
    if given:
        changes = dict(given)
        if call.params.settings is not None:
            changes["settings"] = group["settings"] | _given(call.params.settings)
        group.update(changes)
        group.pop("search", None)
        group.update(_searchable(group["name"], listed=group["settings"]["listed"]))
        scene.tell(call, "updated", [], **changes)
    return views.group(group | {"_id": group["gid"]}, call.uid, member=True)


def invite(scene: Scene, call: Call[CommandOnPeople]) -> dict[str, Any]:
    """Adds people, or asks them first."""
    scene.require("group.invite", call.uid)
    uids = list(dict.fromkeys(call.params.uids))
    outside = {uid: None for uid in uids if scene.state(uid) not in ("member", "blocked")}
    found = ways(scene, call.uid, list(outside))
    room = settings().group_members_limit - scene.group["size"]
    entering = [uid for uid in found.add if uid not in scene.busy][: max(room, 0)]
    states = dict.fromkeys([*found.add, *found.spared], "full")
    states |= dict.fromkeys(found.ask, "invited") | dict.fromkeys(entering, "member")
    states |= {uid: scene.state(uid) for uid in uids if uid not in outside}
    results = [{"uid": uid, "state": states.get(uid, "not_found")} for uid in uids]
    requested = [uid for uid in entering if scene.state(uid) == "requested"]
    if entering:
        scene.enter(call, "joined", entering, strangers=found.strangers)
    for uid in requested:
        _settle_request(scene, call, uid, "approved")
    _ask(scene, call, found.ask)
    return {"results": results}


def remove(scene: Scene, call: Call[CommandOnPeople]) -> dict[str, Any]:
    """Removes members, and takes invitations back."""
    return _expel(scene, call, "group.remove", "removed")


def block(scene: Scene, call: Call[CommandOnPeople]) -> dict[str, Any]:
    """Removes people, who cannot join or be invited any more."""
    return _expel(scene, call, "group.block", "blocked")


def unblock(scene: Scene, call: Call[CommandOnPeople]) -> dict[str, Any]:
    """Lets people join again."""
    scene.require("group.unblock", call.uid)
    uids = list(dict.fromkeys(call.params.uids))
    for uid in uids:
        if scene.state(uid) == "blocked":
            scene.set(uid, state="none")
    return {"results": [{"uid": uid, "state": _public(scene.state(uid))} for uid in uids]}


def join(scene: Scene, call: Call[Command]) -> dict[str, Any]:
    """Becomes a member, or asks to be one."""
    uid = call.uid
    policy, state = scene.group["settings"]["join"], scene.state(uid)
    if state == "member":
        raise CallError(Reason.ALREADY_MEMBER)
    if state == "blocked":
        raise CallError(Reason.BLOCKED)
    if state == "invited" or policy == "open":
        scene.require_room()
        scene.require_time(uid)
        scene.enter(call, "joined", [uid])
        return {"state": "member"}
    if policy == "invite":
        raise CallError(Reason.NOT_FOUND)
    if state != "requested":
        scene.set(uid, state="requested", ts=now_ms())
        scene.tell_privately(call, [uid, *scene.admins], "requested", uid=uid)
    return {"state": "pending"}


def leave(scene: Scene, call: Call[Command]) -> dict[str, Any]:
    """Is a member no more, or takes a request to join back. A dismissed group is left unnoticed."""
    uid = call.uid
    if scene.group["dismissed"]:
        if scene.state(uid) != ENDED:
            raise CallError(Reason.NOT_A_MEMBER)
        scene.quit(call, uid)
        return {"state": "left"}
    if scene.state(uid) == "requested":
        scene.set(uid, state="none")
        _settle_request(scene, call, uid, "withdrawn")
        return {"state": "left"}
    scene.require("group.leave", uid)
    if uid == scene.group["owner"]:
        raise CallError(Reason.CONFLICT, "an owner transfers the group first, or dismisses it")
    scene.leave(call, "left", [uid], "left")
    scene.set(uid, asks=True)
    return {"state": "left"}


def accept(scene: Scene, call: Call[Command]) -> dict[str, Any]:
    """The invited one comes in."""
    if scene.present(call.uid):
        raise CallError(Reason.ALREADY_MEMBER)
    if scene.state(call.uid) != "invited":
        raise CallError(Reason.NOT_FOUND)
    scene.require_room()
    scene.require_time(call.uid)
    scene.enter(call, "joined", [call.uid])
    scene.tell_privately(call, [call.uid], "accepted")
    return {"state": "member"}


def decline(scene: Scene, call: Call[Command]) -> dict[str, Any]:
    """The invited one does not come in."""
    if scene.state(call.uid) != "invited":
        raise CallError(Reason.NOT_FOUND)
    inviter = scene.members[call.uid]["by"]
    scene.set(call.uid, state="none")
    scene.tell_privately(call, [call.uid, inviter], "declined", uid=call.uid)
    return {"state": "none"}


def approve(scene: Scene, call: Call[CommandOnPerson]) -> dict[str, Any]:
    """Lets somebody in who asked."""
    uid = _requester(scene, call, "group.approve")
    scene.require_room()
    scene.require_time(uid)
    scene.enter(call, "joined", [uid])
    _settle_request(scene, call, uid, "approved")
    return {"state": "member"}


def reject(scene: Scene, call: Call[CommandOnPerson]) -> dict[str, Any]:
    """Does not let somebody in who asked."""
    uid = _requester(scene, call, "group.reject")
    scene.set(uid, state="none")
    _settle_request(scene, call, uid, "rejected")
    return {"state": "none"}


def set_role(scene: Scene, call: Call[SetRole]) -> dict[str, Any]:
    """Makes a member an admin, or an admin a member."""
    params, group = call.params, scene.group
    scene.require("group.set_role", call.uid)
    _require_other_member(scene, call.uid, params.uid)
    if (params.uid in group["admins"]) == (params.role == "admin"):
        return {}
    if params.role == "admin":
        if len(group["admins"]) >= settings().group_admins_limit:
            raise CallError(Reason.CONFLICT, "a group has not so many admins")
        group["admins"].append(params.uid)
    else:
        group["admins"].remove(params.uid)
    scene.tell(call, "role", [params.uid], role=params.role)
    return {}


def transfer(scene: Scene, call: Call[CommandOnPerson]) -> dict[str, Any]:
    """Makes another member the owner; who was it stays on as an admin."""
    uid, group = call.params.uid, scene.group
    scene.require("group.transfer", call.uid)
    _require_other_member(scene, call.uid, uid)
    group["admins"] = [call.uid, *(each for each in group["admins"] if each != uid)]
    group["owner"] = uid
    scene.tell(call, "owner", [uid])
    return {}


def mute(scene: Scene, call: Call[Mute]) -> dict[str, Any]:
    """Mutes a member, or everyone but admins, until a time; 0 lifts it."""
    params = call.params
    scene.require("group.mute", call.uid)
    if params.uid is None:
        scene.group["muted_until"] = params.until
        scene.tell(call, "muted", [], until=params.until)
        return {}
    _require_member(scene, params.uid)
    scene.require_above("group.mute", call.uid, params.uid)
    scene.set(params.uid, muted_until=params.until)
    scene.tell(call, "muted", [params.uid], until=params.until)
    return {}


def nickname(scene: Scene, call: Call[Nickname]) -> dict[str, Any]:
    """Sets one's name in the group; an empty one removes it."""
    scene.require("group.nickname", call.uid)
    scene.require_voice(call.uid)
    scene.set(call.uid, nickname=call.params.nickname or None)
    scene.tell(call, "updated", [call.uid], nickname=call.params.nickname)
    return {}


def dismiss(scene: Scene, call: Call[Command]) -> dict[str, Any]:
    """Ends the group: it can be read, and that is all."""
    scene.require("group.dismiss", call.uid)
    scene.group["dismissed"] = True
    scene.group.pop("search", None)
    scene.tell(call, "dismissed", [])
    return {}


def _given(chosen: Settings) -> dict[str, Any]:
    return chosen.model_dump(exclude_none=True)


def _searchable(name: str, *, listed: bool) -> dict[str, str]:
    return {"search": name.casefold()} if listed else {}


def _ask(scene: Scene, call: Call[Any], uids: Collection[str]) -> None:
    """Invites those who are not invited yet."""
    asked = [uid for uid in uids if scene.state(uid) != "invited"]
    for uid in asked:
        scene.set(uid, state="invited", by=call.uid, ts=now_ms())
    scene.tell_privately(call, asked, "invited")


def _expel(scene: Scene, call: Call[CommandOnPeople], right: str, state: str) -> dict[str, Any]:
    scene.require(right, call.uid)
    uids = list(dict.fromkeys(call.params.uids))
    inside = [uid for uid in uids if scene.present(uid)]
    for uid in inside:
        scene.require_above(right, call.uid, uid)
    if inside:
        told = {"blocked": True} if state == "blocked" else {}
        scene.leave(call, "removed", inside, state, **told)
    nobody = people.strangers(uid for uid in uids if uid not in scene.members)
    results = []
    for uid in uids:
        before = scene.state(uid)
        waited = before in ("invited", "requested")
        if uid in nobody:
            results.append({"uid": uid, "state": "not_found"})
            continue
        if uid in inside:
            results.append({"uid": uid, "state": state})
            continue
        if state == "blocked" or waited:
            scene.set(uid, state="blocked" if state == "blocked" else "none")
        if before == "requested":
            _settle_request(scene, call, uid, "rejected")
        elif before == "invited":
            scene.tell_privately(call, [uid], "withdrawn", uid=uid)
        changed = state == "blocked" or waited
        results.append({"uid": uid, "state": state if changed else _public(before)})
    return {"results": results}


def _settle_request(scene: Scene, call: Call[Any], uid: str, how: str) -> None:
    """Who asked to join, and who may decide, learn how it ended."""
    scene.tell_privately(call, [uid, *scene.admins], how, uid=uid)


def _requester(scene: Scene, call: Call[CommandOnPerson], right: str) -> str:
    scene.require(right, call.uid)
    uid = call.params.uid
    if scene.present(uid):
        raise CallError(Reason.ALREADY_MEMBER)
    if scene.state(uid) != "requested":
        raise CallError(Reason.NOT_FOUND, "no such request")
    return uid


def _require_member(scene: Scene, uid: str) -> None:
    if not scene.present(uid):
        raise CallError(Reason.NOT_FOUND, "not a member")


def _require_other_member(scene: Scene, uid: str, other: str) -> None:
    _require_member(scene, other)
    if uid == other:
        raise CallError(Reason.CONFLICT, "one's own role")


def _public(state: str) -> str:
    return "none" if state in GONE else state
