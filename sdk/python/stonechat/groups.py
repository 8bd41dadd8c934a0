"""Groups: their members, what they are, who may do what."""

import builtins
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypedDict, TypeVar

from stonechat import shape
from stonechat.params import Call, command, given

T = TypeVar("T")

Role = Literal["owner", "admin", "member", "none"]


class Settings(TypedDict, total=False):
    """What a group's owner decides; those that are left out stay as they are."""

    join: Literal["open", "approval", "invite"]
    history: Literal["joined", "all"]
    invite: Literal["members", "admins"]
    edit: Literal["members", "admins"]
    consent: bool
    receipts: bool
    listed: bool


@dataclass(frozen=True, slots=True)
class Group:
    """A group as its reader sees it. `role` is one's own; until `muted_until` nobody but admins
    can write. Times are UTC milliseconds."""

    gid: str
    conv: str
    name: str
    avatar: str | None = None
    description: str | None = None
    ext: Mapping[str, Any] = field(default_factory=dict)
    settings: Settings = field(default_factory=lambda: Settings())
    size: int = 0
    role: Role = "none"
    created_at: int = 0
    muted_until: int | None = None

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Made:
    """A group that was just made."""

    gid: str
    conv: str

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Member:
    """`joined_at` and `muted_until` are UTC milliseconds."""

    uid: str
    role: Role
    joined_at: int = 0
    nickname: str | None = None
    muted_until: int | None = None

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """Somebody who wants to join, since `ts`."""

    uid: str
    ts: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class _Became:
    """What became of one of those that a call named."""

    uid: str
    state: str

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class Invitation:
    """A group that waits for one's answer."""

    gid: str
    name: str
    by: str
    ts: int

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


class Groups:
    """`client.groups`. Raises `Forbidden` where one's role does not allow it, `NotFound` for groups
    that one does not see, `Conflict` where the present state does not allow it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    # What a group is

    async def create(
        self, name: str, members: Sequence[str] = (), *, settings: Settings | None = None
    ) -> Made:
        """Makes a group with oneself as its owner."""
        params = command(name=name, members=list(members) or None, settings=settings)
        found = await self._call("group.create", params)
        return Made.parse(found)

    async def get(self, gid: str) -> Group:
        return Group.parse(await self._call("group.get", {"gid": gid}))

    async def list(self) -> Sequence[Group]:
        """The groups that one is a member of."""
        return await self._all(Group.parse, "list", "groups")

    async def search(self, q: str) -> Sequence[Group]:
        """Groups that let themselves be found."""
        found = await self._call("group.search", {"q": q})
        return shape.read_all(Group.parse, found, "groups")

    async def update(
        self,
        gid: str,
        *,
        name: str | None = None,
        avatar: str | None = None,
        description: str | None = None,
        ext: Mapping[str, Any] | None = None,
        settings: Settings | None = None,
    ) -> Group:
        """Changes what is given, and returns the group."""
        params = command(
            gid=gid,
            name=name,
            avatar=avatar,
            description=description,
            ext=None if ext is None else dict(ext),
            settings=settings,
        )
        return Group.parse(await self._call("group.update", params))

    async def dismiss(self, gid: str) -> None:
        """Ends the group for everyone."""
        await self._call("group.dismiss", command(gid=gid))

    # Who is in it

    async def members(
        self,
        gid: str,
        *,
        limit: int | None = None,
        state: Literal["member", "blocked", "muted"] | None = None,
        role: Literal["owner", "admin", "member"] | None = None,
    ) -> Sequence[Member]:
        """The first `limit` members by uid, or all, in as many calls as it takes: those of this
        role where one is given. Admins may also list who is `blocked` or `muted`."""
        chosen = given(gid=gid, state=state, role=role)
        return await self._all(Member.parse, "members", "members", limit, **chosen)

    async def invite(self, gid: str, uids: Sequence[str]) -> dict[str, str]:
        """What became of each: `member`, `invited` where they must accept, `blocked`, `full`, …"""
        return await self._each("invite", gid, uids)

    async def remove(self, gid: str, uids: Sequence[str]) -> dict[str, str]:
        """What each is then."""
        return await self._each("remove", gid, uids)

    async def block(self, gid: str, uids: Sequence[str]) -> dict[str, str]:
        """Removes them, and they cannot come back until `unblock`."""
        return await self._each("block", gid, uids)

    async def unblock(self, gid: str, uids: Sequence[str]) -> dict[str, str]:
        return await self._each("unblock", gid, uids)

    async def join(self, gid: str) -> str:
        """`member`, or `pending` where an admin must approve."""
        return await self._state("join", gid)

    async def leave(self, gid: str) -> str:
        return await self._state("leave", gid)

    async def invitations(self) -> Sequence[Invitation]:
        """The invitations that wait for one's answer."""
        return await self._all(Invitation.parse, "invitations", "invitations")

    async def accept(self, gid: str) -> str:
        """Takes an invitation."""
        return await self._state("accept", gid)

    async def decline(self, gid: str) -> str:
        """Turns an invitation down."""
        return await self._state("decline", gid)

    async def requests(self, gid: str) -> Sequence[JoinRequest]:
        """Who waits for an admin to approve."""
        return await self._all(JoinRequest.parse, "requests", "requests", gid=gid)

    async def approve(self, gid: str, uid: str) -> str:
        return await self._state("approve", gid, uid)

    async def reject(self, gid: str, uid: str) -> str:
        return await self._state("reject", gid, uid)

    # Who may do what

    async def set_role(self, gid: str, uid: str, role: Literal["admin", "member"]) -> None:
        await self._call("group.set_role", command(gid=gid, uid=uid, role=role))

    async def transfer(self, gid: str, uid: str) -> None:
        """Makes another member the owner."""
        await self._call("group.transfer", command(gid=gid, uid=uid))

    async def mute(self, gid: str, *, uid: str | None = None, until: int) -> None:
        """Until then (UTC milliseconds; 0 lifts it) they cannot write; without `uid`, nobody but
        admins can."""
        await self._call("group.mute", command(gid=gid, uid=uid, until=until))

    async def nickname(self, gid: str, nickname: str) -> None:
        """One's own name in this group."""
        await self._call("group.nickname", command(gid=gid, nickname=nickname))

    async def _all(
        self,
        parse: Callable[[Any], T],
        what: str,
        name: str,
        limit: int | None = None,
        **params: str,
    ) -> builtins.list[T]:
        """A list, of all its pages, or of so many that it has `limit` items."""
        found: builtins.list[T] = []
        while True:
            page = await self._call(f"group.{what}", params)
            found += shape.read_all(parse, page, name)
            after = shape.following(page, params.get("after"))
            if after is None or (limit is not None and len(found) >= limit):
                return found[:limit]
            params = params | {"after": after}

    async def _each(self, action: str, gid: str, uids: Sequence[str]) -> dict[str, str]:
        found = await self._call(f"group.{action}", command(gid=gid, uids=builtins.list(uids)))
        return {each.uid: each.state for each in shape.read_all(_Became.parse, found, "results")}

    async def _state(self, action: str, gid: str, uid: str | None = None) -> str:
        return shape.text(await self._call(f"group.{action}", command(gid=gid, uid=uid)), "state")
