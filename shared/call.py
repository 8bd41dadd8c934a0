"""One call of a method, as the method sees it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, NamedTuple, TypeVar

from shared.bus import Item, bus
from shared.commands import command_key, entry_command, target_of
from shared.conversation import Conversation
from shared.entry import Draft, Entry
from shared.errors import CallError, Reason
from shared.ids import derived_id, new_id
from shared.log import log
from shared.membership import parsed, require_member
from shared.policy import writer
from shared.states import states

P = TypeVar("P")


class Caller(NamedTuple):
    """Who calls, as the connector found out. `uid` is None for someone not signed in; `session` is
    None for a call over HTTP. `ip` is the client's address, `agent` what its program calls itself,
    at most 200 characters."""

    uid: str | None = None
    device: str | None = None
    session: str | None = None
    roles: tuple[str, ...] = ()
    ip: str | None = None
    agent: str | None = None


@dataclass(slots=True)
class Call(Generic[P]):
    """A call with validated params. Methods raise `CallError` to refuse it."""

    method: str
    params: P
    caller: Caller
    cid: str | None = None
    request_id: str = ""  # in the log lines about it, and in its client's error
    _appended: int = field(default=0, init=False)

    @property
    def uid(self) -> str:
        """Who calls. Raises `unauthenticated` in a public method called without signing in."""
        if self.caller.uid is None:
            raise CallError(Reason.UNAUTHENTICATED)
        return self.caller.uid

    @property
    def target(self) -> str:
        """What the call is about (see `commands`)."""
        return target_of(self.params)

    @property
    def key(self) -> str:
        """The key of this command: a repeated one has the same."""
        return command_key(self.uid, self.method, self.target, self.cid or "")

    def require_member(self, conv: str) -> Conversation:
        """The conversation, if the caller belongs to it. Raises `not_a_member`."""
        return require_member(self.uid, conv)

    def require_writer(self, conv: str) -> Conversation:
        """The conversation, if the caller may write there now. Raises what `policy.writers` names:
        `not_a_member`, `muted`, `blocked` and so on."""
        place = parsed(conv)
        writer(self.uid, place)
        return place

    def append(
        self, conv: str, type: str, body: dict[str, Any], *, ref: int | None = None
    ) -> Entry:
        """Appends an entry to a conversation's log and announces it to the members, who have the
        conversation in their lists from then on. Repeating the call with its `cid` gives the same
        entry. Raises `unavailable` (safe to repeat)."""
        command = entry_command(self.method, self.target, conv)
        number, self._appended = self._appended, self._appended + 1
        states().register([(conv, parsed(conv))])
        draft = Draft(
            conv=conv,
            sender=self.uid,
            command=f"{command}#{number}" if number else command,
            cid=self.cid or new_id(),
            type=type,
            body=body,
            ref=ref,
            session=self.caller.session,
        )
        outcome = log().append([draft])[0]
        if isinstance(outcome, CallError):
            raise outcome
        return outcome

    def publish(self, items: Sequence[Item]) -> None:
        """Signals: told to whoever listens now, and never stored."""
        bus().publish(items)

    def derived_id(self, *parts: str) -> str:
        """The id that this command always gives: what it makes is made once."""
        return derived_id(self.uid, self.method, self.target, self.cid or new_id(), *parts)
