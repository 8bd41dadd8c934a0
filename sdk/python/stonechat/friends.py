"""Friends: requests, friendships, blocks, and what one notes of a friend."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, cast

from stonechat import shape
from stonechat.params import Call, command, given

FriendState = Literal["friend", "incoming", "outgoing", "blocked", "none"]


@dataclass(frozen=True, slots=True)
class Friend:
    """Somebody one has to do with. `since` (UTC milliseconds) is when the state began; `note` came
    with a request; `alias`, `tags` and `ext` are one's own and seen by nobody else."""

    uid: str
    state: FriendState
    since: int = 0
    alias: str | None = None
    tags: tuple[str, ...] = ()
    ext: Mapping[str, str] = field(default_factory=dict)
    note: str | None = None

    @classmethod
    def parse(cls, fields: Any) -> Self:
        """From the protocol's form, in a list or in a `friend` entry's body. Raises `BadAnswer`."""
        return shape.read(cls, fields)


class Friends:
    """`client.friends`. All that change something return the state that it led to, and raise
    `Conflict` where the present state does not allow it."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def request(self, uid: str, *, note: str | None = None) -> FriendState:
        """Asks somebody: `outgoing`, or `friend` where they had asked already or let anyone in.
        Raises `Forbidden` (`blocked`, or they take no requests) and `NotFound`."""
        return await self._change("request", command(uid=uid, note=note))

    async def accept(self, uid: str) -> FriendState:
        """Takes their request. Raises `NotFound` where there is nothing between the two."""
        return await self._change("accept", command(uid=uid))

    async def decline(self, uid: str) -> FriendState:
        """Turns their request down. Raises `NotFound` where there is nothing between the two."""
        return await self._change("decline", command(uid=uid))

    async def remove(self, uid: str) -> FriendState:
        """Ends the friendship, or withdraws one's own request."""
        return await self._change("remove", command(uid=uid))

    async def block(self, uid: str) -> FriendState:
        """They can no longer write or ask, and are not told. Raises `NotFound`."""
        return await self._change("block", command(uid=uid))

    async def unblock(self, uid: str) -> FriendState:
        return await self._change("unblock", command(uid=uid))

    async def update(
        self,
        uid: str,
        *,
        alias: str | None = None,
        tags: Sequence[str] | None = None,
        ext: Mapping[str, str] | None = None,
    ) -> Friend:
        """Changes what is given of one's notes of a friend; an empty value removes it."""
        params = command(
            uid=uid,
            alias=alias,
            tags=None if tags is None else list(tags),
            ext=None if ext is None else dict(ext),
        )
        return Friend.parse(await self._call("friend.update", params))

    async def list(self, state: FriendState | None = None) -> Sequence[Friend]:
        """Everyone with whom one's state is this, or any but `none`; the oldest relation first."""
        found: dict[str, Friend] = {}
        after: str | None = None
        while True:
            page = await self._call("friend.list", given(state=state, after=after))
            # One who changed while the pages were read is on a later one again.
            for friend in shape.read_all(Friend.parse, page, "friends"):
                found.pop(friend.uid, None)
                found[friend.uid] = friend
            after = shape.following(page, after)
            if after is None:
                return list(found.values())

    async def _change(self, action: str, params: dict[str, Any]) -> FriendState:
        answer = await self._call(f"friend.{action}", params)
        return cast(FriendState, shape.text(answer, "state"))
