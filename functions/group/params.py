"""What the methods of groups take."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from shared.names import GroupName, OptionalName
from shared.pages import Limit, up_to
from shared.params import Cid, Ext, Id, Params, at_most

People = Annotated[list[Id], at_most("group_uids_limit")]
Uids = Annotated[People, Field(min_length=1)]
Time = Annotated[int, Field(ge=0, le=2**53)]


class Settings(Params):
    """Those that are given; the others stay."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    join: Literal["open", "approval", "invite"] | None = None
    history: Literal["joined", "all"] | None = None
    invite: Literal["members", "admins"] | None = None
    edit: Literal["members", "admins"] | None = None
    consent: bool | None = None
    receipts: bool | None = None
    listed: bool | None = None


class Create(Params):
    cid: Cid
    name: GroupName
    members: People = Field(default_factory=list)
    settings: Settings = Settings()


class OfGroup(Params):
    """A question about a group."""

    gid: Id


class Command(Params):
    """A change of a group."""

    gid: Id
    cid: Cid


class CommandOnPeople(Command):
    uids: Uids


class CommandOnPerson(Command):
    uid: Id


class Update(Command):
    name: GroupName | None = None
    avatar: str | None = Field(None, max_length=500)
    description: str | None = Field(None, max_length=1000)
    ext: Ext | None = None
    settings: Settings | None = None


class SetRole(CommandOnPerson):
    role: Literal["admin", "member"]


class Mute(Command):
    uid: Id | None = None
    until: Time


class Nickname(Command):
    nickname: OptionalName


class Page(Params):
    """A page of a list that is in the order of its ids. `after` is the last one of the page
    before."""

    after: str = Field("", pattern=r"^[a-z0-9]{0,40}$")
    limit: Limit = 200


class ListRequests(Page):
    gid: Id


class ListMembers(Page):
    gid: Id
    limit: Annotated[int, Field(ge=1), up_to("members_limit")] = 100
    state: Literal["member", "blocked", "muted"] = "member"
    role: Literal["owner", "admin", "member"] | None = None


class Search(Params):
    q: str = Field(min_length=1, max_length=100)
