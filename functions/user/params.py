"""What the methods of people take."""

from typing import Literal

from pydantic import Field

from shared.names import DisplayName
from shared.params import Cid, Ext, Id, Params
from shared.people import GroupPolicy


class Get(Params):
    uids: list[Id] = Field(min_length=1, max_length=200)


class Update(Params):
    cid: Cid
    name: DisplayName | None = None
    avatar: str | None = Field(None, max_length=500)
    about: str | None = Field(None, max_length=500)
    ext: Ext | None = None
    friend_policy: Literal["approve", "open", "nobody"] | None = None
    group_policy: GroupPolicy | None = None


class Search(Params):
    q: str = Field(min_length=1, max_length=32, pattern=r"^[a-z0-9_.-]+$")
