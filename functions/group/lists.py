"""Lists of groups and of their people, page by page, in the order of their ids."""

import heapq
from collections.abc import Sequence
from typing import Any

from shared import pages
from shared.collections import Document
from shared.events import now_ms
from shared.groups import groups
from shared.members import PRESENT, groups_of, roster

from . import views
from .params import ListMembers, Page


def of_groups(uid: str, page: Page) -> dict[str, Any]:
    """Those of which a person is a member."""
    after = page.after
    mine = (gid for gid in groups_of([uid])[uid] if gid > after)
    gids = heapq.nsmallest(page.limit + 1, mine)
    found = groups().many(gids)
    shown = {each["_id"]: views.group(each, uid, member=True) for each in found}
    return _answer("groups", page, gids, shown)


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
    return _answer("members", params, list(shown), shown)


def of_requests(gid: str, page: Page) -> dict[str, Any]:
    """Those who asked to join."""
    found = roster(gid, page.after, page.limit + 1, "requested")
    shown = {each["uid"]: {"uid": each["uid"], "ts": each["ts"]} for each in found}
    return _answer("requests", page, list(shown), shown)


def of_invitations(uid: str, page: Page) -> dict[str, Any]:
    """What a person is invited to."""
    found = groups().invitations(uid, page.after, page.limit + 1)
    invited = {each["gid"]: each for each in found}
    shown = {
        each["_id"]: {"gid": each["_id"], "name": each["name"]}
        | {name: invited[each["_id"]][name] for name in ("by", "ts")}
        for each in groups().many(invited)
    }
    return _answer("invitations", page, list(invited), shown)


def _of_role(group: Document, role: str | None) -> dict[str, Any]:
    """What a uid of this role is, as a query says it."""
    admins = [group["owner"], *group["admins"]]
    if role == "owner":
        return {"$in": [group["owner"]]}
    if role == "admin":
        return {"$in": group["admins"]}
    return {"$nin": admins} if role == "member" else {}


def _answer(
    name: str, page: Page, ids: Sequence[str], shown: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """What is shown of these ids; there is one more than the limit where there are more."""
    there = [each for each in ids[: page.limit] if each in shown]
    items = pages.fitting(shown[each] for each in there)
    answer: dict[str, Any] = {name: items}
    if len(items) < len(there):
        answer["next"] = there[len(items) - 1]
    elif len(ids) > page.limit:
        answer["next"] = ids[page.limit - 1]
    return answer
