"""Who may do what in a group: one table.

A right is the least role that has it, or the name of the group's setting that says whether all
members or only admins do. Whoever acts on another member must outrank them besides.
"""

from typing import Any

from shared.collections import Document
from shared.errors import CallError, Reason
from shared.members import RANK, role_of

RIGHTS = {
    "group.members": "member",
    "group.members blocked": "admin",
    "group.members muted": "admin",
    "group.leave": "member",
    "group.nickname": "member",
    "group.invite": "setting invite",
    "group.update": "setting edit",
    "group.update settings": "admin",
    "group.requests": "admin",
    "group.approve": "admin",
    "group.reject": "admin",
    "group.remove": "admin",
    "group.block": "admin",
    "group.unblock": "admin",
    "group.mute": "admin",
    "group.set_role": "owner",
    "group.transfer": "owner",
    "group.dismiss": "owner",
}
OUTRANKING = frozenset({"group.remove", "group.block", "group.mute"})

DEFAULTS: dict[str, Any] = {
    "join": "invite",
    "history": "joined",
    "invite": "members",
    "edit": "admins",
    "consent": False,
    "receipts": False,
    "listed": False,
}


def least_role(right: str, settings: Document) -> str:
    """The lowest role that has a right in a group with these settings."""
    least = RIGHTS[right]
    if least.startswith("setting "):
        return "member" if settings[least.removeprefix("setting ")] == "members" else "admin"
    return least


def require(right: str, group: Document, uid: str, member: bool) -> None:
    """Raises `not_a_member` or `forbidden` unless this person has the right."""
    if not member:
        raise CallError(Reason.NOT_A_MEMBER)
    if RANK[role_of(group, uid)] < RANK[least_role(right, group["settings"])]:
        raise CallError(Reason.FORBIDDEN)


def require_above(right: str, group: Document, uid: str, other: str) -> None:
    """Raises `forbidden` where the right needs a higher role than the other member's."""
    if right in OUTRANKING and RANK[role_of(group, uid)] <= RANK[role_of(group, other)]:
        raise CallError(Reason.FORBIDDEN)
