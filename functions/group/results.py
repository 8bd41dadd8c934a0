"""What the methods of groups return."""

from typing import Any, Literal, NotRequired

from pydantic import with_config
from typing_extensions import TypedDict

from shared.shapes import EXACT

Who = Literal["members", "admins"]


@with_config(EXACT)
class Created(TypedDict):
    gid: str
    conv: str


@with_config(EXACT)
class GroupSettings(TypedDict):
    """Who may come in, see, invite and edit."""

    join: Literal["open", "approval", "invite"]
    history: Literal["joined", "all"]
    invite: Who
    edit: Who
    consent: bool
    receipts: bool
    listed: bool


@with_config(EXACT)
class Group(TypedDict):
    """A group as its reader sees it. `created_at` and `muted_until` are ms."""

    gid: str
    conv: str
    name: str
    avatar: NotRequired[str]
    description: NotRequired[str]
    ext: NotRequired[dict[str, Any]]
    settings: GroupSettings
    size: int
    role: Literal["owner", "admin", "member", "none"]
    created_at: int
    muted_until: NotRequired[int]


@with_config(EXACT)
class Groups(TypedDict):
    groups: list[Group]


@with_config(EXACT)
class PageOfGroups(Groups):
    """`next` is what to pass as `after` for the next page, where there is one."""

    next: NotRequired[str]


@with_config(EXACT)
class Member(TypedDict):
    """One of a group. Who is blocked has the role `none`, and no `joined_at` who never was in."""

    uid: str
    role: Literal["owner", "admin", "member", "none"]
    nickname: NotRequired[str]
    joined_at: NotRequired[int]
    muted_until: NotRequired[int]


@with_config(EXACT)
class PageOfMembers(TypedDict):
    members: list[Member]
    next: NotRequired[str]


@with_config(EXACT)
class Result(TypedDict):
    """What became of one person."""

    uid: str
    state: Literal[
        "member", "invited", "requested", "removed", "blocked", "none", "full", "not_found"
    ]


@with_config(EXACT)
class Results(TypedDict):
    results: list[Result]


@with_config(EXACT)
class State(TypedDict):
    state: Literal["member", "pending", "left", "none"]


@with_config(EXACT)
class Request(TypedDict):
    uid: str
    ts: int


@with_config(EXACT)
class Requests(TypedDict):
    requests: list[Request]
    next: NotRequired[str]


@with_config(EXACT)
class Invitation(TypedDict):
    gid: str
    name: str
    by: str
    ts: int


@with_config(EXACT)
class Invitations(TypedDict):
    invitations: list[Invitation]
    next: NotRequired[str]
