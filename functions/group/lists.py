"""Lists of groups and of their people, page by page."""

from collections.abc import Sequence
from typing import Any

from shared import pages
from shared.collections import Document
from shared.events import now_ms
from shared.groups import groups
from shared.members import PRESENT, groups_of, roster
from shared.settings import settings

from . import views
from .params import ListMembers


def of_groups(uid: str, after: str, limit: int) -> dict[str, Any]:
    """Those of which a person is a member."""
    gids = sorted(gid for gid in groups_of([uid])[uid] if gid > after)[: limit + 1]
    found = groups().many(gids)
    shown = {each["_id"]: views.group(each, uid, member=True) for each in found}
    return _page("groups", "gid", gids, shown, limit)


def of_members(group: Document, params: ListMembers) -> dict[str, Any]:
    """The people of a group, of a state and a role."""
    gid, after, limit = group["_id"], params.after, params.limit + 1
    among = _of_role(group, params.role)
    if params.state == "blocked":
        found = roster(gid, after, limit, "blocked", among=among) if params.role is None else []
    elif params.state == "muted":
        found = roster(gid, after, limit, PRESENT, among=among, muted_until={"$gt": now_ms()})
    else:
        found = roster(gid, after, limit, PRESENT, among=among)
    shown = {each["uid"]: views.member(each, group) for each in found}
    return _page("members", "uid", list(shown), shown, params.limit)


def of_requests(gid: str, after: str, limit: int) -> dict[str, Any]:
    """Those who asked to join."""
    found = roster(gid, after, limit + 1, "requested")
    shown = {each["uid"]: {"uid": each["uid"], "ts": each["ts"]} for each in found}
    return _page("requests", "uid", list(shown), shown, limit)


def of_invitations(uid: str, after: str, limit: int) -> dict[str, Any]:
    """What a person is invited to."""
    invited = {each["gid"]: each for each in groups().invitations(uid, after, limit + 1)}
    shown = {
        each["_id"]: {"gid": each["_id"], "name": each["name"]}
        | {name: invited[each["_id"]][name] for name in ("by", "ts")}
        for each in groups().many(invited)
    }
    return _page("invitations", "gid", list(invited), shown, limit)


def _of_role(group: Document, role: str | None) -> dict[str, Any]:
    """What a uid of this role is, as a query says it."""
    admins = [group["owner"], *group["admins"]]
    if role == "owner":
        return {"$in": [group["owner"]]}
    if role == "admin":
        return {"$in": group["admins"]}
    return {"$nin": admins} if role == "member" else {}


def _page(
    name: str, key: str, ids: Sequence[str], shown: dict[str, dict[str, Any]], limit: int
) -> dict[str, Any]:
    """What is shown of these ids; there is one more than the limit where there are more."""
    found = [shown[each] for each in ids[:limit] if each in shown]
    page, more = pages.cut(found, limit, settings().answer_bytes)
    if more:
        return {name: page, "next": page[-1][key]}
    return {name: page} | ({"next": ids[limit - 1]} if len(ids) > limit else {})
