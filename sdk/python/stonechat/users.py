"""Users: who somebody is, and one's own profile."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from stonechat import shape
from stonechat.params import Call, command

_PAGE = 200  # in one call

FriendPolicy = Literal["approve", "open", "nobody"]
GroupPolicy = Literal["anyone", "friends", "nobody"]


@dataclass(frozen=True, slots=True)
class User:
    """A person, or a bot."""

    uid: str
    username: str
    name: str | None = None
    avatar: str | None = None
    about: str | None = None
    ext: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, fields: Any) -> Self:
        return shape.read(cls, fields)


@dataclass(frozen=True, slots=True)
class OwnUser(User):
    """One's own profile. Also a signal, where another device of one's own changed it.
    `friend_policy` says who becomes a friend, `group_policy` who may add one to a group without
    asking."""

    friend_policy: FriendPolicy = "approve"
    group_policy: GroupPolicy = "anyone"


class Users:
    """`client.users`."""

    def __init__(self, call: Call) -> None:
        self._call = call

    async def get(self, uids: Iterable[str]) -> dict[str, User]:
        """The profile of each uid that is somebody's."""
        wanted = list(dict.fromkeys(uids))
        found: dict[str, User] = {}
        for first in range(0, len(wanted), _PAGE):
            answer = await self._call("user.get", {"uids": wanted[first : first + _PAGE]})
            found |= {each.uid: each for each in shape.read_all(User.parse, answer, "users")}
        return found

    async def search(self, q: str) -> Sequence[User]:
        """Some whose username, or a word of whose name, begins like this."""
        answer = await self._call("user.search", {"q": q})
        return shape.read_all(User.parse, answer, "users")

    async def find(self, username: str) -> User | None:
        """The user with exactly this username, in whatever case."""
        wanted = username.strip().casefold()
        users = await self.search(wanted)
        return next((user for user in users if user.username == wanted), None)

    async def update(
        self,
        *,
        name: str | None = None,
        avatar: str | None = None,
        about: str | None = None,
        ext: Mapping[str, str] | None = None,
        friend_policy: FriendPolicy | None = None,
        group_policy: GroupPolicy | None = None,
    ) -> OwnUser:
        """Changes what is given of one's own profile, and returns it; an empty value removes it."""
        params = command(
            name=name,
            avatar=avatar,
            about=about,
            ext=None if ext is None else dict(ext),
            friend_policy=friend_policy,
            group_policy=group_policy,
        )
        return OwnUser.parse(await self._call("user.update", params))
