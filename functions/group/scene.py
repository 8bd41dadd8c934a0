"""A group while commands change it: read once, changed in memory, written as one change.

The commands of a batch on the same group are applied one after another to a scene, so a thousand
people who join at once cost a few writes. One scene changes each person's membership at most once;
a command that would do so again waits for the next scene.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from shared.call import Call
from shared.changes import Change
from shared.collections import Document
from shared.commands import entry_command
from shared.conversation import group, inbox
from shared.errors import CallError, Reason
from shared.events import now_ms
from shared.members import PRESENT, muted_until, role_of
from shared.settings import Settings

from . import rules

_UIDS = 1000  # in one entry, which so stays far below what a frame may hold


class NextScene(Exception):
    """The command must wait until the changes so far are written."""


class Scene:
    """`group` is the group's document, `members` what is known of the people concerned, `results`
    those of the commands so far, by key; `busy` those of the people who are in as many groups as
    may be. Methods change them, and remember what must follow."""

    def __init__(
        self,
        group: Document,
        members: Mapping[str, Document],
        busy: Collection[str],
        limits: Settings,
    ) -> None:
        self.group = group
        self.members = dict(members)
        self.busy = busy
        self._limits = limits
        self.results: dict[str, Any] = {}
        self._steps: list[Document] = []
        self._inboxes: list[Document] = []
        self._quits: list[str] = []
        self._moved: set[str] = set()
        self._told: Counter[tuple[str, str]] = Counter()
        self._changed: dict[str, Document] = {}

    def state(self, uid: str) -> str:
        """`member`, `invited`, `requested`, `blocked`, or how it ended; `none` for a stranger."""
        return str(self.members.get(uid, {}).get("state", "none"))

    def present(self, uid: str) -> bool:
        return self.state(uid) == PRESENT

    def require(self, right: str, uid: str) -> None:
        """Raises `not_a_member` or `forbidden`."""
        rules.require(right, self.group, uid, self.present(uid))

    def require_above(self, right: str, uid: str, other: str) -> None:
        """Raises `forbidden`."""
        rules.require_above(right, self.group, uid, other)

    def require_room(self) -> None:
        """Raises `conflict` where the group is full."""
        limit = self._limits.group_members_limit
        if self.group["size"] >= limit:
            raise CallError(Reason.CONFLICT, f"a group has at most {limit} members")

    def require_time(self, uid: str) -> None:
        """Raises `conflict` for who is in too many groups already."""
        if uid in self.busy:
            limit = self._limits.groups_limit
            raise CallError(Reason.CONFLICT, f"a person is in at most {limit} groups")

    def set(self, uid: str, **fields: Any) -> None:
        """Changes what is known of a person."""
        self.members[uid] = self.members.get(uid, {}) | fields
        self._changed[uid] = self._changed.get(uid, {}) | fields

    def require_voice(self, uid: str) -> None:
        """Raises `muted` for a member who is."""
        one = self.members[uid].get("muted_until", 0)
        until = muted_until(self.group["muted_until"], one, role_of(self.group, uid))
        if until > now_ms():
            raise CallError(Reason.MUTED, until=until)

    def enter(
        self,
        call: Call[Any],
        event: str,
        uids: list[str],
        *,
        strangers: Collection[str] = (),
        **body: Any,
    ) -> None:
        """These people become members; some are added by one who is a stranger to them. Who was
        muted before still is, and the entry says so."""
        self._move(uids)
        for uid in uids:
            added = {"added": now_ms()} if uid in strangers else {}
            self.set(uid, state=PRESENT, nickname=None, last=None, asks=None, **added)
        self.group["size"] += len(uids)
        for start in range(0, len(uids), _UIDS):
            part = uids[start : start + _UIDS]
            times = {uid: self.members[uid].get("muted_until", 0) for uid in part}
            muted = {uid: until for uid, until in times.items() if until > now_ms()}
            told = body | ({"muted": muted} if muted else {})
            self.tell(call, event if not start else "joined", part, joins=part, **told)

    def leave(self, call: Call[Any], event: str, uids: list[str], state: str, **body: Any) -> None:
        """These members are members no more."""
        self._move(uids)
        for uid in uids:
            self.set(uid, state=state)
            if uid in self.group["admins"]:
                self.group["admins"].remove(uid)
        self.group["size"] -= len(uids)
        for start in range(0, len(uids), _UIDS):
            part = uids[start : start + _UIDS]
            self.tell(call, event, part, leaves=part, **body)

    def quit(self, call: Call[Any], uid: str) -> None:
        """Leaves a group that was dismissed: nobody else is told."""
        self._move([uid])
        self.set(uid, state="left")
        self._quits.append(uid)
        self.tell_privately(call, [uid], "left")

    def tell(
        self,
        call: Call[Any],
        event: str,
        uids: list[str],
        *,
        joins: Iterable[str] = (),
        leaves: Iterable[str] = (),
        **body: Any,
    ) -> None:
        """An entry of the group's log."""
        self._steps.append(
            {
                "by": call.uid,
                "command": self._command(call, group(self.group["gid"])),
                "cid": call.cid,
                "body": {"event": event, "uids": uids, "by": call.uid, **body},
                "joins": list(joins),
                "leaves": list(leaves),
            }
        )

    def tell_privately(self, call: Call[Any], uids: Iterable[str], event: str, **body: Any) -> None:
        """An entry in these people's inboxes."""
        told = {"event": event, "gid": self.group["gid"], "by": call.uid, **body}
        self._inboxes += [
            {
                "uid": uid,
                "by": call.uid,
                "command": self._command(call, inbox(uid)),
                "cid": call.cid,
                "body": told | {"name": self.group["name"]},
            }
            for uid in dict.fromkeys(uids)
        ]

    @property
    def admins(self) -> list[str]:
        """Those who decide about requests."""
        return [self.group["owner"], *self.group["admins"]]

    def change(self) -> Change | None:
        """All that came together, None where nothing did."""
        if not (self._steps or self._inboxes or self._changed):
            return None
        intent = {
            "steps": self._steps,
            "inboxes": self._inboxes,
            "members": self._changed,
            "quits": self._quits,
        }
        return Change(self.group, intent, self.results)

    def _move(self, uids: Iterable[str]) -> None:
        uids = set(uids)
        if uids & self._moved:
            raise NextScene
        self._moved |= uids

    def _command(self, call: Call[Any], conv: str) -> str:
        """One command may tell several things in one log; each is stored once. With the revision,
        so that no change goes untold because one like it was told before."""
        name = f"{entry_command(call.method, call.target, conv)},{self.group.get('rev', 0) + 1}"
        place = (conv, call.key)
        self._told[place] += 1
        number = self._told[place] - 1
        return f"{name}#{number}" if number else name
